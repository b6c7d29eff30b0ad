"""Simulate counts of several systems with a known answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .. import checks

CHUNK = 2000


@dataclass(frozen=True)
class Design:
    """Sizes and strengths of a simulated set; see :func:`scsystems.datasets.simulated`."""

    n_cells: int = 2000
    n_systems: int = 2
    n_genes: int = 2000
    n_types: int = 6
    n_donors: int = 2
    rare_fraction: float = 0.02
    own_types: bool = True
    system_effect: float = 0.8
    donor_effect: float = 0.2
    depth: float = 4000.0
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"n_systems": 2, "n_genes": 50, "n_types": 2, "n_donors": 1}
        counts = {name: checks.count(name, getattr(self, name), n) for name, n in least.items()}
        fewest = 10 * counts["n_systems"] * counts["n_types"]
        checks.keep(
            self,
            **counts,
            n_cells=checks.count("n_cells", self.n_cells, fewest),
            rare_fraction=checks.number("rare_fraction", self.rare_fraction, above=0, below=0.5),
            own_types=checks.flag("own_types", self.own_types),
            system_effect=checks.number("system_effect", self.system_effect, at_least=0),
            donor_effect=checks.number("donor_effect", self.donor_effect, at_least=0),
            depth=checks.number("depth", self.depth, above=0),
            seed=checks.seed(self.seed),
        )

    @property
    def systems(self) -> list[str]:
        """Names of the systems."""
        return [f"species{i + 1}" for i in range(self.n_systems)]


def simulate(design: Design) -> AnnData:
    """Draw negative binomial counts, cells x genes, and their labels.

    The log mean of a gene is the sum of its baseline, the cell type's program, a gradient
    within the type, the system's effect on the gene (a little of it differs by type), and the
    donor's effect; totals per cell are log-normal and deeper in some systems.
    """
    rng = np.random.default_rng(design.seed)
    n_genes, n_systems = design.n_genes, design.n_systems
    n_all_types = design.n_types + (n_systems if design.own_types else 0)
    baseline = rng.normal(0.0, 1.5, n_genes)
    programs = _sparse_effects(rng, (n_all_types, n_genes), fraction=0.06, strength=2.0)
    gradients = _sparse_effects(rng, (n_all_types, n_genes), fraction=0.03, strength=0.8)
    of_system = rng.normal(0.0, design.system_effect, (n_systems, n_genes))
    of_both = rng.normal(0.0, 0.25 * design.system_effect, (n_systems, n_all_types, n_genes))
    of_donor = rng.normal(0.0, design.donor_effect, (n_systems, design.n_donors, n_genes))
    dispersion = rng.gamma(4.0, 0.75, n_genes)

    obs = pd.concat([_cells(rng, design, i) for i in range(n_systems)], ignore_index=True)
    depth = design.depth * rng.lognormal(0.0, 0.4, len(obs))
    depth *= np.linspace(1.0, 0.6, n_systems)[obs["system_code"]]
    chunks = []
    for start in range(0, len(obs), CHUNK):
        cells = obs.iloc[start : start + CHUNK]
        kind, system = cells["type_code"].to_numpy(), cells["system_code"].to_numpy()
        log_mean = baseline + programs[kind] + of_system[system] + of_both[system, kind]
        log_mean += gradients[kind] * cells["gradient"].to_numpy()[:, None]
        log_mean += of_donor[system, cells["donor_code"].to_numpy()]
        fraction = np.exp(log_mean)
        mean = fraction * (depth[start : start + CHUNK] / fraction.sum(axis=1))[:, None]
        counts = rng.poisson(rng.gamma(dispersion, mean / dispersion))
        chunks.append(sparse.csr_matrix(counts, dtype=np.float32))
    obs.index = [f"cell{i + 1}" for i in range(len(obs))]
    var = pd.DataFrame(index=[f"Gene{i + 1:05d}" for i in range(n_genes)])
    adata = AnnData(sparse.vstack(chunks, format="csr"), obs=obs, var=var)
    adata.obs = adata.obs.drop(columns=["type_code", "system_code", "donor_code"])
    for column in ("donor", "cell_type"):
        adata.obs[column] = adata.obs[column].astype("category")
    adata.uns["source"] = (
        f"simulated: {n_systems} species, {design.n_types} shared cell types"
        f"{', one more in each species' if design.own_types else ''}, seed {design.seed}"
    )
    return adata


def _cells(rng: np.random.Generator, design: Design, system: int) -> pd.DataFrame:
    """Labels of one system's cells: type, donor, position along the type's gradient."""
    n_cells = len(range(system, design.n_cells, design.n_systems))
    fractions = rng.dirichlet(np.full(design.n_types - 1, 4.0))
    kinds, names = np.arange(design.n_types), [f"type{i + 1}" for i in range(design.n_types - 1)]
    names.append("rare")
    fractions = np.append(fractions * (1 - design.rare_fraction), design.rare_fraction)
    if design.own_types:
        kinds = np.append(kinds, design.n_types + system)
        names.append(f"only_{design.systems[system]}")
        fractions = np.append(fractions * 0.9, 0.1)
    # exact fractions, so that no type is missing by chance
    sizes = np.maximum(np.floor(fractions * n_cells), 3).astype(int)
    sizes[np.argmax(sizes)] += n_cells - sizes.sum()
    which = rng.permutation(np.repeat(np.arange(len(kinds)), sizes))
    donor = rng.integers(design.n_donors, size=n_cells)
    name = design.systems[system]
    return pd.DataFrame(
        {
            "system": pd.Categorical([name] * n_cells, categories=design.systems),
            "species": pd.Categorical([name] * n_cells, categories=design.systems),
            "donor": [f"{name}_donor{d + 1}" for d in donor],
            "cell_type": np.array(names)[which],
            "gradient": rng.uniform(-1.0, 1.0, n_cells),
            "type_code": kinds[which],
            "system_code": system,
            "donor_code": donor,
        }
    )


def _sparse_effects(rng, shape: tuple[int, int], fraction: float, strength: float) -> np.ndarray:
    """Log fold changes that are zero for most genes; most of the others go up."""
    size = rng.gamma(4.0, strength / 4.0, shape)
    sign = np.where(rng.random(shape) < 0.8, 1.0, -1.0)
    return np.where(rng.random(shape) < fraction, size * sign, 0.0)
