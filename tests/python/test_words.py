import pytest

from scsystems.words import TERMS, column, expression, spoken_by, word


def test_every_term_has_a_word_in_every_door():
    for term, words in TERMS.items():
        assert set(words) == {"python", "r", "cli"}, term


def test_words_are_those_of_the_door():
    assert word("system") == "batch_key"
    with spoken_by("r"):
        assert word("system") == "system"
        assert column("donor") == "column 'donor'"
        with spoken_by("cli"):
            assert word("covariates") == "--covariates"
            assert expression("logs") == "layer 'logs'"
        assert "adata" not in expression("logs")
    assert column("donor") == "adata.obs['donor']"
    assert expression() == "adata.X"


def test_the_door_closes_after_an_error():
    with pytest.raises(ZeroDivisionError), spoken_by("r"):
        1 / 0  # noqa: B018
    assert word("system") == "batch_key"
