"""What is said to users of R and of the command line holds no words that only Python has."""

import ast
import re
from pathlib import Path

import pytest

import scsystems

ROOT = Path(scsystems.__file__).parent

SAYING = {
    "warn", "warning", "InputError", "MissingExtraError", "ModelFileError", "NonFiniteError",
    "NotSupportedError", "NotTrainedError", "WorkerError", "DeviceMemoryError",
}  # fmt: skip

# what a user of R or of the command line cannot have written, and cannot call
PYTHON = re.compile(
    r"\badata\b|\.obs\b|\bobs\b|obsm\b|var_names|obs_names|\bscanpy\b|\bsc\.pp|\bscs?(ystems)?\.\w"
    r"|batch_key|system_key|label_key|labels_key|sample_key|covariate_keys|plan_kwargs"
    r"|pseudoinputs_data|accelerator|\blayers?=|\b\w+=(True|False|None)\b|\bNone\b"
    r"|\b(train|load|save|read|evaluate|grid|setup_anndata|load_query_data)\(|\bAnnData\b|dictionar"
)

# modules, and functions of others, that are called from Python alone or read files of AnnData
ONLY_PYTHON = {
    "data/containers.py", "data/disk.py", "data/prepare_store.py", "data/stores.py",
    "data/simulate.py", "plots/", "data/preprocess.py", "metrics/prior.py",
    "models/sysvi/likelihood.py", "models/sysvi/differential_abundance.py",
    "models/sysvi/own_cells.py", "models/sysvi/scvi_import.py", "nn/",
}  # fmt: skip
ONLY_PYTHON_FUNCTIONS = {
    "data/orthologs/tables.py:one_to_one", "data/schema.py:read", "data/schema.py:write", "data/species.py:check_names",
    "metrics/evaluate.py:summarize", "metrics/evaluate.py:integrated_scores",
    "models/scspecies/model.py:__init__", "models/scspecies/model.py:load",
    "models/scspecies/species.py:named_targets", "models/scspecies/species.py:named_context",
    "models/sysvi/differential_expression.py:differential_expression",
    "models/sysvi/differential_expression.py:_systems_to_compare",
    "models/sysvi/expression.py:posterior_predictive_sample",
    "models/sysvi/expression.py:get_normalized_expression",
    "models/sysvi/io.py:save",
    "models/sysvi/io.py:_require_own", "models/sysvi/query.py:load_query_data",
    "models/sysvi/query.py:prepare_query_anndata",
    "r/bridge.py:anndata_for_training", "train/parallel/distributed.py:require", "tune/report.py:_umaps",
}  # fmt: skip


def said(path: Path):
    """Line, function and literal text of every message in a module; calls within have words."""
    tree = ast.parse(path.read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and node.args):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", None))
        if name not in SAYING:
            continue
        inner = [f for f in functions if f.lineno <= node.lineno <= f.end_lineno]
        yield node.lineno, inner[-1].name if inner else "", " ".join(texts(node.args[0]))


def texts(node: ast.AST):
    if isinstance(node, ast.Call):  # what words.py says, or the user's own values
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from texts(child)


MODULES = [
    path
    for path in sorted(ROOT.rglob("*.py"))
    if not str(path.relative_to(ROOT)).startswith(tuple(ONLY_PYTHON))
]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_messages_have_no_words_of_python(path):
    wrong = [
        f"line {line}, {function}: {text}"
        for line, function, text in said(path)
        if PYTHON.search(text)
        and f"{path.relative_to(ROOT)}:{function}" not in ONLY_PYTHON_FUNCTIONS
    ]
    assert not wrong, "\n".join(wrong)
