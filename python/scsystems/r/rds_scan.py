"""What an ``.rds`` file holds, looked through before R reads it.

In place of a value a file can hold a promise, code that R runs as soon as the value is looked at
(CVE-2024-27322; R 4.4 refuses it where it is the whole file). R itself writes promises within the
environments of functions only, where they stay until the function is called; anywhere else they
are an attack. The stream is gone through item by item as R would, in blocks; what it says of
lengths is checked by what there is.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import InputError

BLOCK = 2**20
# items within items; an object of cells has some dozens
DEEPEST = 100_000

_PACKED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}

# types of items, see "R Internals" and serialize.c
SYMBOL, PAIRS, CLOSURE, ENVIRONMENT, PROMISE, CALL = 1, 2, 3, 4, 5, 6
SPECIAL, BUILTIN, CHAR, LOGICAL, INTEGER, REAL, COMPLEX = 7, 8, 9, 10, 13, 14, 15
STRING, DOTS, LIST, EXPRESSION, BYTECODE, POINTER, WEAK, RAW, S4 = (
    16,
    17,
    19,
    20,
    21,
    22,
    23,
    24,
    25,
)
ALTREP, ATTR_PAIRS, ATTR_CALL, BC_REF, BC_DEF = 238, 239, 240, 243, 244
PACKAGE, NAMESPACE, REFERENCE = 248, 249, 255
# empty and base environment, base namespace, missing argument, unbound value, global environment, NULL
NOTHING = (241, 242, 250, 251, 252, 253, 254)
WIDTHS = {LOGICAL: 4, INTEGER: 4, REAL: 8, COMPLEX: 16, RAW: 1}
HAS_ATTRIBUTES, HAS_TAG = 1 << 9, 1 << 10

# kinds of things to be read next
ITEM, CODE, CODE_CONSTANTS, CODE_CALL, LEAVE = range(5)


def check_rds(path: str | Path) -> None:
    """Refuse a file that makes R run code when its object is looked at, or that is damaged.

    Functions in the object are not refused: no file of R is safe whose origin is not trusted.

    Raises
    ------
    InputError
        If it does, or is damaged, or is no file that ``saveRDS()`` writes.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(6)
        packed = [how for magic, how in _PACKED.items() if start.startswith(magic)]
        with (packed[0] if packed else open)(path, "rb") as file:
            holds_promise = _Scanner(file).scan()
    except (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError, struct.error) as error:
        raise InputError(
            f"{path} could not be read ({str(error) or 'it ends too early'}). Expected an undamaged file that "
            "saveRDS() of R wrote."
        ) from error
    if holds_promise:
        raise InputError(
            f"{path} holds code in place of a value (a promise), which R would run as soon as the object is looked "
            "at, so it is not read. R does not write such files by itself: do not trust where it comes from."
        )


