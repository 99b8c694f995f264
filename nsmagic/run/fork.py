"""The forked Python child: from fork(2) in the notebook's kernel to the first line of the cell."""

from __future__ import annotations

import fcntl
import os
import posix
import signal
import socket
import termios
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

from nsmagic.run import quiesce
from nsmagic.run.channel import MAX_BYTES, Channel
from nsmagic.run.handover import ToParent, die_with
from nsmagic.run.perform import perform_all
from nsmagic.wish.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Stdio:
    """The three descriptors that become 0, 1 and 2 of the child."""

    stdin: int
    stdout: int
    stderr: int
    tty: bool = False


@dataclass(frozen=True, kw_only=True)
class Main:
    """What the child does beside the plan: `before` its first step, and the cell's `body`.

    `room` is what the buffers of one frame may hold, in bytes: the parent keeps them in memory.
    """

    body: Callable[[Channel], NoReturn]
    before: Callable[[], None] = lambda: None
    room: int = MAX_BYTES


def fork_python(plan: Plan, stdio: Stdio, child_end: socket.socket, main: Main) -> int:
    """Fork; the child does the plan's steps, says "ready" and calls `main`.  Returns its PID.

    posix.fork, because a debugger (pydevd) replaces os.fork by one that makes the child connect to
    it, which hangs.  The caller has flushed its streams and holds no lock that the child needs.
    ForkHostile if other threads make a fork impossible now, see `nsmagic.run.quiesce`.
    """
    parent = os.getpid()
    state = quiesce.before_fork()
    try:
        pid = posix.fork()
    except OSError:
        quiesce.after_fork_in_parent(state)
        raise
    if pid:
        quiesce.after_fork_in_parent(state)
        return pid
    try:
        quiesce.after_fork_in_child(state)
        _become(plan, stdio, child_end, main, parent)
    except KeyboardInterrupt:
        os._exit(128 + signal.SIGINT)
    except BaseException:  # noqa: BLE001 - told, and the process ends
        os.write(2, traceback.format_exc().encode())
    finally:  # whatever happens, this copy of the kernel must never return to the caller's loop
        os._exit(255)


def _become(
    plan: Plan, stdio: Stdio, child_end: socket.socket, main: Main, parent: int
) -> NoReturn:
    interrupts = _defer_interrupts()
    signal.set_wakeup_fd(-1)
    for target, source in enumerate((stdio.stdin, stdio.stdout, stdio.stderr)):
        os.dup2(source, target)
    # No object of the notebook has these numbers, and there may be no others left (EMFILE).
    for source in {stdio.stdin, stdio.stdout, stdio.stderr} - {0, 1, 2}:
        os.close(source)
    plug_descriptors({0, 1, 2, child_end.fileno()})
    die_with(parent)
    main.before()
    channel = Channel(child_end)
    channel.room = main.room
    spent = perform_all(plan.steps, channel, ToParent(channel))
    lead_session(tty=stdio.tty)
    channel.send("ready", spent=spent)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if interrupts:
        signal.raise_signal(signal.SIGINT)
    main.body(channel)


def _defer_interrupts() -> list[int]:
    """Count SIGINT instead of raising, until the cell can show a traceback of its own."""
    seen: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return seen


def lead_session(*, tty: bool) -> None:
    """Make this process the leader of a session of its own, and fd 0 its terminal."""
    os.setsid()
    if tty:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def plug_descriptors(keep: Iterable[int]) -> None:
    """Make every descriptor but `keep` an O_PATH one, on which reading and writing give EBADF.

    Closing would free the numbers: an object of the notebook that still holds one could then close
    or write a file that the cell opened since.  What they lead to is a file without a directory:
    through one of "/" a cell could leave the root that it is put in.
    """
    file = os.memfd_create("nsmagic-plug", os.MFD_CLOEXEC)
    plug = os.open(f"/proc/self/fd/{file}", os.O_PATH | os.O_CLOEXEC)
    kept = {*keep, plug}
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            try:
                os.dup2(plug, int(name), inheritable=False)
            except OSError:
                continue  # the descriptor of the listing itself
    os.close(plug)
