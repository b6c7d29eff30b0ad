"""The cells of a search in a folder: written once, mapped into memory by every worker."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scsystems import words
from scsystems.data.levels import coded
from scsystems.data.matrix import expression
from scsystems.data.schema import Setup, cell_names, gene_names

NO_ROOM = (
    "It is in the folder for temporary files: make room there, set the environment variable TMPDIR to another, or "
    "use n_jobs=1, which needs none."
)
SPARSE = {kind.__name__: kind for kind in (sparse.csr_matrix, sparse.csc_matrix)}


def write_cells(folder: Path, adata: AnnData) -> None:
    """Write what training looks at.

    Parameters
    ----------
    folder
        An empty folder.
    adata
        Cells set up by ``SysVI.setup_anndata``.
    """
    setup = Setup.read(adata)
    numbers = setup.continuous_covariate_keys
    keys = [setup.batch_key, *setup.categorical_covariate_keys, *numbers]
    facts: dict[str, Any] = {
        "setup": asdict(setup),
        "genes": list(gene_names(adata)),
        "cells": list(cell_names(adata)),
        "columns": {},
    }
    for i, key in enumerate(dict.fromkeys(keys)):
        levels = None
        if key in numbers:
            values = adata.obs[key].to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            values, levels = coded(adata.obs[key], words.column(key))
        np.save(folder / f"column_{i}.npy", values)
        facts["columns"][key] = levels
    x = expression(adata, setup.layer)
    kind = type(x).__name__
    if kind in SPARSE:
        facts |= {"kind": kind, "shape": list(x.shape)}
        for part in ("data", "indices", "indptr"):
            np.save(folder / f"x_{part}.npy", getattr(x, part))
    else:
        facts["kind"] = "dense"
        np.save(folder / "x.npy", x)
    (folder / "cells.json").write_text(json.dumps(facts))


def read_cells(folder: Path) -> AnnData:
    """Read what `write_cells` wrote; expression stays on disk until it is looked at."""
    facts = json.loads((folder / "cells.json").read_text())

    def part(name: str) -> np.ndarray:
        # copied where written to: some libraries refuse arrays that are read-only
        return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False))

    if facts["kind"] == "dense":
        x = part("x")
    else:
        arrays = tuple(part(f"x_{name}") for name in ("data", "indices", "indptr"))
        x = SPARSE[facts["kind"]](arrays, shape=tuple(facts["shape"]), copy=False)
    obs = pd.DataFrame(index=pd.Index(facts["cells"]))
    for i, (key, levels) in enumerate(facts["columns"].items()):
        values = part(f"column_{i}")
        obs[key] = values if levels is None else pd.Categorical.from_codes(values, levels)
    setup = Setup(**facts["setup"])
    adata = AnnData(
        None if setup.layer else x,
        obs=obs,
        var=pd.DataFrame(index=pd.Index(facts["genes"])),
        layers={setup.layer: x} if setup.layer else None,
    )
    setup.write(adata)
    return adata
