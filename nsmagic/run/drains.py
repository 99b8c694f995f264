"""Output that outlives its cell: what a box's background processes write goes on into its log."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

_READ: Final = 1 << 16
MOST_LOG: Final = 100_000_000  # bytes; what comes after is read and dropped
_FULL: Final = b"\n[nsmagic: this log ends here; %d bytes is as long as it may grow]\n"


class Drains:
    """Pipes that are read until their last writer closes them, each with the log it goes to."""

    def __init__(self, poller: select.poll) -> None:
        self._poller = poller
        self._logs: dict[int, int] = {}

    def add(self, pipe: int, log: int) -> None:
        """Read `pipe` from now on; both descriptors are ours."""
        os.set_blocking(pipe, False)
        self._logs[pipe] = log
        self._poller.register(pipe, select.POLLIN)

    def serve(self, ready: Iterable[int]) -> None:
        """Take one piece of each pipe that has something to say."""
        for pipe in self._logs.keys() & set(ready):
            with suppress(BlockingIOError):
                data = os.read(pipe, _READ)
                if not data:
                    self._close(pipe)
                    continue
                _append(self._logs[pipe], data)

    def _close(self, pipe: int) -> None:
        self._poller.unregister(pipe)
        os.close(pipe)
        os.close(self._logs.pop(pipe))


def _append(log: int, data: bytes) -> None:
    size = os.fstat(log).st_size
    if size < MOST_LOG:
        with suppress(OSError):  # a full disk must not stop the box
            os.write(log, data)
            if size + len(data) >= MOST_LOG:
                os.write(log, _FULL % MOST_LOG)
