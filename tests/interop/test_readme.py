"""What the README shows runs, word for word, on small data and with few epochs."""

import re
import textwrap
from types import ModuleType

import pytest

import scsystems as scs
from scsystems.data.orthologs import bundled, one_to_one


@pytest.fixture
def blocks(root) -> list[str]:
    """The README's Python code."""
    text = (root / "README.md").read_text()
    return [textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", text, re.S)]


def shortened(code: str) -> str:
    return code.replace("model.train()", "model.train(max_epochs=2, verbose=False)")


def test_the_first_screen(blocks):
    adata = scs.datasets.simulated(n_cells=240, n_genes=300, n_types=3)
    names = {"adata": adata}
    exec(shortened(blocks[0]), names)
    assert isinstance(names["scs"], ModuleType)
    assert names["adata"].obsm["X_sysvi"].shape == (240, 15)


def test_species_with_their_own_genes(blocks, tmp_path, monkeypatch, capsys):
    species, table = scs.datasets.simulated_by_species(n_cells=400, n_genes=600, n_types=3)
    mouse, human = species.values()
    names = {"mouse": "species1", "human": "species2"}
    pairs = table.pairs.rename(columns={there: here for here, there in names.items()})
    # under names of genes of human and mouse, for which the README needs no table
    known = one_to_one(bundled.TABLE, ("mouse", "human")).pairs.iloc[: len(pairs)]
    for name, adata in {"mouse": mouse, "human": human}.items():
        called = dict(zip(pairs[name], known[name], strict=True))
        adata.var_names = [called.get(gene, gene) for gene in adata.var_names]
        pairs[name] = known[name].to_numpy()
    pairs.to_csv(tmp_path / "human_mouse.tsv", sep="\t", index=False)
    monkeypatch.chdir(tmp_path)
    prepared = {"scs": scs, "human": human, "mouse": mouse}
    exec(blocks[1], prepared)
    assert "one-to-one pairs" in capsys.readouterr().out
    assert prepared["adata"].n_obs == 400
    aligned = {"scs": scs, "human": human, "mouse": mouse}
    exec(shortened(blocks[2]), aligned)
    assert aligned["human"].obsm["X_scspecies"].shape == (human.n_obs, 10)
    assert "label" in aligned["human"].obs
