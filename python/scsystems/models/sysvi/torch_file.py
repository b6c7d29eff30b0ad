"""Plain values of a file that ``torch.save`` wrote, read without executing anything in it.

Such a file is a zip archive of a pickle, a small program that makes objects by calling functions,
and of the memory of tensors. Here the program is gone through step by step: the few functions
that make tensors, arrays and containers are known by name and done by the code below, with sizes
checked against the memory there is; whatever any other call would make is an inert placeholder.
"""

from __future__ import annotations

import math
import pickletools
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
# bytes of a pickle that are gone through: a thousand times what a model has
LARGEST = 2**26
# modules that nothing but an attack asks for
HARMFUL = {"os", "posix", "nt", "sys", "subprocess"}


class UnreadableError(Exception):
    """The file is damaged, or holds what no model needs."""


class Inert:
    """Stands for an object that is not needed."""


class _Name(str):
    """A function or class, by module and name."""


class _Dtype:
    """A type of numpy's arrays; arrays of other than plain numbers and text are not made."""

    def __init__(self, code: Any):
        self.plain: np.dtype | None = None
        if type(code) is str and re.fullmatch(r"O8?|b1|[iu][1248]|f[248]|[SU][1-9]\d{0,5}", code):
            self.plain = np.dtype(code)

    def build(self, state: Any) -> None:
        # (version, byte order, three entries that structured types have, size, alignment, flags);
        # only the order is believed
        if self.plain is None or type(state) is not tuple or len(state) < 8:
            self.plain = None
        elif state[2:5] != (None, None, None) or state[1] not in ("<", ">", "|", "="):
            self.plain = None
        else:
            self.plain = self.plain.newbyteorder(state[1])

    def array(self, data: bytes) -> np.ndarray:
        if self.plain is None or len(data) % self.plain.itemsize:
            raise UnreadableError("an array of another size than its memory")
        if self.plain.kind == "b":
            return np.frombuffer(data, np.uint8) != 0
        return np.frombuffer(data, self.plain).copy()


class _Array:
    """An array of numpy to come."""

    def build(self, state: Any) -> Any:
        if type(state) is not tuple or len(state) != 5 or not isinstance(state[2], _Dtype):
            raise UnreadableError("an array without a type")
        _, shape, dtype, by_column, data = state
        n = _count(shape)
        if dtype.plain is None:
            return Inert()
        if dtype.plain.kind == "O":
            if type(data) is not list or len(data) != n:
                raise UnreadableError("an array of another size than its values")
            flat = np.empty(n, object)
            flat[:] = [value if _is_plain(value) else None for value in data]
        else:
            flat = dtype.array(data) if type(data) is bytes else np.empty(0)
            if len(flat) != n:
                raise UnreadableError("an array of another size than its memory")
        return flat.reshape(shape, order="F" if by_column is True else "C")


