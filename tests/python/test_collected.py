import logging
import warnings

import pytest

from scsystems.collected import collected


def test_warnings_of_a_block_are_kept_in_order_and_once():
    before = logging.getLogger("scsystems").handlers[:]
    with collected() as messages:
        logging.getLogger("scsystems.data").warning("few %s", "genes")
        logging.getLogger("scsystems.data").info("not this")
        warnings.warn("said twice", UserWarning, stacklevel=1)
        warnings.warn("said twice", UserWarning, stacklevel=1)
        warnings.warn("of another library", DeprecationWarning, stacklevel=1)
        logging.getLogger("scsystems").error("worse")
    assert messages.logged == [
        ("scsystems.data", logging.WARNING, "few genes"),
        ("scsystems", logging.ERROR, "worse"),
    ]
    assert messages.texts() == ["few genes", "worse", "said twice"]
    assert logging.getLogger("scsystems").handlers == before


def test_an_error_goes_on_and_the_messages_are_complete():
    before = logging.getLogger("scsystems").handlers[:]

    def fails():
        warnings.warn("before it", UserWarning, stacklevel=1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), collected() as messages:
        fails()
    assert messages.warned == ["before it"]
    assert logging.getLogger("scsystems").handlers == before
