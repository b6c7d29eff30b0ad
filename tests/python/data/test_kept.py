import gc

import numpy as np
import pytest
from scipy import sparse

from scsystems import SysVI
from scsystems.data import kept, schema
from scsystems.data.scale import judge
from scsystems.data.schema import Schema
from scsystems.errors import InputError, NonFiniteError


@pytest.fixture
def looks(monkeypatch):
    """How often all values were judged and averaged."""
    counted = {"judged": 0, "averaged": 0}

    def count(module, name, key):
        real = getattr(module, name)

        def counting(*args, **kwargs):
            counted[key] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, counting)

    count(judge, "scan", "judged")
    count(schema, "gene_means", "averaged")
    return counted


def set_up(adata):
    SysVI.setup_anndata(adata, "system", categorical_covariate_keys="donor")
    return adata


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_a_model_looks_at_the_values_once_with_the_setup(adata, looks, form):
    adata.X = adata.X.toarray() if form == "dense" else adata.X.asformat(form)
    set_up(adata)
    model = SysVI(adata)
    assert looks == {"judged": 1, "averaged": 1}
    assert model.schema == Schema.from_anndata(adata.copy(), model.schema.setup)
    SysVI(adata, n_latent=4)
    assert looks == {"judged": 2, "averaged": 2}


def value(adata):
    adata.X.data[0] += 1


def sample(adata):
    adata.obs["donor"] = adata.obs["donor"].astype(str).to_numpy()[::-1]


@pytest.mark.parametrize("change", [value, sample])
def test_what_changed_since_is_measured_anew(adata, looks, change):
    set_up(adata)
    change(adata)
    model = SysVI(adata)
    assert looks["judged"] == 2
    assert model.schema == Schema.from_anndata(adata.copy(), model.schema.setup)


@pytest.mark.parametrize(
    ("value", "error"), [(-1.0, InputError), (np.nan, NonFiniteError), (np.inf, NonFiniteError)]
)
def test_what_became_wrong_since_is_refused(adata, value, error):
    set_up(adata)
    adata.X.data[3] = value
    with pytest.raises(error):
        SysVI(adata)


def test_counts_put_in_since_are_refused(adata):
    set_up(adata)
    counts = np.random.default_rng(0).poisson(2.0, adata.shape)
    adata.X = sparse.csr_matrix(counts, dtype=np.float32)
    with pytest.raises(InputError, match="counts"):
        SysVI(adata)


def test_nothing_is_kept_of_objects_that_are_gone(make):
    gc.collect()
    before = len(kept._KEPT)
    adata = set_up(make())
    assert len(kept._KEPT) == before + 1
    del adata
    gc.collect()
    assert len(kept._KEPT) == before
