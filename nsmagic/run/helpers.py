"""The spawner's helpers: processes that wait for an order and become a program cell or a box.

Most are the launcher, a program of 5 kB that the spawner executes.  A plan with steps that it
cannot do is for a fork of the spawner, in Python.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from nsmagic.run.channel import Buffer, Channel
from nsmagic.run.program import be_ready

_ORDERS = 3  # the launcher's descriptor of the socket
_REFUSED = 255 << 8  # as the wait status of a cell that had no process
_FORGOTTEN = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


@dataclass
class Helper:
    """One: first it waits for orders, then it sets one program cell up.

    `pid` is its process: itself, later the cell that went on in its place.  `launches` if it is
    the launcher.  `cell` is the PID that runs the program, 0 while there is none; `kept` tells that
    the helper stays to keep the cell's tree.  `box` is the box whose init it is, `inside` the one
    that the cell is in.
    """

    pid: int
    orders: Channel
    launches: bool
    channel: Channel | None = None
    cell: int = 0
    kept: bool = False
    box: str = ""
    inside: str = ""

    def send(self, order: Buffer, fds: Sequence[int]) -> None:
        """Send the order with its descriptors; BrokenPipeError if the helper was killed."""
        if not self.launches:
            self.orders.send("run", fds=fds, buffers=[order])
            return
        sent = socket.send_fds(self.orders.sock, [order], fds)
        self.orders.sock.sendall(memoryview(order)[sent:])


def make_helper(launcher: int | None) -> Helper:
    """Start one, the launcher if its file is given as a descriptor; OSError where Linux refuses."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            pid = os.fork() if launcher is None else start_launcher(launcher, theirs.fileno())
        except OSError:
            ours.close()
            raise
        if pid == 0:
            be_ready(Channel(theirs))
    return Helper(pid, Channel(ours), launches=launcher is not None)


def start_launcher(program: int, orders: int) -> int:
    """Execute the launcher as a child that has nothing but three streams and the socket."""
    return os.posix_spawn(
        f"/proc/self/fd/{program}", ["nsmagic-launch"], {},
        file_actions=[(os.POSIX_SPAWN_DUP2, orders, _ORDERS)],
        setsigmask=(), setsigdef=_FORGOTTEN,
    )  # fmt: skip


def refuse_cell(channel: Channel, index: int, error: OSError) -> None:
    """Tell the kernel that no process could be made for its cell."""
    channel.send(
        "failed", index=index, errno=error.errno, text=error.strerror, path=None, spent=[]
    )  # fmt: skip
    channel.send("status", status=_REFUSED, usage=[0.0, 0.0, 0])
    channel.close()


def introduce(pid: int, channel: Channel) -> None:
    """Tell the kernel of the cell's process, which waits for us: so this is the right one."""
    # A process that was killed may be reaped already; its kernel hears of that only.
    with suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            channel.send("forked", pid=pid, fds=[pidfd])
        finally:
            os.close(pidfd)
