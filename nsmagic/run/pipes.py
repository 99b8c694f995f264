"""Pipes that keep the order of stdout against stderr.

A pipe of one page in packet mode (O_DIRECT, pipe(2)) holds one write at a time, and epoll(7) lists
edge-triggered descriptors in the order in which they became ready: together they give the exact
order of writes to two pipes, which reading two ordinary pipes cannot.  Each write then waits for
the one before to be read, so a pipe that is written fast is widened for good.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

_WIDE: Final = (1 << 20, 1 << 16)  # bytes, the first that we may have
_READ: Final = 1 << 20
# A stream that writes more than this within the window is a flood, where speed counts.
_FLOOD_WRITES: Final = 100
_FLOOD_WINDOW: Final = 0.1


class Output(Protocol):
    """Where a stream goes: `write_end` is the child's, `read` gives what was written."""

    read_end: int
    write_end: int
    wide: bool
    also: int  # events beside EPOLLIN on which `read` has something to do
    deadline: float | None  # when `tick` is wanted, on the monotonic clock

    def read(self) -> bytes:
        """Return what there is, or b""."""

    def tick(self) -> None:
        """Do what was due at `deadline`."""

    def widen(self) -> None:
        """Let `read` be called until there is nothing left."""

    def close(self) -> None:
        """Close both ends."""


class OutputPipe:
    """One output stream of a cell, through a pipe of which we keep both ends."""

    also = 0
    deadline: float | None = None

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe2(os.O_CLOEXEC | os.O_DIRECT)
        os.set_blocking(self.read_end, False)
        fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, 4096)
        self.wide = False
        self._writes = 0
        self._since = time.monotonic()

    def read(self) -> bytes:
        """Return one write (when wide: all there is, up to 1 MB), or b"" if there is none."""
        try:
            data = os.read(self.read_end, _READ)
        except BlockingIOError:
            return b""
        if not self.wide:
            self._notice_flood()
        return data

    def tick(self) -> None:
        """Nothing is ever due for a pipe."""

    def _notice_flood(self) -> None:
        self._writes += 1
        if self._writes >= _FLOOD_WRITES:
            now = time.monotonic()
            if now - self._since < _FLOOD_WINDOW:
                self.widen()
            self._writes, self._since = 0, now

    def widen(self) -> None:
        """Trade order for speed: merge writes, in a buffer of 1 MB."""
        self.wide = True
        # The flag belongs to the open file description, which the child shares with us.
        flags = fcntl.fcntl(self.write_end, fcntl.F_GETFL)
        fcntl.fcntl(self.write_end, fcntl.F_SETFL, flags & ~os.O_DIRECT)
        for size in _WIDE:
            # Above pipe-max-size or pipe-user-pages-soft, pipe(7), an ordinary user may not.
            with suppress(PermissionError):
                fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, size)
                return

    def leave_to(self, reader: Callable[[int], None]) -> None:
        """Let `reader` read on if others than us still have the pipe open for writing."""
        os.close(self.write_end)
        self.write_end = -1
        poller = select.poll()
        poller.register(self.read_end, select.POLLIN)
        if not any(event & select.POLLHUP for _, event in poller.poll(0)):
            reader(self.read_end)

    def close(self) -> None:
        """Close both ends."""
        os.close(self.read_end)
        if self.write_end >= 0:
            os.close(self.write_end)


def waiting(fd: int) -> int:
    """Return how many bytes can be read now, FIONREAD of ioctl_tty(2) and pipe(7)."""
    answer = fcntl.ioctl(fd, termios.FIONREAD, struct.pack("i", 0))
    count: int = struct.unpack("i", answer)[0]
    return count
