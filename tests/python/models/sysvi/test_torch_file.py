"""Files of torch: what is read of them is what torch reads, and nothing else comes of them."""

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from scsystems.models.sysvi import torch_file
from scsystems.models.sysvi.torch_file import Inert, UnreadableError, read_torch_file


def saved(tmp_path, content):
    torch.save(content, tmp_path / "f.pt")
    return tmp_path / "f.pt"


def test_containers_numbers_and_text_are_as_they_were(tmp_path):
    content = {
        "a": [1, -5, 300, 70_000, 2**40, -(2**70), 1.5, True, False, None, "é", ()],
        "b": ((1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "c": OrderedDict(x=1, y={"z": []}),
        "d": defaultdict(list, {"k": [1]}),
        1: "whole",
    }
    assert read_torch_file(saved(tmp_path, content)) == content


TENSORS = [
    torch.arange(12.0).view(3, 4),
    torch.arange(12.0).view(3, 4).T,
    torch.arange(12.0).view(3, 4)[1:, ::2],
    torch.tensor(3),
    torch.tensor([True, False]),
    torch.zeros(0, 3),
    torch.ones(2, dtype=torch.float64),
    torch.ones(2, dtype=torch.bfloat16),
    torch.ones(2, dtype=torch.uint8),
    torch.nn.Parameter(torch.ones(2)),
]


@pytest.mark.parametrize(
    "tensor", TENSORS, ids=[str(t.dtype) + str(tuple(t.shape)) for t in TENSORS]
)
def test_tensors_are_as_torch_reads_them(tmp_path, tensor):
    path = saved(tmp_path, {"t": tensor, "again": tensor})
    found = read_torch_file(path)
    for name, expected in torch.load(path, weights_only=True).items():
        assert found[name].dtype == expected.dtype
        assert torch.equal(found[name], expected.detach())


ARRAYS = [
    np.array(["a", "é", None], dtype=object),
    np.array(["ab", "c"]),
    np.arange(6).reshape(2, 3),
    np.arange(6, dtype=">f4").reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.array([True, False]),
    np.zeros((0, 3)),
    np.arange(3, dtype=np.int8),
]


@pytest.mark.parametrize("array", ARRAYS, ids=[str(a.dtype) + str(a.shape) for a in ARRAYS])
def test_arrays_are_as_they_were(tmp_path, array):
    found = read_torch_file(saved(tmp_path, {"a": array, "again": array}))
    np.testing.assert_array_equal(found["a"], array)
    assert found["a"].dtype == array.dtype or array.dtype.byteorder == ">"
    assert found["a"] is found["again"]


def test_single_numbers_of_numpy(tmp_path):
    content = [np.float64(1.5), np.int64(3), np.bool_(True), np.float32(0.25)]
    assert read_torch_file(saved(tmp_path, content)) == [1.5, 3, True, 0.25]


def test_everything_else_is_inert(tmp_path):
    content = {
        "frame": pd.DataFrame({"a": [1]}),
        "dates": np.array(["2020-01-01"], dtype="M8[D]"),
        "set": {1},
        "path": Path("x"),
        "kept": 1,
    }
    found = read_torch_file(saved(tmp_path, content))
    assert found.pop("kept") == 1
    assert {type(value) for value in found.values()} == {Inert}


class Call:
    """Calls a function when it is unpickled; ``state`` is given to what it returns."""

    def __init__(self, function, *arguments, state=None):
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.call


def crafted(tmp_path, program, **entries):
    """An archive with a pickle of one's own."""
    path = tmp_path / "f.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("f/data.pkl", program)
        for name, data in entries.items():
            archive.writestr(f"f/data/{name[1:]}", data)
    return path


def test_nothing_is_called(tmp_path):
    mark = tmp_path / "called"
    program = pickle.dumps({"a": Call(open, str(mark), "w"), "b": Call(print, "x")}, 2)
    found = read_torch_file(crafted(tmp_path, program))
    assert type(found["a"]) is Inert
    assert not mark.exists()
    for function, arguments in ((os.mkdir, (str(mark),)), (os.system, ("true",))):
        with pytest.raises(UnreadableError, match="which no model needs"):
            read_torch_file(crafted(tmp_path, pickle.dumps(Call(function, *arguments), 2)))
    assert not mark.exists()


def test_types_of_arrays_that_lie_are_not_made(tmp_path):
    """A structured type that says it holds no objects, of memory that says where they are."""
    lying = Call(
        np.dtype,
        "V8",
        False,
        True,
        state=(3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0),
    )
    array = Call(np.ndarray, (1,), lying, struct.pack("<Q", 0x4141414141414140))
    assert type(read_torch_file(saved(tmp_path, {"a": array}))["a"]) is Inert
    make = np.zeros(0).__reduce__()[0]
    memory = struct.pack("<Q", 0x4141414141414140)
    for code, state in (
        ("V8", (1, (1,), lying, False, memory)),
        ("O8", (1, (1,), np.dtype("O"), False, memory)),
    ):
        array = Call(make, np.ndarray, (0,), b"b", state=state)
        if code == "V8":
            assert type(read_torch_file(saved(tmp_path, {"a": array}))["a"]) is Inert
        else:
            with pytest.raises(UnreadableError, match="another size than its values"):
                read_torch_file(saved(tmp_path, {"a": array}))


@pytest.mark.parametrize("shape", [(3,), (2**47, 2**47), (-1,), ("a",), (1,) * 20, [2]])
def test_arrays_larger_than_their_memory_are_refused(tmp_path, shape):
    make = np.zeros(0).__reduce__()[0]
    array = Call(make, np.ndarray, (0,), b"b", state=(1, shape, np.dtype("<f8"), False, b"\0" * 16))
    with pytest.raises(UnreadableError, match="array"):
        read_torch_file(saved(tmp_path, {"a": array}))


class Storage:
    """Pickled as a reference to the memory in an entry of the archive."""

    def __init__(self, key="0", n=4):
        self.key, self.n = key, n


def tensor_program(storage, *arguments):
    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, Storage):
                return ("storage", torch.FloatStorage, value.key, "cpu", value.n)
            return None

    file = io.BytesIO()
    rebuild = torch._utils._rebuild_tensor_v2
    Pickler(file, 2).dump(Call(rebuild, storage, *arguments, False, OrderedDict()))
    return file.getvalue()


def test_tensors_stay_within_their_memory(tmp_path):
    memory = np.arange(4, dtype="<f4").tobytes()
    good = crafted(tmp_path, tensor_program(Storage(), 1, (3,), (1,)), _0=memory)
    assert read_torch_file(good).tolist() == [1, 2, 3]
    for arguments in (
        (2, (3,), (1,)),
        (0, (5,), (0,)),  # more values than memory, by standing still
        (0, (2, 2), (3, 3)),
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (0, (2,), (1, 1)),
        (0, (10**12, 10**12), (1, 1)),
        (0, "ab", (1, 1)),
        (None, (2,), (1,)),
    ):
        path = crafted(tmp_path, tensor_program(Storage(), *arguments), _0=memory)
        with pytest.raises(UnreadableError, match=r"tensor|shape"):
            read_torch_file(path)
    for storage in (Storage(n=400), Storage(key="1"), Storage(key="../x")):
        path = crafted(tmp_path, tensor_program(storage, 0, (1,), (1,)), _0=memory)
        with pytest.raises(UnreadableError):
            read_torch_file(path)
    with pytest.raises(UnreadableError, match="without memory"):
        read_torch_file(crafted(tmp_path, tensor_program("text", 0, (1,), (1,))))


STEPS = {
    "cut": pickle.dumps([1, 2, 3], 2)[:-2],
    "nothing on the stack": b"\x80\x02.",
    "a step of other protocols": b"\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00]\x94.",
    "text as numbers": b"I1\n.",
    "memory that was never put": b"\x80\x02h\x05.",
    "a call without a function": b"\x80\x02]R.",
    "a list as arguments": b"\x80\x02cx\ny\n]R.",
    "nonsense": bytes(range(256)),
}


@pytest.mark.parametrize("what", STEPS)
def test_programs_that_do_not_work(tmp_path, what):
    with pytest.raises(UnreadableError):
        read_torch_file(crafted(tmp_path, STEPS[what]))


def test_a_memory_index_of_billions_takes_no_memory(tmp_path):
    # pickle itself makes room for all that could come before it
    program = b"\x80\x02K\x01r\xff\xff\xff\x7f."
    assert read_torch_file(crafted(tmp_path, program)) == 1


def test_archives_that_torch_does_not_write(tmp_path, monkeypatch):
    program = pickle.dumps([1], 2)
    path = tmp_path / "f.pt"
    for content in (b"", b"PK", program):
        path.write_bytes(content)
        with pytest.raises(UnreadableError):
            read_torch_file(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("f/data.pkl", b"\0" * 10**7)  # packed, it is small
    with pytest.raises(UnreadableError, match="packed"):
        read_torch_file(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("f/data.pkl", program)
        archive.writestr("f/byteorder", "big")
    with pytest.raises(UnreadableError, match="order of bytes"):
        read_torch_file(path)
    monkeypatch.setattr(torch_file, "LARGEST", 3)
    with pytest.raises(UnreadableError, match="too many"):
        read_torch_file(crafted(tmp_path, program))
    with pytest.raises(UnreadableError):
        read_torch_file(tmp_path / "none.pt")


def test_one_list_many_times_in_itself_takes_no_time(tmp_path):
    deep: list = [1]
    for _ in range(60):
        deep = [deep, deep]
    found = read_torch_file(crafted(tmp_path, pickle.dumps(deep, 2)))
    assert len(found) == 2
