"""ScSpecies' three steps on a stand-in for a GPU."""

import pytest
from stand_in import GPU, Waits, gpu
from ways import SPECIES_WAYS, species_model

import scsystems as scs
from scsystems.models.scspecies.training import AlignmentObjective


@pytest.fixture(scope="module")
def species():
    return scs.datasets.simulated_by_species(n_cells=160, seed=0)


@pytest.fixture
def seen(monkeypatch):
    """A GPU; what is done once an epoch, within its first step, may make it wait."""
    begin = AlignmentObjective._begin

    def aside(self, *given):
        seen.aside = True
        begin(self, *given)
        seen.aside = False

    monkeypatch.setattr(AlignmentObjective, "_begin", aside)
    with gpu() as seen:
        yield seen


@pytest.mark.parametrize("way", SPECIES_WAYS)
def test_training(way, species, request):
    model = species_model(species, search_every=1, **SPECIES_WAYS[way])
    seen = request.getfixturevalue("seen")
    # a second epoch begins with a search among the candidates
    epochs = 2 if way in ("default", "dispersion per cell") else 1
    model.train(max_epochs=epochs, batch_size=80, precision="bfloat16", verbose=False)
    assert model._context.net.outer.weight.device == GPU
    assert seen.steps == 2 * epochs
    assert seen.operations > 100


def test_a_search_in_every_step_waits(species, request):
    """The paper's way: candidates that cells share are decoded once, and how many is not known before."""
    model = species_model(species, search_every=0)
    request.getfixturevalue("seen")
    with pytest.raises(Waits, match="has a shape that depends on values"):
        model.train(max_epochs=1, verbose=False)


def test_what_a_trained_model_is_for(species, request):
    model = species_model(species)
    target = model.species[1]
    request.getfixturevalue("seen")
    model.train(max_epochs=1, precision="float32", verbose=False)
    assert model.get_latent_representation(target).shape == (80, 4)
    assert len(model.transfer_labels(target)) == 80
    assert len(model.novelty(target)) == 80
    model.similarity(target)
    model.prototype_record(target)
    model.differential_expression(target)
