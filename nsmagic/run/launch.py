"""How the first process of a plan is made and its end noticed: by fork, or by the spawner."""

from __future__ import annotations

import os
import select
import signal
import socket
from contextlib import ExitStack, suppress
from functools import partial
from typing import Final, Protocol

from nsmagic.run.channel import Channel, Frame
from nsmagic.run.fork import Main, Stdio, fork_python
from nsmagic.run.held import until_over
from nsmagic.run.result import Usage
from nsmagic.wish import steps
from nsmagic.wish.errors import ChannelError
from nsmagic.wish.plan import Plan

CLOSE_SECONDS: Final = 2.0

Ended = tuple[int, Usage]
KILLED: Final[Ended] = (signal.SIGKILL, Usage())  # by us, as far as we know


class Launcher(Protocol):
    """`pid` is the first process, `cell` the one that runs the body, `cell_fd` its pidfd.

    `pidfd`, unless -1, becomes readable when `reap` may have something to tell.  `left` counts the
    processes that the keeper had to end.
    """

    pid: int
    cell: int
    cell_fd: int
    pidfd: int
    left: int

    def start(self, stdout: int, stderr: int) -> Channel:
        """Make the first process; return our end of its channel."""

    def forked(self, frame: Frame) -> None:
        """Take note that the cell's own process exists now."""

    def take(self, frame: Frame) -> bool:
        """Take a frame that is for the launcher; False if it is not."""

    def reap(self) -> bool:
        """Whether all that was started has ended (and was reaped, if that is ours to do)."""

    def ended(self) -> Ended:
        """Return how, once `reap` said yes and every frame has been taken; else KILLED."""

    def close(self) -> None:
        """End and reap whatever is left."""


class ForkLauncher:
    """Forks the calling process, for Python bodies."""

    def __init__(self, plan: Plan, main: Main, *, tty: bool = False) -> None:
        self.pid = self.cell = 0
        self.pidfd = self.cell_fd = -1
        self._plan, self._main, self._tty = plan, main, tty
        self._first = self._leader = self.left = 0
        self._status: int | None = None
        self._ended = KILLED
        self._known = not any(isinstance(step, steps.Fork) for step in plan.steps)

    def start(self, stdout: int, stderr: int) -> Channel:
        """Fork; see `nsmagic.run.fork`."""
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        self._channel.room = self._main.room
        with theirs, open(os.devnull, "rb") as null, ExitStack() as on_failure:
            on_failure.callback(self._channel.close)
            stdin = stdout if self._tty else null.fileno()
            stdio = Stdio(stdin=stdin, stdout=stdout, stderr=stderr, tty=self._tty)
            self.pid = self.cell = fork_python(self._plan, stdio, theirs, self._main)
            self._leader = self.pid
            self.pidfd = self.cell_fd = os.pidfd_open(self.pid)
            on_failure.pop_all()
        return self._channel

    def forked(self, frame: Frame) -> None:
        """Replace the first process, which sleeps for good, by the cell's; or note the kept one."""
        self._known = True
        self.cell = frame.data["pid"]
        if frame.data["kept"]:
            with suppress(ProcessLookupError):  # ended and reaped already
                self.cell_fd = os.pidfd_open(self.cell)
            return
        # The two may share memory (take_over): the first one must not wake up again.  Its end is
        # not waited for now: from here on it runs no instruction of its own.
        if self.pid:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        os.close(self.pidfd)
        self.pidfd = self.cell_fd = -1
        self._first = self.pid
        if self._first and self._plan.isolation.cgroup:
            # Linux charges memory that processes share to the group of the oldest of them.
            os.waitpid(self._first, 0)
            self._first = 0
        self.pid = self.cell
        self.pidfd = self.cell_fd = os.pidfd_open(self.pid)

    def take(self, frame: Frame) -> bool:
        """Take the keeper's word on how the cell ended."""
        if frame.kind != "cell_status":
            return False
        self._status, self.left = wait_status(frame), count_left(frame)
        return True

    def reap(self) -> bool:
        """Reap without waiting."""
        if self._first and os.waitpid(self._first, os.WNOHANG)[0]:
            # Not only at the cell's end: ipykernel's shutdown waits 2 s for zombies of its group.
            self._first = 0
        if self.pid:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid == 0:
                return False
            self.pid = 0
            self._ended = status, Usage.of(usage)
        if not self._known and not wait_readable(self._channel.sock.fileno(), 0):
            # It ended without a word of a successor, so it was killed in its set-up.  It may have
            # forked even so: then its successor tells us of itself and ends when it hears nothing;
            # the channel ends with the last of them.
            self._channel.sock.shutdown(socket.SHUT_WR)
        if self._channel.closed:
            self._reap_untold()
        return self._known or self._channel.closed

    def _reap_untold(self) -> None:
        """End and reap a successor that we have not heard of, found by its process group."""
        with suppress(ChildProcessError):
            while self._leader and not self._known:
                if os.waitpid(-self._leader, os.WNOHANG)[0] == 0:
                    # There is a child of ours in it, so the number is nobody else's.
                    os.killpg(self._leader, signal.SIGKILL)
                    os.waitpid(-self._leader, 0)

    def ended(self) -> Ended:
        """Return how the process ended; the keeper's word goes before its own status."""
        status, usage = self._ended
        return (status if self._status is None else self._status), usage

    def close(self) -> None:
        """Kill and reap the process if the pump ended before it."""
        if self._first:
            os.waitpid(self._first, 0)
            self._first = 0
        if self.pid:
            if self.cell_fd != self.pidfd:  # the keeper ends by itself when the cell's tree has
                wait_readable(self.pidfd, CLOSE_SECONDS)
            os.kill(self.pid, signal.SIGKILL)  # of a child that was not reaped; no pidfd, perhaps
            if self.pidfd < 0:
                os.waitpid(self.pid, 0)
            else:
                wait_readable(self.pidfd, CLOSE_SECONDS)
                until_over(partial(_is_reaped, self.pid))
            self.pid = 0
        self._reap_untold()
        for fd in {self.pidfd, self.cell_fd} - {-1}:
            os.close(fd)


def _is_reaped(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG)[0] == pid


def text_file(text: str) -> int:
    """Return a descriptor of a file in memory that holds `text`: seekable, as shells like it."""
    fd = os.memfd_create("nsmagic-cell", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(text.encode("utf-8", errors="surrogateescape"))
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def wait_readable(fd: int, seconds: float) -> bool:
    """Wait until `fd` is readable, `seconds` at the most; return whether it is."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(seconds * 1000))


def count_left(frame: Frame) -> int:
    """Return how many processes the keeper ended; ChannelError if it does not say."""
    left = frame.data.get("left", 0)
    if not isinstance(left, int):
        raise ChannelError(f"frame 'cell_status' with {left!r} processes left")
    return left


def wait_status(frame: Frame) -> int:
    """Return the wait status in a `status` frame; ChannelError if there is none."""
    status = frame.data.get("status")
    if not isinstance(status, int) or not 0 <= status <= 0xFFFF:
        raise ChannelError(f"frame 'status' with {status!r}")
    return status
