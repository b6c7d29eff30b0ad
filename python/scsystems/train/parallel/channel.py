"""Messages between two processes, one of which does not wait for ever."""

from __future__ import annotations

import math
import socket
import struct

# seconds between looks at whether there is something
LOOK = 0.25
# every message begins with its length
LENGTH = struct.Struct("<q")


class Silence(Exception):
    """The other process says nothing for longer than patience lasts."""


class Patience:
    """Some seconds of waiting for other processes.

    They are counted in looks, not by a clock: while the whole program stands still (Ctrl-Z, a
    computer that sleeps), no more than one of them is used up.
    """

    def __init__(self, seconds: float):
        self.looks = math.ceil(seconds / LOOK)

    def use(self) -> None:
        """One look in vain."""
        self.looks -= 1
        if self.looks < 0:
            raise Silence


def channel() -> tuple[socket.socket, socket.socket]:
    """Two ends: one for the process that has patience, one for the process that waits for ever."""
    ours, theirs = socket.socketpair()
    ours.settimeout(LOOK)
    theirs.settimeout(None)
    return ours, theirs


def send(end: socket.socket, message: bytes, patience: Patience | None = None) -> None:
    """Send a message; an end without a time limit needs no patience.

    Raises
    ------
    Silence
        If the other process does not take it.
    OSError
        If the other process has ended.
    """
    rest = memoryview(LENGTH.pack(len(message)) + message)
    while rest:
        try:
            rest = rest[end.send(rest) :]
        except TimeoutError:
            patience.use()


def receive(end: socket.socket, patience: Patience | None = None) -> bytearray:
    """The next message; an end without a time limit needs no patience.

    Raises
    ------
    Silence
        If there is none.
    OSError
        If the other process has ended.
    """
    (length,) = LENGTH.unpack(_exactly(end, LENGTH.size, patience))
    return _exactly(end, length, patience)


def _exactly(end: socket.socket, n: int, patience: Patience | None) -> bytearray:
    content = bytearray(n)
    rest = memoryview(content)
    while rest:
        try:
            taken = end.recv_into(rest)
        except TimeoutError:
            patience.use()
            continue
        if not taken:
            raise ConnectionError("The other process has ended.")
        rest = rest[taken:]
    return content
