import pytest

from scsystems.words import TERMS, argument, column, embedding, expression, spoken_by, word, written


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


def test_a_command_may_call_some_things_otherwise():
    with spoken_by("cli", {"system": "the model's --system"}):
        assert word("system") == "the model's --system"
        assert word("covariates") == "--covariates"
        with spoken_by("r"):
            assert word("system") == "system"
    assert word("system") == "batch_key"


def test_options_are_called_as_every_door_calls_them():
    assert argument("n_latent") == "n_latent"
    with spoken_by("r"):
        assert (argument("n_latent"), argument("max_epochs")) == ("dims", "max.epochs")
        assert argument("z_distance_cycle_weight") == "cycle.weight"
        assert argument("n_hidden") == "n_hidden"
        assert argument("of nobody") == "of nobody"
    with spoken_by("cli"):
        assert argument("n_latent") == "--dims"
    with pytest.raises(KeyError):
        word("of nobody")


@pytest.mark.parametrize(
    ("value", "python", "r"),
    [
        (None, "seed=None", "seed.use = NULL"),
        (True, "seed=True", "seed.use = TRUE"),
        ("a", "seed='a'", 'seed.use = "a"'),
        ((1, 2.5), "seed=(1, 2.5)", "seed.use = c(1, 2.5)"),
    ],
)
def test_values_are_written_as_the_language_writes_them(value, python, r):
    assert written("seed", value) == python
    with spoken_by("r"):
        assert written("seed", value) == r


def test_an_argument_within_a_list_has_its_place():
    with spoken_by("r"):
        assert written("resume", True) == "train = list(resume = TRUE)"
    with spoken_by("cli"):
        assert written("overwrite", True) == "--overwrite"
        assert written("n_jobs", 2) == "--jobs 2"
        assert embedding("X_pca") == "embedding 'X_pca'"


def test_messages_are_translated_to_nothing_that_python_says():
    """What R is told has none of the names that differ in Python."""
    for term, doors in TERMS.items():
        if doors["python"] != doors["r"] and doors["python"].isidentifier():
            assert doors["python"] not in doors["r"].split(), term
