"""What the package does of a CUDA device alone, with the numbers of the CPU: see `fake_cuda`."""

import numpy as np
import pytest
import torch
from fake_cuda import Cuda, fake_cuda
from torch import nn

import scsystems as scs
from scsystems import SysVI
from scsystems.data import blocks
from scsystems.data.resident import ResidentCells
from scsystems.errors import DeviceMemoryError
from scsystems.models.sysvi import training
from scsystems.train.graph import WARM_UP
from scsystems.train.loop import fit
from scsystems.train.optimizer import make_optimizer, set_learning_rate
from scsystems.train.step import Steps

STEPS = 4 * 2


def model_of(adata, **options):
    SysVI.setup_anndata(adata, "system", categorical_covariate_keys=["donor"])
    return SysVI(adata, **{"n_hidden": 16, "n_latent": 4} | options)


def trained(adata, accelerator, options=None, **more):
    model = model_of(adata, **(options or {}))
    model.train(
        **{"max_epochs": 4, "batch_size": 120, "accelerator": accelerator, "verbose": False}
        | {"precision": "float32"}
        | more
    )
    return model


def embedding(model):
    return model.get_latent_representation()


@pytest.mark.parametrize(
    ("options", "storage"),
    [
        ({}, "dense"),
        ({}, "sparse"),
        ({"prior": "gmm"}, "sparse"),
        ({"out_var_mode": "sample_feature"}, "dense"),
        ({"adversarial": True}, "sparse"),
    ],
)
def test_recorded_training_is_the_cpus(storage, options, adata):
    plan = {"adversary_weight": 1.0} if "adversarial" in options else {}
    expected = trained(adata, "cpu", options, plan_kwargs=plan)
    with fake_cuda() as cuda:
        got = trained(adata, "gpu", options, plan_kwargs=plan, storage=storage)
        assert cuda.count("record") == 1
        assert cuda.count("replay") == STEPS - WARM_UP
        assert cuda.count("with side") == WARM_UP
    np.testing.assert_allclose(embedding(got), embedding(expected), rtol=2e-3, atol=2e-3)
    for name, frame in expected.history.items():
        np.testing.assert_allclose(got.history[name], frame, rtol=1e-3, atol=1e-4, err_msg=name)
    assert got._train_facts["device"] == "cuda:0"


def test_warm_up_waits_for_what_came_before_and_what_comes_waits_for_it(adata):
    with fake_cuda() as cuda:
        trained(adata, "gpu", max_epochs=1)
    order = ["side waits for main", "with side", "main waits for side"]
    assert [entry for entry in cuda.log if "side" in entry] == 2 * order


def test_the_gpu_that_is_asked_for_is_the_current_one(adata):
    with fake_cuda() as cuda:
        trained(adata, "cuda:1", max_epochs=1)
    assert cuda.log[0] == "on cuda:1"


@pytest.mark.parametrize(("precision", "expected"), [("auto", "bfloat16"), ("float32", "float32")])
def test_precision(precision, expected, adata):
    with fake_cuda():
        assert trained(adata, "gpu", precision=precision)._train_facts["precision"] == expected


def test_steps_are_not_recorded_where_torch_cannot(adata, monkeypatch):
    with fake_cuda() as cuda:
        monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
        trained(adata, "gpu")
        assert cuda.count("record") == cuda.count("replay") == 0


# ---- memory -----------------------------------------------------------------------------------


def seen_storage(monkeypatch):
    """What `fit` is given."""
    seen = []

    def watched(net, loss, cells, *args, **kwargs):
        seen.append(cells)
        return fit(net, loss, cells, *args, **kwargs)

    monkeypatch.setattr(training, "fit", watched)
    return seen


@pytest.mark.parametrize("form", ["sparse", "dense"])
def test_cells_go_where_there_is_room(form, make, monkeypatch):
    """Dense, then sparse, then block by block, by themselves."""
    adata = make(dense=form == "dense")
    n_values = np.count_nonzero(adata.X) if form == "dense" else adata.X.nnz
    dense, sparse = 4 * adata.n_obs * adata.n_vars, 8 * (n_values + adata.n_obs + 1)
    seen = seen_storage(monkeypatch)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4 * adata.n_vars * 64)
    for free in (2 * dense + 1, 2 * dense, int(sparse / 0.75) + 1, int(sparse / 0.75)):
        with fake_cuda(Cuda(free=free)):
            found = trained(adata, "gpu", batch_size=30, max_epochs=1)
            assert np.isfinite(embedding(found)).all()
    assert [getattr(cells, "storage", "blocks") for cells in seen] == [
        "dense",
        "sparse",
        "sparse",
        "blocks",
    ]


def test_validation_in_blocks(adata, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4 * adata.n_vars * 64)
    with fake_cuda(Cuda(free=1)):
        found = trained(adata, "gpu", batch_size=30, early_stopping=True)
    assert len(found.history["elbo_validation"]) == 4


