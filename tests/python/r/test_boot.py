import os
import subprocess
import sys

import pytest

CODE = """
import sys
from scsystems.r.boot import load_torch
assert "torch" not in sys.modules
before = sys.getdlopenflags()
print(load_torch())
assert sys.getdlopenflags() == before
assert load_torch() is load_torch()
"""


def run(code):
    path = os.pathsep.join(p for p in sys.path if p)
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no dlopen flags")
def test_torch_is_imported_with_its_own_libraries_first_and_flags_are_restored():
    assert "'own_blas': True" in run(CODE)


def test_a_torch_that_is_there_already_is_reported():
    out = run("import torch\nfrom scsystems.r.boot import load_torch\nprint(load_torch())")
    assert "'already_loaded': True" in out
