"""Torch as a program may have set it for itself: no result depends on it, and it stays set."""

import inspect
from contextlib import contextmanager

import numpy as np
import pytest
import torch

import scsystems as scs
from scsystems.data.neighbors import nearest
from scsystems.metrics import silhouettes
from scsystems.torch_state import _autocasts, usual_torch, usual_torch_inside

FIT = {"max_epochs": 2, "batch_size": 32, "verbose": False, "accelerator": "cpu"}


@contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device(device):
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def precision(name):
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


@contextmanager
def autocast_on_a_gpu():
    torch.set_autocast_enabled("cuda", True)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", False)


STATES = {
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast on a GPU": autocast_on_a_gpu,
    "default device": lambda: default_device("meta"),
    "device of a block": lambda: torch.device("meta"),
    "deterministic": deterministic,
    "products of lower precision": lambda: precision("medium"),
}


def state():
    """What torch says of itself."""
    return (
        torch.get_default_dtype(),
        torch.is_inference_mode_enabled(),
        torch.is_grad_enabled(),
        _autocasts("cpu"),
        _autocasts("cuda"),
        torch.tensor(0.0).device,
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
        torch.get_num_threads(),
    )


@pytest.fixture(params=STATES)
def unusual(request):
    """A block in which torch is in an unusual state, and still is when the block ends."""

    @contextmanager
    def block():
        usual = state()
        with STATES[request.param]():
            before = state()
            assert before != usual
            yield
            assert state() == before
        assert state() == usual

    return block


def sysvi_life(make, tmp_path, **options):
    """Everything that a model does which leads to torch, as numbers."""
    data, query = make(160, 20), make(60, 20, seed=1)
    # levels of its own are what a query trains
    query.obs["donor"] = "query " + query.obs["donor"].astype(str)
    scs.SysVI.setup_anndata(data, "system", categorical_covariate_keys=["donor"])
    model = scs.SysVI(data, n_hidden=16, n_latent=4, **options)
    weight = {"adversary_weight": 0.5} if options.get("adversarial") else {}
    model.train(**FIT, train_size=0.8, check_val_every_n_epoch=1, plan_kwargs=weight)
    model.save(tmp_path / "model", overwrite=True)
    model = scs.load(tmp_path / "model", data)
    model.train(**FIT)
    scs.SysVI.prepare_query_anndata(query, model)
    mapped = scs.SysVI.load_query_data(query, model)
    mapped.train(**FIT)
    table = model.differential_expression(
        idx1=np.arange(40), idx2=np.arange(40, 80), n_samples_overall=50, silent=True
    )
    return [
        *(m.history["train_loss"].to_numpy() for m in (model, mapped)),
        *(m.get_latent_representation() for m in (model, mapped)),
        model.get_normalized_expression(transform_batch="human", return_numpy=True),
        np.array([model.get_elbo(), model.get_marginal_ll(n_mc_samples=3)]),
        table.select_dtypes("number").to_numpy(),
        mapped.transfer_labels("cell_type", data).select_dtypes("number").to_numpy(),
    ]


def scspecies_life(make, tmp_path):
    """The same of ScSpecies."""
    species, table = scs.datasets.simulated_by_species(
        n_cells=90, n_genes=120, n_types=2, own_types=False, seed=0
    )[:2]
    (context, first), (target, second) = species.items()
    model = scs.ScSpecies(
        {context: first},
        {target: second},
        "cell_type",
        table,
        n_neighbors=5,
        n_features=16,
        n_hidden=16,
    )
    model.train(**FIT)
    model.save(tmp_path / "species", overwrite=True)
    model = scs.load(tmp_path / "species", species)
    return [
        *(model.get_latent_representation(name) for name in (context, target)),
        *(frame.to_numpy() for frame in model.history[target].values()),
        model.transfer_labels(target).select_dtypes("number").to_numpy(),
        model.similarity(target).select_dtypes("number").to_numpy(),
        model.differential_expression(target).select_dtypes("number").to_numpy(),
        model.novelty(target).select_dtypes("number").to_numpy(),
    ]


def assert_equal(results, expected):
    assert len(results) == len(expected)
    for i, (one, other) in enumerate(zip(results, expected, strict=True)):
        np.testing.assert_array_equal(one, other, err_msg=f"result {i}")
        assert one.dtype == other.dtype, f"result {i}"


