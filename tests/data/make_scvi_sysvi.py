"""Make the models in ``scvi_sysvi/``, as scvi-tools' own SysVI saves them, and what it computes.

Needs scvi-tools (1.4.2 made the files here); the tests that read the files do not::

    python tests/data/make_scvi_sysvi.py
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scvi import REGISTRY_KEYS, settings
from scvi.external import SysVI
from torch.nn import GaussianNLLLoss

FOLDER = Path(__file__).parent / "scvi_sysvi"
N_CELLS, N_GENES = 60, 12

MODELS = {
    "vamp": {
        "prior": "vamp",
        "n_prior_components": 3,
        "n_latent": 3,
        "n_hidden": 8,
    },
    "embedded": {
        "prior": "standard_normal",
        "embed_categorical_covariates": True,
        "out_var_mode": "sample_feature",
        "n_latent": 2,
        "n_hidden": 6,
        "n_layers": 1,
    },
}


def make_cells() -> AnnData:
    rng = np.random.default_rng(0)
    system = np.arange(N_CELLS) % 3
    x = rng.gamma(1.0, 1.0, (N_CELLS, N_GENES)).astype(np.float32)
    x[rng.random(x.shape) < 0.4] = 0
    obs = pd.DataFrame(
        {
            "system": np.array(["mouse", "human", "fish"])[system],
            "donor": [f"d{i % 5}" for i in range(N_CELLS)],
            "chemistry": np.array(["v3", "v2"])[(np.arange(N_CELLS) // 7) % 2],
            "score": rng.normal(3, 2, N_CELLS),
        },
        index=[f"cell{i}" for i in range(N_CELLS)],
    )
    adata = AnnData(x, obs=obs, var=pd.DataFrame(index=[f"gene{i}" for i in range(N_GENES)]))
    adata.layers["log"] = x.copy()
    return adata


@torch.inference_mode()
def expected(model: SysVI, adata: AnnData) -> dict[str, np.ndarray]:
    mean, var = model.get_latent_representation(return_dist=True)
    module = model.module.eval()
    tensors = next(iter(model._make_data_loader(adata=adata, batch_size=N_CELLS, shuffle=False)))
    inputs = module._get_inference_input(tensors)
    qz = module.inference(**inputs)["qz"]
    decoded = {}
    for name, system in (("own", inputs["batch_index"]), ("first", inputs["batch_index"] * 0)):
        decoded[name] = module.decoder(
            x=qz.loc, batch_index=system, cont=inputs["cont_covs"], cat_list=inputs["cat_covs"]
        )["q_dist"]
    x = tensors[REGISTRY_KEYS.X_KEY]
    reconstruction = GaussianNLLLoss(reduction="none")(
        decoded["own"].loc, x, decoded["own"].scale
    ).sum(1)
    return {
        "latent_mean": mean,
        "latent_var": var,
        "decoded": decoded["own"].loc.numpy(),
        "decoded_first_system": decoded["first"].loc.numpy(),
        "reconstruction_at_mean": reconstruction.numpy(),
        "kl_at_mean": module.prior.kl(qz, qz.loc).numpy(),
    }


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    adata = make_cells()
    obs = {
        key: adata.obs[key].to_numpy().astype("U8" if key != "score" else float)
        for key in adata.obs
    }
    np.savez_compressed(FOLDER / "cells.npz", x=adata.X, **obs)
    for name, options in MODELS.items():
        settings.seed = 1
        SysVI.setup_anndata(
            adata,
            batch_key="system",
            layer="log" if name == "vamp" else None,
            categorical_covariate_keys=["donor", "chemistry"],
            continuous_covariate_keys=["score"],
        )
        model = SysVI(adata, **options)
        model.train(max_epochs=15, batch_size=20, train_size=0.9, plan_kwargs={"lr": 0.02})
        model.save(str(FOLDER / name))
        np.savez_compressed(FOLDER / f"{name}_expected.npz", **expected(model, adata))


if __name__ == "__main__":
    main()
