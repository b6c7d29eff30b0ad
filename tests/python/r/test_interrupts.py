import sys
from types import SimpleNamespace

import pytest

from scsystems.r.interrupts import INTERRUPTED, interrupts_understood, jump_is_interrupt


def jump(*args):
    raise RuntimeError("(Unknown exception occurred)")


def fail(*args):
    raise RuntimeError("object 'x' not found")


def test_only_a_jump_is_an_interrupt():
    with pytest.raises(KeyboardInterrupt):
        jump_is_interrupt(jump)(1)
    with pytest.raises(RuntimeError, match="object 'x' not found"):
        jump_is_interrupt(fail)(1)
    assert jump_is_interrupt(lambda x: x + 1)(1) == 2
    with pytest.raises(KeyboardInterrupt):
        jump_is_interrupt(lambda: INTERRUPTED)()


def test_reticulates_question_is_wrapped_within_the_block(monkeypatch):
    signals = SimpleNamespace(_callback=jump)
    monkeypatch.setitem(sys.modules, "rpytools.signals", signals)
    with interrupts_understood(), pytest.raises(KeyboardInterrupt):
        signals._callback(False)
    assert signals._callback is jump


def test_without_reticulate_nothing_happens(monkeypatch):
    monkeypatch.delitem(sys.modules, "rpytools.signals", raising=False)
    with interrupts_understood():
        pass
