"""The kernel's side of the spawner: starting it, asking it, watching it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import nsmagic
from nsmagic.run.channel import Channel, Frame
from nsmagic.run.launch import (
    CLOSE_SECONDS,
    Ended,
    count_left,
    text_file,
    wait_readable,
    wait_status,
)
from nsmagic.run.ledger import close_ledger, ledger
from nsmagic.run.program import surroundings
from nsmagic.run.result import Usage
from nsmagic.wish.errors import NsmagicError
from nsmagic.wish.plan import Plan
from nsmagic.wish.steps import Fork, to_json

_A_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

# -I and -S keep the start short; the package's own folder is all that it needs.
_BOOT = """
import sys
sys.path.insert(0, sys.argv[1])
from nsmagic.run.spawner import main
main(sys.argv[2:])
"""


class SpawnerClient:
    """One spawner, started at once and asked from any thread."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair()
        me = os.pidfd_open(self.owner)
        os.set_inheritable(me, True)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BOOT, str(Path(nsmagic.__file__).parents[1]),
                 str(theirs.fileno()), str(me), str(ledger().path or "")],
                pass_fds=[theirs.fileno(), me], start_new_session=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, cwd="/",
            )  # fmt: skip
        os.close(me)
        self._channel = Channel(ours)

    @property
    def alive(self) -> bool:
        """Whether this is our own spawner (not one inherited over fork) and still runs."""
        return self.owner == os.getpid() and self.process.poll() is None

    def ask(
        self, kind: str, *, fds: list[int] | None = None, buffers: Sequence[bytes] = (), **data: Any
    ) -> None:
        """Send a request; NsmagicError if the spawner is gone."""
        try:
            with self._lock:
                self._channel.send(kind, fds=fds or [], buffers=buffers, **data)
        except OSError as error:
            raise NsmagicError(
                f"the spawner (PID {self.process.pid}) is gone: {error.strerror}",
                hint="Run the cell again: a new one is started.",
            ) from None

    def hang_up(self) -> None:
        """Close our end of the conversation."""
        self._channel.close()

    def close(self) -> None:
        """Hang up; the spawner ends what it guards, and itself."""
        with suppress(NsmagicError):  # gone already
            self.ask("dismiss")
        self.hang_up()
        self.process.wait()


_clients: list[SpawnerClient] = []


def spawner() -> SpawnerClient:
    """Return this process's spawner, started if there is none."""
    if _clients and not _clients[-1].alive:
        _clients.pop().hang_up()
    if not _clients:
        _clients.append(SpawnerClient())
    return _clients[-1]


def close_spawner() -> None:
    """End this process's spawner, and with it everything that it guards."""
    if _clients and _clients[-1].alive:
        _clients[-1].close()
    _clients.clear()
    close_ledger()


class SpawnLauncher:
    """Lets the spawner make the first process, for programs."""

    def __init__(
        self, plan: Plan, spawner: SpawnerClient, text: str = "", *, tty: bool = False,
        box: str = "", inside: str = "",
    ) -> None:  # fmt: skip
        """`box` is the id of the box that is made, `inside` of the one that the cell is in."""
        self.pid = self.cell = 0
        self.pidfd = self.cell_fd = -1
        self.left = 0
        self._plan, self._spawner, self._text, self._tty = plan, spawner, text, tty
        self._boxes = {"box": box, "inside": inside}
        self._kept_status: int | None = None
        self._ended: Ended | None = None

    def start(self, stdout: int, stderr: int) -> Channel:
        """Ask for the program; see `nsmagic.run.program`."""
        ours, theirs = socket.socketpair()
        with theirs, ExitStack() as stack:
            stdin = os.dup(stdout) if self._tty else text_file(self._text)
            cwd = os.open(".", _A_DIRECTORY)
            for fd in (stdin, cwd):
                stack.callback(os.close, fd)
            plan = self._plan.steps
            order = {"steps": [to_json(step) for step in plan], "tty": self._tty, **surroundings()}
            forks = [index for index, step in enumerate(plan) if isinstance(step, Fork)]
            # The order itself is for the helper; the spawner passes it on unread.
            self._spawner.ask(
                "spawn", fds=[theirs.fileno(), stdin, stdout, stderr, cwd],
                buffers=[json.dumps(order).encode()], fork=forks[0] if forks else None,
                **self._boxes,
            )  # fmt: skip
        self._channel = Channel(ours)
        return self._channel

    def forked(self, frame: Frame) -> None:
        """Note the cell's process."""
        self.cell = frame.data["pid"]
        self.cell_fd = self._channel.fds.pop()

    def take(self, frame: Frame) -> bool:
        """Take the spawner's word on how the cell ended."""
        if frame.kind == "cell_status":  # of the keeper, whose own end comes next
            self._kept_status, self.left = wait_status(frame), count_left(frame)
        elif frame.kind == "status":
            status = wait_status(frame) if self._kept_status is None else self._kept_status
            self._ended = status, Usage(*frame.data["usage"])
        else:
            return False
        return True

    def reap(self) -> bool:
        """Whether the spawner told of the end; NsmagicError if it ended itself without a word."""
        if self._ended is None and self._channel.closed:
            raise NsmagicError("the spawner ended while the cell ran", hint="Run the cell again.")
        return self._ended is not None

    def ended(self) -> Ended:
        """Return what the spawner told."""
        assert self._ended is not None
        return self._ended

    def close(self) -> None:
        """Wait for the end of a process that was killed because the pump ended before it."""
        if self.cell_fd >= 0:
            wait_readable(self.cell_fd, CLOSE_SECONDS)
            os.close(self.cell_fd)
