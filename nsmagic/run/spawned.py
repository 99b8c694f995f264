"""The first process of a plan made by the spawner: for programs."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

from nsmagic.run.channel import Channel, Frame
from nsmagic.run.inherited import own_status, surroundings
from nsmagic.run.launch import (
    CLOSE_SECONDS,
    KILLED,
    Ended,
    count_left,
    text_file,
    wait_readable,
    wait_status,
)
from nsmagic.run.launchorder import launch_order
from nsmagic.run.program import python_order
from nsmagic.run.result import Usage
from nsmagic.run.spawning import SpawnerClient
from nsmagic.wish.errors import NsmagicError
from nsmagic.wish.plan import Plan
from nsmagic.wish.steps import Fork

_A_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


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
        status = own_status()
        self._spawner.check_rights(status)
        ours, theirs = socket.socketpair()
        with theirs, ExitStack() as stack:
            stdin = os.dup(stdout) if self._tty else text_file(self._text)
            stack.callback(os.close, stdin)
            cwd = os.open(".", _A_DIRECTORY)
            stack.callback(os.close, cwd)
            plan, taken = self._plan.steps, surroundings(status)
            order = None
            if self._spawner.launches:
                order = launch_order(plan, taken, self._spawner.given, tty=self._tty)
            forks = [index for index, step in enumerate(plan) if isinstance(step, Fork)]
            # The order itself is for the helper; the spawner passes it on unread.
            self._spawner.ask(
                "spawn", fds=[theirs.fileno(), stdin, stdout, stderr, cwd],
                buffers=[order or python_order(plan, taken, tty=self._tty)],
                launch=order is not None, fork=forks[0] if forks else None, **self._boxes,
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
        return self._ended or KILLED

    def close(self) -> None:
        """Wait for the end of a process that was killed because the pump ended before it."""
        if self.cell_fd >= 0:
            wait_readable(self.cell_fd, CLOSE_SECONDS)
            os.close(self.cell_fd)
            self.cell_fd = -1
