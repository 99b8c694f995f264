"""A terminal in the notebook: a plan whose program runs on a pseudo-terminal, and its widget."""

from __future__ import annotations

import threading
import time
from typing import Final

from nsmagic.run.channel import Channel, Frame
from nsmagic.run.result import Result
from nsmagic.run.sandbox import Sandbox
from nsmagic.run.spawned import SpawnLauncher
from nsmagic.run.spawning import spawner
from nsmagic.run.terminal import Keyboard
from nsmagic.run.tree import Tree
from nsmagic.widgets.terminal import Terminal
from nsmagic.wish.errors import NsmagicError
from nsmagic.wish.plan import Plan

_FLUSH: Final = 0.02  # s; what comes meanwhile goes in one message
_MOST: Final = 1 << 15  # bytes in one message
# The shell that is there; the kernel's TERM is that of no terminal.
_SCRIPT: Final = """TERM=xterm-256color; COLORTERM=truecolor; export TERM COLORTERM
command -v bash >/dev/null 2>&1 && exec bash -i
exec /bin/sh -i"""
SHELL: Final = ("/bin/sh", "-c", _SCRIPT)


class TermSession:
    """One terminal.  `view` is its widget; the thread that pumps ends with the program."""

    def __init__(self, plan: Plan, title: str, tree: Tree) -> None:
        self._keyboard = Keyboard()
        self.view = Terminal(title, self._keyboard)
        self._waiting = bytearray()
        self._due: float | None = None
        self._last = 0.0
        launcher = SpawnLauncher(plan, spawner(), "", tty=True)
        self._sandbox = Sandbox(plan, launcher, tree, self, terminal=self._keyboard)
        self._thread = threading.Thread(target=self._run, name="nsmagic-terminal", daemon=True)

    def start(self) -> None:
        """Start the program."""
        self._sandbox.start()
        self._thread.start()

    def close(self) -> None:
        """End the program and wait for it."""
        self._sandbox.interrupt()
        self._sandbox.interrupt()  # at once
        self._thread.join(timeout=5)

    @property
    def alive(self) -> bool:
        """Whether the program still runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            result = self._sandbox.finish()
        except NsmagicError as error:
            text = f"{error}\n{error.hint}".strip()
        else:
            text = "ended" if result.ok else f"the shell {result.ending}"
        self._flush()
        self.view.end(text)

    def output(self, _stream: str, data: bytes) -> None:
        """Take what the program wrote: at once after a pause, else a little later, together."""
        self._waiting += data
        if len(self._waiting) >= _MOST or time.monotonic() - self._last > _FLUSH:
            self._flush()
        elif self._due is None:
            self._due = time.monotonic() + _FLUSH

    def _flush(self) -> None:
        self._due = None
        while self._waiting:
            self.view.push(bytes(self._waiting[:_MOST]))
            del self._waiting[:_MOST]
        self._last = time.monotonic()

    def deadline(self) -> float | None:
        """Return when what waits is to be shown."""
        return self._due

    def tick(self) -> None:
        """Show what waits."""
        self._flush()

    def message(self, frame: Frame, channel: Channel) -> None:
        """A program has no channel."""

    def ready(self, result: Result) -> None:
        """The shell starts; it says so itself."""
