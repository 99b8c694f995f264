"""How the first process of a plan is made and its end noticed: by fork, or by the spawner."""

from __future__ import annotations

import os
import resource
import signal
import socket
from typing import Protocol

from nsmagic.run.channel import Channel, Frame
from nsmagic.run.fork import Main, Stdio, fork_python
from nsmagic.wish.errors import ChannelError
from nsmagic.wish.plan import Plan

Ended = tuple[int, resource.struct_rusage | None]


class Launcher(Protocol):
    """`pid` is the first process, `cell` the one that runs the body; `pidfd` becomes readable when
    `reap` has something to tell."""

    pid: int
    cell: int
    pidfd: int

    def start(self, stdout: int, stderr: int) -> Channel:
        """Make the first process; return our end of its channel."""

    def forked(self, frame: Frame) -> None:
        """Take note that the cell's own process exists now."""

    def take(self, frame: Frame) -> bool:
        """Take a frame that is for the launcher; False if it is not."""

    def reap(self) -> Ended | None:
        """Return wait status and resource usage once all that was started has ended."""

    def close(self) -> None:
        """End and reap whatever is left."""


class ForkLauncher:
    """Forks the calling process, for Python bodies."""

    def __init__(self, plan: Plan, stdin: int, main: Main) -> None:
        self.pid = self.cell = 0
        self.pidfd = -1
        self._plan, self._stdin, self._main = plan, stdin, main
        self._status: int | None = None

    def start(self, stdout: int, stderr: int) -> Channel:
        """Fork; see `nsmagic.run.fork`."""
        ours, theirs = socket.socketpair()
        stdio = Stdio(stdin=self._stdin, stdout=stdout, stderr=stderr)
        with theirs:
            self.pid = self.cell = fork_python(self._plan, stdio, theirs, self._main)
        self.pidfd = os.pidfd_open(self.pid)
        return Channel(ours)

    def forked(self, frame: Frame) -> None:
        """Replace the first process, which sleeps for good, by the cell's; or note the kept one."""
        self.cell = frame.data["pid"]
        if frame.data.get("kept"):
            return
        # The two may share memory (take_over): the first one must not wake up again.
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        self.pid = self.cell
        self.pidfd = os.pidfd_open(self.pid)

    def take(self, frame: Frame) -> bool:
        """Take the keeper's word on how the cell ended."""
        if frame.kind != "status":
            return False
        if not isinstance(frame.data.get("status"), int):
            raise ChannelError("frame 'status' without a number")
        self._status = frame.data["status"]
        return True

    def reap(self) -> Ended | None:
        """Reap without waiting."""
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        if pid == 0:
            return None
        self.pid = 0
        return (status if self._status is None else self._status), usage

    def close(self) -> None:
        """Kill and reap the process if the pump ended before it."""
        if self.pid:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
        os.close(self.pidfd)
