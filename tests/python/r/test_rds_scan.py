"""Streams of R made by hand; tests/interop has files that R wrote."""

import bz2
import gzip
import lzma
import struct

import pytest

from scsystems.errors import InputError
from scsystems.r.rds_scan import check_rds

HEAD = b"X\n" + struct.pack(">iii", 2, 0x40202, 0x20300)
NULL, GLOBAL, UNBOUND = (struct.pack(">i", kind) for kind in (254, 253, 252))


def integer(*values):
    return struct.pack(f">{len(values)}i", *values)


def text(letters):
    return integer(0x40009, len(letters)) + letters.encode()


def symbol(name):
    return integer(1) + text(name)


def strings(*values):
    return integer(16, len(values)) + b"".join(map(text, values))


def pairs(*values, end=NULL):
    return b"".join(integer(2) + value for value in values) + end


# file.create("pwned"), which was never run, to be run in the global environment
CALL = integer(6) + symbol("file.create") + pairs(strings("pwned"))
PROMISE = integer(5 | 0x400) + GLOBAL + UNBOUND + CALL
KEPT = integer(5) + integer(13, 1, 7) + CALL


def of_list(*values):
    return integer(19, len(values)) + b"".join(values)


def environment(*values, attributes=NULL):
    return integer(4, 0) + GLOBAL + pairs(*values) + NULL + attributes


def s4(**slots):
    return integer(25 | 0x100 | 0x200) + b"".join(
        integer(2 | 0x400) + symbol(name) + value for name, value in slots.items()
    ) + NULL  # fmt: skip


CLOSURE = integer(3 | 0x400) + environment(PROMISE) + NULL + CALL


def check(path, body, pack=bytes):
    path.write_bytes(pack(HEAD + body))
    check_rds(path)


FINE = {
    "NULL": NULL,
    "numbers": integer(13, 3, 1, 2, 3),
    "text": strings("a", "é"),
    "a list": of_list(NULL, strings("a"), of_list(integer(10, 1, 1))),
    "an object": s4(counts=integer(14, 1) + bytes(8), names=strings("a")),
    "a function with its unused arguments": of_list(CLOSURE),
    "an environment that nobody looks into": of_list(environment(PROMISE, KEPT)),
    "a call": CALL,
    "a vector of more than 2^31": integer(24, -1, 0, 3) + b"abc",
}


@pytest.mark.parametrize("what", FINE)
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_what_cells_are_made_of_is_let_through(tmp_path, what, pack):
    check(tmp_path / "a.rds", FINE[what], pack)


ATTACKS = {
    "the whole file": PROMISE,
    "in a list": of_list(NULL, PROMISE),
    "deep in a list": of_list(of_list(of_list(PROMISE))),
    "in a slot": s4(counts=PROMISE),
    "in a pair": pairs(strings("a"), PROMISE),
    "at the end of pairs": pairs(strings("a"), end=PROMISE),
    "one that was kept": of_list(KEPT),
    "after an environment": of_list(environment(KEPT), PROMISE),
    "among an environment's attributes": environment(attributes=pairs(PROMISE)),
    "after a function": of_list(CLOSURE, PROMISE),
    "in an attribute of numbers": integer(13 | 0x200, 1, 1) + pairs(PROMISE),
    "in the state of a compact vector": integer(238) + NULL + PROMISE + NULL,
    "among text": integer(16, 2) + text("a") + PROMISE,
}


@pytest.mark.parametrize("where", ATTACKS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_promises_are_refused_wherever_a_look_would_run_them(tmp_path, where, pack):
    with pytest.raises(InputError, match="code in place of a value"):
        check(tmp_path / "a.rds", ATTACKS[where], pack)


BROKEN = {
    "empty": b"",
    "cut": integer(13, 3, 1),
    "a type that there is not": integer(99),
    "a length below zero": integer(13, -2),
    "a length that there is not": integer(14, -1, 2**31 - 1, 0),
    "a reference without end": integer(255),
}


@pytest.mark.parametrize("what", BROKEN)
def test_damaged_files_are_refused(tmp_path, what):
    with pytest.raises(InputError, match=r"could not be read .*saveRDS"):
        check(tmp_path / "a.rds", BROKEN[what])


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "a.rds"
    for content in (
        b"",
        b"A\n2\n",
        b"RDX3\nX\n",
        gzip.compress(HEAD + NULL)[:-9],
        b"\x1f\x8bnonsense",
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match="could not be read"):
            check_rds(path)
    path.write_bytes(HEAD[:2] + integer(9, 0, 0) + NULL)
    with pytest.raises(InputError, match="version 9"):
        check_rds(path)
    with pytest.raises(InputError, match="could not be read"):
        check_rds(tmp_path / "none.rds")


def test_nesting_has_an_end(tmp_path):
    deep = b"".join(of_list(b"")[:4] + integer(2) for _ in range(200_000))
    with pytest.raises(InputError, match="nested too deeply"):
        check(tmp_path / "a.rds", deep)