def test_memory_that_torch_keeps_for_itself_counts_as_free(adata, monkeypatch):
    seen = seen_storage(monkeypatch)
    with fake_cuda(Cuda(free=0, reserved=4 * adata.n_obs * adata.n_vars * 3)):
        trained(adata, "gpu", max_epochs=1)
    assert seen[0].storage == "dense"


def test_blocks_from_memory_are_pinned_and_copied_behind_the_steps(adata, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4 * adata.n_vars * 64)
    with fake_cuda(Cuda(free=1)) as cuda:
        once, again = (embedding(trained(adata, "gpu", batch_size=30)) for _ in range(2))
        # two buffers, each of expression and positions
        assert cuda.count("pinned") == 2 * 4
        assert cuda.count("event") == 2 * 4 * 4
        # a buffer is read into again once its copy has ended: all but the first two of each run
        assert cuda.count("wait for event") == 2 * (4 * 4 - 2)
    np.testing.assert_array_equal(once, again)


def test_what_a_user_asks_for_is_refused_where_there_is_no_room(adata):
    dense = 4 * adata.n_obs * adata.n_vars
    with (
        fake_cuda(Cuda(free=dense - 1)),
        pytest.raises(
            DeviceMemoryError,
            match=r"storage='dense' takes 0\.0 MiB of the GPU's memory, of which 0\.0 MiB are free\. "
            r"Use storage='auto', which takes less, or accelerator='cpu'",
        ),
    ):
        trained(adata, "gpu", storage="dense")


def test_species_that_have_to_be_there_as_a_whole():
    species, table = scs.datasets.simulated_by_species(n_cells=160, n_genes=200, seed=0)
    (a, x), (b, y) = species.items()
    model = scs.ScSpecies({a: x}, {b: y}, "cell_type", table, n_hidden=8, n_features=8)
    # the context comes in blocks, but any of a target's cells may be looked up at any time
    with (
        fake_cuda(Cuda(free=1000)) as small,
        pytest.raises(DeviceMemoryError, match=r"80 cells x .* n_top_genes.*accelerator='cpu'"),
    ):
        model.train(max_epochs=1, accelerator="gpu", verbose=False)
    assert small.count("on cuda:0") == 1
    with fake_cuda() as cuda:
        model.train(max_epochs=1, accelerator="gpu", verbose=False)
        assert cuda.count("on cuda:0") == 1
        assert len(model.transfer_labels(b)) == 80


def out_of_memory(*args, **kwargs):
    raise torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.77 GiB"
    )


def test_training_that_runs_out_of_memory(adata, monkeypatch):
    model = model_of(adata)
    with fake_cuda(Cuda(free=3 * 2**29)):
        monkeypatch.setattr(Steps, "gradient", out_of_memory)
        with pytest.raises(
            DeviceMemoryError,
            match=r"ran out of memory when it needed 2\.00 GiB more, with 1\.50 GiB free\. "
            r"Lower batch_size, which is 100",
        ):
            model.train(max_epochs=1, batch_size=100, accelerator="gpu", verbose=False)
    assert not model.is_trained
    monkeypatch.undo()
    model.train(max_epochs=1, accelerator="cpu", verbose=False)


@pytest.mark.parametrize(("owner", "name"), [("encoder", "forward"), ("decoder.hidden", "forward")])
def test_results_that_run_out_of_memory(owner, name, adata, monkeypatch):
    model = trained(adata, "cpu")
    monkeypatch.setattr(type(model.net.get_submodule(owner)), name, out_of_memory)
    with pytest.raises(DeviceMemoryError, match="Lower batch_size"):
        model.get_normalized_expression()


# ---- the optimizer ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
def test_the_optimizer_of_a_gpu_can_be_recorded(kind, monkeypatch):
    """Its learning rate lies where a recorded step reads it."""
    given = {}

    def optimizer(parameters, **options):
        given.update(options)

    monkeypatch.setattr(torch.optim, kind, optimizer)

    class Vector:
        device = torch.device("cuda", 0)

    with fake_cuda():
        make_optimizer(Vector(), kind, 0.25, 1e-4, 1e-6)
    assert given.pop("lr").item() == 0.25
    assert given == {"eps": 1e-4, "weight_decay": 1e-6, "fused": True, "capturable": True}


def test_a_learning_rate_is_changed_in_place():
    rate = torch.tensor(0.5)
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(2))], lr=rate)
    set_learning_rate(optimizer, 0.25)
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == 0.25


def test_one_minibatch_of_sparse_cells():
    """Rows of different lengths, one of them empty."""
    from scipy import sparse

    from scsystems.data.resident import CellArrays

    x = np.array([[0, 1, 2, 3], [0, 0, 0, 0], [5, 0, 0, 0], [0, 0, 6, 7]], np.float32)
    cells = CellArrays(sparse.csr_matrix(x), np.zeros(4, np.int64))
    with fake_cuda():
        resident = ResidentCells(cells, torch.device("cuda", 0), "sparse")
        at = torch.tensor([3, 1, 0, 2, 3])
        np.testing.assert_array_equal(resident.gather(at).x, x[at])
