"""The stop button, which is SIGINT: it stops the isolated cell, and never us half-way."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from nsmagic.notebook.failures import one_line_if_stopped

_Handler = TypeVar("_Handler", bound=Callable[..., object])
_ECHO: Final = 0.5  # s


class StopButton:
    """Handles SIGINT from before a cell exists: what was pressed by then reaches it at `aim`."""

    def __init__(self) -> None:
        self.pressed = 0
        self._pid = os.getpid()
        self._target: Callable[[], None] | None = None

    def __call__(self, *_: object) -> None:
        """Be pressed.  A forked copy does nothing: the terminal and Jupyter signal both of us."""
        if os.getpid() != self._pid:
            return
        self.pressed += 1
        if self._target is not None:
            self._target()

    def aim(self, target: Callable[[], None]) -> None:
        """Let `target` stop the cell from now on."""
        self._target = target
        for _ in range(self.pressed):
            target()


class Echo:
    """Handles SIGINT after a cell was stopped: who presses twice means the same cell.

    In ipykernel, which is about to reply then, KeyboardInterrupt costs the reply, and where it hits
    a lock the kernel.  After half a second SIGINT is again what it was before, `given_back`.
    """

    given_back: Any

    def __init__(self, before: object) -> None:
        self.given_back = before.given_back if isinstance(before, Echo) else before
        self._until = time.monotonic() + _ECHO

    def __call__(self, *_: object) -> None:
        """Be pressed once more."""
        if time.monotonic() >= self._until:
            signal.signal(signal.SIGINT, self.given_back)
            signal.raise_signal(signal.SIGINT)


@contextmanager
def on_sigint(handler: _Handler) -> Generator[_Handler]:
    """Handle SIGINT by `handler`; does nothing but in the main thread, where alone one can."""
    if threading.current_thread() is not threading.main_thread():
        yield handler
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield handler
    finally:
        after = Echo(before) if isinstance(handler, StopButton) and handler.pressed else before
        with one_line_if_stopped("the cell had ended"):
            signal.signal(signal.SIGINT, after)  # in Python, and the next press is not ours