OPTIONS = {
    "default": {},
    "learned vectors, adversary, paper": {
        "preset": "paper",
        "adversarial": True,
        "embed_categorical_covariates": True,
    },
    "gmm": {"prior": "gmm", "out_var_mode": "sample_feature"},
}


@pytest.fixture(scope="module")
def expected(make, tmp_path_factory):
    """Results of an ordinary program."""
    folder = tmp_path_factory.mktemp("usual")
    lives = {name: sysvi_life(make, folder, **options) for name, options in OPTIONS.items()}
    return lives | {"scspecies": scspecies_life(make, folder)}


@pytest.mark.parametrize("name", OPTIONS)
def test_sysvi(name, make, tmp_path, unusual, expected):
    with unusual():
        results = sysvi_life(make, tmp_path, **OPTIONS[name])
    assert_equal(results, expected[name])


def test_scspecies(make, tmp_path, unusual, expected):
    with unusual():
        results = scspecies_life(make, tmp_path)
    assert_equal(results, expected["scspecies"])


def test_functions(unusual):
    rng = np.random.default_rng(0)
    cells, labels = rng.normal(size=(60, 5)).astype("f4"), np.array(["a", "b", "c"] * 20)

    def results():
        found = nearest(cells[:20], cells, 4, "cosine"), nearest(cells[:20], cells, 4, "euclidean")
        return [*found[0], *found[1], silhouettes(cells, labels)]

    usual = results()
    with unusual():
        assert_equal(results(), usual)


def test_a_model_that_was_made_in_one_state_trains_in_another(make, unusual):
    def made():
        data = make(80, 20)
        scs.SysVI.setup_anndata(data, "system")
        return scs.SysVI(data, n_hidden=16, n_latent=4)

    usual = made()
    usual.train(**FIT)
    with unusual():
        model = made()
    model.train(**FIT)
    assert_equal([model.get_latent_representation()], [usual.get_latent_representation()])


def test_an_error_leaves_torch_as_it_was(unusual):
    @usual_torch()
    def fail():
        assert torch.empty(()).dtype == torch.float32
        assert torch.is_grad_enabled()
        raise KeyError

    with unusual(), pytest.raises(KeyError):
        fail()


@pytest.mark.parametrize("model", [scs.SysVI, scs.ScSpecies])
def test_every_door_of_a_model_is_one(model):
    """So that a new method is one, too; its signature stays."""
    doors = {
        name: inspect.getattr_static(model, name)
        for name in dir(model)
        if name == "__init__" or not name.startswith("_")
    }
    methods = {
        name: getattr(door, "__func__", door)
        for name, door in doors.items()
        if callable(door) or isinstance(door, (classmethod, staticmethod))
    }
    assert {"__init__", "train", "load", "save", "to_device"} <= set(methods)
    for name, method in methods.items():
        assert method.__code__.co_filename.endswith("torch_state.py"), name
        assert inspect.signature(method) == inspect.signature(method.__wrapped__), name


def test_all_kinds_of_methods():
    class Base:
        def inherited(self):
            return torch.empty(()).dtype

    @usual_torch_inside
    class Model(Base):
        def __init__(self):
            self.made = torch.empty(()).dtype

        @classmethod
        def of_class(cls):
            return cls, torch.empty(()).dtype

        @staticmethod
        def static(x):
            """Words."""
            return x, torch.empty(()).dtype

        def _private(self):
            return torch.empty(()).dtype

    with default_dtype(torch.float64):
        model = Model()
        assert model.made == model.inherited() == torch.float32
        assert Model.of_class() == (Model, torch.float32)
        assert model.static(3) == (3, torch.float32)
        assert model._private() == Base().inherited() == torch.float64
    assert Model.static.__doc__ == "Words."


def test_precision_that_is_set_for_each_library_stays(monkeypatch):
    def refuse():
        raise RuntimeError("mix of the legacy and new APIs")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", refuse)
    with usual_torch():
        pass


def test_warnings_point_at_the_program(make, recwarn):
    data = make(80, 20)
    with pytest.warns(UserWarning, match="experimental") as heard:
        scs.SysVI.setup_anndata(data, "system", weight_batches=True)
    assert heard[0].filename == __file__
    model = scs.SysVI(data, n_hidden=8, n_latent=2)
    with pytest.warns(UserWarning, match="warmup") as heard:
        model.train(**FIT, plan_kwargs={"n_epochs_kl_warmup": 2})
    assert heard[0].filename == __file__
