import pytest

from scsystems.errors import InputError
from scsystems.tune import Setting, expand


def test_parameters_find_their_place():
    setting = Setting({"prior": "gmm", "batch_size": 64, "kl_weight": 2.0, "lr": 1e-4})
    assert setting.model == {"prior": "gmm"}
    assert setting.train == {"batch_size": 64, "plan_kwargs": {"kl_weight": 2.0, "lr": 1e-4}}
    assert setting.name == "prior=gmm, batch_size=64, kl_weight=2, lr=0.0001"


def test_all_combinations_named_by_what_varies():
    settings = expand({"prior": ["vamp", "gmm"], "kl_weight": [1.0], "n_latent": [10, 15]})
    assert [s.name for s in settings] == [
        "prior=vamp, n_latent=10",
        "prior=vamp, n_latent=15",
        "prior=gmm, n_latent=10",
        "prior=gmm, n_latent=15",
    ]
    assert settings[3].parameters == {"prior": "gmm", "kl_weight": 1.0, "n_latent": 15}
    assert [s.name for s in expand({"prior": ["vamp"]})] == ["prior=vamp"]


def test_a_list_of_settings():
    settings = expand([{"name": "cVAE", "prior": "standard_normal"}, {}])
    assert [s.name for s in settings] == ["cVAE", "defaults"]
    assert settings[0].parameters == {"prior": "standard_normal"}


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"no_such": [1]}, r"Unknown parameters in the grid: \['no_such'\]"),
        ({"seed": [1]}, "Unknown parameters"),
        ({"prior": "vamp"}, "list of values"),
        ({"prior": []}, "list of values"),
        ([], "0 settings"),
        ([{"name": "x"}, {"name": "x", "prior": "gmm"}], "every one different"),
    ],
)
def test_bad_grids(grid, message):
    with pytest.raises(InputError, match=message):
        expand(grid)
