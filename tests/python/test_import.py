import subprocess
import sys

import pytest

import scsystems


def test_import_loads_neither_torch_nor_scanpy():
    code = "import sys, scsystems; print(sorted({'torch', 'scanpy', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_can_be_had():
    for name in scsystems.__all__:
        assert getattr(scsystems, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        scsystems.nonsense  # noqa: B018


def test_missing_extra_names_the_command():
    from scsystems.errors import MissingExtraError, require_extra

    with pytest.raises(MissingExtraError, match=r"pip install 'scsystems\[metrics\]'"):
        require_extra("no_such_module_at_all", "metrics")
