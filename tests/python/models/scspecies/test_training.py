"""Both trainings take the fast step where there is one, and it leads where the readable one leads."""

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse

import scsystems as scs
from scsystems.models.scspecies import training

N_GENES = 60


def cells(prefix, n, seed):
    rates = np.exp(np.random.default_rng(9).normal(0, 1, (3, N_GENES)))
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    obs = pd.DataFrame(
        {"cell_type": np.array(["a", "b", "c"])[kind], "sample": rng.choice(["s1", "s2"], n)},
        index=[f"{prefix}cell{i}" for i in range(n)],
    )
    counts = sparse.csr_matrix(rng.poisson(rates[kind] * 2).astype(np.float32))
    return AnnData(
        counts, obs=obs, var=pd.DataFrame(index=[f"{prefix}{i}" for i in range(N_GENES)])
    )


def trained(monkeypatch, fast=True, **options):
    """A model, and for each of its two trainings whether gradients were computed the fast way.

    With ``fast=False`` as if there were no fast way.
    """
    shared = range(N_GENES - 8)
    model = scs.ScSpecies(
        {"mouse": cells("m", 90, 1)},
        {"human": cells("H", 70, 2)},
        "cell_type",
        pd.DataFrame({"mouse": [f"m{i}" for i in shared], "human": [f"H{i}" for i in shared]}),
        batch_key="sample",
        target_labels="cell_type",
        **{"n_hidden": 12, "n_features": 16, "n_latent": 4, "n_neighbors": 6} | options,
    )
    seen, fit = [], training.fit

    def watched(*args, **more):
        gradients = args[8] if len(args) > 8 else more.get("gradients")
        seen.append(gradients is not None)
        return fit(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(training, "fit", watched)
        if not fast:
            patch.setattr(training, "has_fast_forward", lambda *_: False)
        model.train(
            max_epochs=3, batch_size=30, precision="float32", accelerator="cpu", verbose=False
        )
    return model, seen


OPTIONS = [
    {},
    {"alignment": "latent"},
    {"search_every": 0},
    {"encoder_input": "counts", "library": "encoder"},
    {"homologous_fraction": "genes"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_fast_step_is_taken_and_leads_where_the_readable_one_leads(options, monkeypatch):
    readable, slowly = trained(monkeypatch, fast=False, **options)
    model, quickly = trained(monkeypatch, **options)
    assert (quickly, slowly) == ([True, True], [False, False])
    for name in ("mouse", "human"):
        expected, found = (m.history[name] for m in (readable, model))
        assert expected.keys() == found.keys()
        for key in expected:
            np.testing.assert_allclose(found[key], expected[key], rtol=2e-4, atol=1e-5, err_msg=key)
        a, b = (m.get_latent_representation(name) for m in (readable, model))
        np.testing.assert_allclose(b, a, atol=2e-3)
    # the context's inner encoder, frozen in the target, is still the context's
    for made in (readable, model):
        context, target = (dict(part.net.named_parameters()) for part in made._parts())
        frozen = [name for name, weight in target.items() if not weight.requires_grad]
        assert bool(frozen) == (options.get("alignment") != "latent")
        assert all(torch.equal(target[name], context[name]) for name in frozen)


@pytest.mark.parametrize(
    "options", [{"likelihood": "zinb"}, {"dispersion": "cell"}, {"preset": "paper"}], ids=str
)
def test_what_has_no_fast_step_takes_the_readable_one(options, monkeypatch):
    _, taken = trained(monkeypatch, **options)
    assert taken == [False, False]