def read_torch_file(path: Path) -> Any:
    """What ``torch.save`` was given, as far as it is made of containers, numbers, text, arrays and tensors.

    Raises
    ------
    UnreadableError
        If the file is damaged or not of this kind.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _Machine(archive, path.stat().st_size).run()
    except UnreadableError:
        raise
    except (
        *(zipfile.BadZipFile, zlib.error, EOFError, OSError, struct.error, NotImplementedError),
        *(ValueError, TypeError, LookupError, OverflowError, RuntimeError, MemoryError),
    ) as error:
        # whatever a damaged archive or program leads to
        said = str(error).strip().splitlines()
        raise UnreadableError(said[0] if said else type(error).__name__) from error


class _Machine:
    """The stack and the memory of a pickle's program."""

    def __init__(self, archive: zipfile.ZipFile, size: int):
        self._archive, self._size = archive, size
        programs = [n for n in archive.namelist() if re.fullmatch(r"[^/]+/data\.pkl", n)]
        if len(programs) != 1:
            raise UnreadableError("it is not an archive of torch")
        self._root = programs[0].rpartition("/")[0]
        order = f"{self._root}/byteorder"
        if order in archive.namelist() and self._bytes("byteorder") != b"little":
            raise UnreadableError("its order of bytes is not that of this machine")
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memory: dict[int, Any] = {}
        self._places: dict[int, list[int]] = {}
        self._storages: dict[str, Tensor] = {}

    def run(self) -> Any:
        program = self._bytes("data.pkl", LARGEST)
        for opcode, argument, _ in pickletools.genops(program):
            if opcode.name == "STOP":
                return self._stack.pop()
            step = _STEPS.get(opcode.name)
            if step is None:
                raise UnreadableError(f"a step that models do not have ({opcode.name})")
            step(self, argument)
        raise UnreadableError("it ends too early")

    # -- steps ------------------------------------------------------------------------------

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def mark(self, _: Any) -> None:
        self._marks.append(len(self._stack))

    def since_mark(self) -> list[Any]:
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def tuple_of(self, n: int) -> None:
        if n > len(self._stack):
            raise UnreadableError("a step without its values")
        values = tuple(self._stack[-n:])
        del self._stack[-n:]
        self.push(values)

    def put(self, index: int) -> None:
        value = self._stack[-1]
        self._memory[index] = value
        if isinstance(value, _Array):
            self._places.setdefault(id(value), []).append(index)

    def get(self, index: int) -> None:
        self.push(self._memory[index])

    def name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        if module.split(".")[0] in HARMFUL:
            raise UnreadableError(f"a call of {module}.{name}, which no model needs")
        self.push(_Name(f"{module.replace('__builtin__', 'builtins')}.{name}"))

    def call(self, _: Any = None) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if type(arguments) is not tuple:
            raise UnreadableError("a call without arguments")
        make = _CALLS.get(function) if isinstance(function, _Name) else None
        self.push(make(self, *arguments) if make is not None else Inert())

    def build(self, _: Any) -> None:
        state, made = self._stack.pop(), self._stack[-1]
        if isinstance(made, _Dtype):
            made.build(state)
        elif isinstance(made, _Array):
            self._stack[-1] = array = made.build(state)
            for index in self._places.pop(id(made), ()):
                self._memory[index] = array

    def append(self, values: list[Any]) -> None:
        if isinstance(self._stack[-1], list):
            self._stack[-1].extend(values)

    def set(self, values: list[Any]) -> None:
        if isinstance(self._stack[-1], dict):
            pairs = zip(values[::2], values[1::2], strict=True)
            self._stack[-1].update((k, v) for k, v in pairs if _is_plain(k))

    def storage(self, _: Any) -> None:
        kind, storage, key, _, n = self._stack.pop()
        dtype = STORAGES.get(storage.rpartition(".")[2]) if isinstance(storage, _Name) else None
        if kind != "storage" or dtype is None or not re.fullmatch(r"\d+", key):
            raise UnreadableError("memory of an unknown kind")
        if key not in self._storages:
            data = self._bytes(f"data/{key}")
            raw = (
                torch.frombuffer(bytearray(data), dtype=torch.uint8)
                if data
                else torch.empty(0, dtype=torch.uint8)
            )
            self._storages[key] = raw != 0 if dtype == torch.bool else raw.view(dtype)
        memory = self._storages[key]
        if memory.dtype != dtype or memory.numel() != n:
            raise UnreadableError("memory of another size than it should have")
        self.push(memory)

    # -- what calls make --------------------------------------------------------------------

    def tensor(self, memory: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Tensor:
        if not isinstance(memory, Tensor) or memory.dim() != 1 or type(stride) is not tuple:
            raise UnreadableError("a tensor without memory")
        n = _count(shape)
        numbers = (offset, *stride)
        if len(stride) != len(shape) or any(type(i) is not int or i < 0 for i in numbers):
            raise UnreadableError("a tensor of an impossible shape")
        last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
        if n > memory.numel() or (n and last >= memory.numel()):
            raise UnreadableError("a tensor that is larger than its memory")
        if n == 0:
            return memory.new_empty(shape)
        return memory.as_strided(shape, stride, offset).clone()

    def scalar(self, dtype: Any, data: Any = b"") -> Any:
        if not isinstance(dtype, _Dtype) or dtype.plain is None or type(data) is not bytes:
            return None
        values = dtype.array(data)
        return values[0].item() if len(values) == 1 else None

    def _bytes(self, name: str, largest: int | None = None) -> bytes:
        """An entry of the archive; never more than the file itself, and never packed."""
        entry = self._archive.getinfo(f"{self._root}/{name}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > self._size:
            raise UnreadableError("an entry that is packed, as torch does not do it")
        if largest is not None and entry.file_size > largest:
            raise UnreadableError(f"{entry.file_size} bytes are too many")
        return self._archive.read(entry)


def _count(shape: Any) -> int:
    """Number of values of an array."""
    if type(shape) is not tuple or any(type(n) is not int or not 0 <= n < 2**48 for n in shape):
        raise UnreadableError("an array of an impossible shape")
    if len(shape) > 8:
        raise UnreadableError("an array of too many dimensions")
    return math.prod(shape)


def _is_plain(value: Any) -> bool:
    return value is None or type(value) in (str, int, float, bool, bytes)


def _latin(_: _Machine, text: Any, encoding: Any = None) -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise UnreadableError("bytes in an unknown encoding")
    return text.encode("latin1")


_CALLS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor_v2": _Machine.tensor,
    "torch._utils._rebuild_parameter": lambda machine, tensor, *_: tensor,
    "collections.OrderedDict": lambda machine, *_: {},
    "collections.defaultdict": lambda machine, *_: {},
    "builtins.dict": lambda machine, *_: {},
    "builtins.bytes": lambda machine, *_: b"",
    "_codecs.encode": _latin,
    "numpy.dtype": lambda machine, code, *_: _Dtype(code),
    **dict.fromkeys(
        ("numpy._core.multiarray._reconstruct", "numpy.core.multiarray._reconstruct"),
        lambda machine, *_: _Array(),
    ),
    **dict.fromkeys(
        ("numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar"), _Machine.scalar
    ),
}

# the steps of pickles of protocol 2, which torch writes
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda m, _: None,
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"),
        _Machine.push,
    ),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "MARK": _Machine.mark,
    "TUPLE": lambda m, _: m.push(tuple(m.since_mark())),
    "TUPLE1": lambda m, _: m.tuple_of(1),
    "TUPLE2": lambda m, _: m.tuple_of(2),
    "TUPLE3": lambda m, _: m.tuple_of(3),
    "APPEND": lambda m, _: m.append([m._stack.pop()]),
    "APPENDS": lambda m, _: m.append(m.since_mark()),
    "SETITEM": lambda m, _: m.set([m._stack.pop(-2), m._stack.pop()]),
    "SETITEMS": lambda m, _: m.set(m.since_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Machine.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.get),
    "GLOBAL": _Machine.name,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.storage,
}