class _Scanner:
    """Goes through a stream; keeps no values."""

    def __init__(self, file: BinaryIO):
        self._file, self._data, self._at = file, b"", 0
        # what is to be read yet, with how often; the last comes first
        self._todo: list[tuple[int, int]] = []
        # how many environments the item is in
        self._environments = 0

    def scan(self) -> bool:
        """Whether there is a promise that runs when it is looked at."""
        if self._bytes(2) != b"X\n":
            raise ValueError(
                "it is not in the binary format: save it again with saveRDS(object, file)"
            )
        version, _, _ = self._int(), self._int(), self._int()
        if version not in (2, 3):
            raise ValueError(f"version {version} of the format is not known")
        if version == 3:
            self._skip(self._length())
        self._expect(ITEM)
        while self._todo:
            if len(self._todo) > DEEPEST:
                raise ValueError("it is nested too deeply")
            what, times = self._todo.pop()
            if times > 1:
                self._todo.append((what, times - 1))
            if self._steps[what](self):
                return True
        return False

    def _expect(self, what: int, times: int = 1) -> None:
        if times:
            self._todo.append((what, times))

    # -- what the stream is made of -----------------------------------------------------------

    def _item(self) -> bool:
        flags = self._int()
        kind = flags & 0xFF
        attributes = int(bool(flags & HAS_ATTRIBUTES))
        if kind in NOTHING:
            return False
        if kind == REFERENCE:
            if flags >> 8 == 0:
                self._int()
        elif kind == SYMBOL:
            self._expect(ITEM)
        elif kind in (PAIRS, CALL, CLOSURE, DOTS, PROMISE):
            if kind == PROMISE and not self._environments:
                return True
            self._expect(ITEM, attributes + bool(flags & HAS_TAG) + 2)
        elif kind == ENVIRONMENT:
            self._int()
            # its attributes are looked at like those of a value
            self._expect(ITEM)
            self._expect(LEAVE)
            self._expect(ITEM, 3)
            self._environments += 1
        elif kind in (PACKAGE, NAMESPACE):
            self._int()
            self._expect(ITEM, self._length())
        elif kind in (SPECIAL, BUILTIN):
            self._skip(self._length())
        elif kind == CHAR:
            n = self._int()
            self._skip(max(n, 0))
            self._expect(ITEM, attributes)
        elif kind in WIDTHS:
            self._skip(self._length() * WIDTHS[kind])
            self._expect(ITEM, attributes)
        elif kind == STRING:
            self._expect(ITEM, attributes)
            self._strings(self._length())
        elif kind in (LIST, EXPRESSION):
            self._expect(ITEM, attributes)
            self._expect(ITEM, self._length())
        elif kind == BYTECODE:
            self._int()
            self._expect(ITEM, attributes)
            self._expect(CODE)
        elif kind == POINTER:
            self._expect(ITEM, 2 + attributes)
        elif kind in (WEAK, S4):
            self._expect(ITEM, attributes)
        elif kind == ALTREP:
            self._expect(ITEM, 3)
        else:
            raise ValueError(f"items of type {kind} are not known")
        return False

    def _strings(self, n: int) -> None:
        """Text, of which there may be millions: without a step for each."""
        plain = 0
        while plain < n:
            flags, length = self._pair()
            if flags & 0xFF != CHAR or flags & HAS_ATTRIBUTES:
                # as any other item
                self._at -= 8
                self._expect(ITEM, n - plain)
                return
            self._skip(max(length, 0))
            plain += 1

    def _code(self) -> None:
        self._expect(CODE_CONSTANTS)
        self._expect(ITEM)

    def _code_constants(self) -> None:
        # each says its type, and may be code again
        self._expect(CODE_CALL, self._length())

    def _code_call(self) -> None:
        kind = self._int()
        if kind == BC_REF:
            self._int()
            return
        if kind == BC_DEF:
            self._int()
            kind = self._int()
        if kind == BYTECODE:
            self._expect(CODE)
        elif kind in (PAIRS, CALL, ATTR_PAIRS, ATTR_CALL):
            self._expect(CODE_CALL, 2)
            self._expect(ITEM, 1 + (kind in (ATTR_PAIRS, ATTR_CALL)))
        else:
            self._expect(ITEM)

    def _leave(self) -> None:
        self._environments -= 1

    _steps = (_item, _code, _code_constants, _code_call, _leave)

    # -- bytes ----------------------------------------------------------------------------------

    def _fill(self, n: int) -> None:
        """At least ``n`` bytes in memory from here on."""
        while len(self._data) - self._at < n:
            more = self._file.read(BLOCK)
            if not more:
                raise EOFError
            self._data, self._at = self._data[self._at :] + more, 0

    def _bytes(self, n: int) -> bytes:
        self._fill(n)
        self._at += n
        return self._data[self._at - n : self._at]

    def _skip(self, n: int) -> None:
        here = len(self._data) - self._at
        if n <= here:
            self._at += n
            return
        self._data, self._at, n = b"", 0, n - here
        while n:
            more = len(self._file.read(min(n, BLOCK)))
            if not more:
                raise EOFError
            n -= more

    def _next(self) -> int:
        self._fill(4)
        return struct.unpack_from(">i", self._data, self._at)[0]

    def _int(self) -> int:
        value = self._next()
        self._at += 4
        return value

    def _pair(self) -> tuple[int, int]:
        self._fill(8)
        self._at += 8
        return struct.unpack_from(">ii", self._data, self._at - 8)

    def _length(self) -> int:
        n = self._int()
        if n == -1:
            n = (self._int() << 32) + (self._int() & 0xFFFFFFFF)
        if n < 0:
            raise ValueError("a length below zero")
        return n
