"""The two streams of a cell, read in the order in which epoll(7) lists them."""

from __future__ import annotations

import select
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from nsmagic.run.listener import Listener
from nsmagic.run.pipes import Output, OutputPipe, waiting
from nsmagic.run.terminal import Terminal

ET: Final = select.EPOLLIN | select.EPOLLET
_MOST: Final = 1 << 20  # bytes that a terminal may hold without telling


class Streams:
    """stdout and stderr, two pipes or one terminal for both; what is read goes to `listener`."""

    def __init__(self, terminal: Terminal | None, listener: Listener) -> None:
        self.out: Output = terminal or OutputPipe()
        with ExitStack() as on_failure:
            on_failure.callback(self.out.close)
            self.err: Output = terminal or OutputPipe()
            on_failure.pop_all()
        self._listener = listener

    @property
    def wide(self) -> bool:
        """Whether one of them is written so fast that order is given up for speed."""
        return self.out.wide or self.err.wide

    @property
    def write_ends(self) -> tuple[int, int]:
        """The descriptors that become 1 and 2 of the cell."""
        return self.out.write_end, self.err.write_end

    def register(self, poller: select.epoll) -> None:
        """Have both listed, edge-triggered."""
        for pipe in {self.out, self.err}:
            poller.register(pipe.read_end, ET | pipe.also)

    def handlers(self, poller: select.epoll) -> dict[int, Callable[[], None]]:
        """Return what to call when a descriptor was listed."""
        return {
            self.err.read_end: lambda: self._read("stderr", self.err, poller),
            self.out.read_end: lambda: self._read("stdout", self.out, poller),
        }

    def _read(self, stream: str, pipe: Output, poller: select.epoll) -> None:
        """Take one piece.  If more is there, epoll lists it again, after what came before it."""
        if data := pipe.read():
            self._listener.output(stream, data)
            poller.modify(pipe.read_end, ET | pipe.also)

    def read_all(self) -> None:
        """Take what is there now, and no more: of a cell that goes on writing there is no end."""
        both = {"stdout": self.out, "stderr": self.err}
        if self.err is self.out:  # a terminal: what comes between two looks is not stderr's
            del both["stderr"]
        for stream, pipe in both.items():
            left = max(waiting(pipe.read_end), _MOST)
            while left > 0 and (data := pipe.read()):
                self._listener.output(stream, data)
                left -= len(data)

    def widen(self) -> None:
        """Give up the order: all is written."""
        self.out.widen()
        self.err.widen()

    def leave_to(self, reader: Callable[[int], None]) -> None:
        """Let `reader` read on what processes write that the cell left behind."""
        for pipe in (self.out, self.err):
            if isinstance(pipe, OutputPipe):
                pipe.leave_to(reader)

    def close(self) -> None:
        """Close both."""
        for pipe in {self.out, self.err}:
            pipe.close()
