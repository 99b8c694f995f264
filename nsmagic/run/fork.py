"""The forked Python child: from fork(2) in the notebook's kernel to the first line of the cell."""

from __future__ import annotations

import os
import posix
import signal
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from nsmagic.run import quiesce
from nsmagic.run.channel import MAX_BYTES, Channel
from nsmagic.run.detaching import lead_session, plug_all_but
from nsmagic.run.handover import ToParent, die_with
from nsmagic.run.perform import perform_all
from nsmagic.wish import steps
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
    plug_all_but({0, 1, 2, child_end.fileno()})
    die_with(parent)
    if any(isinstance(step, steps.Fork) and not step.keep for step in plan.steps):
        os.setpgid(0, 0)  # by which the parent finds a successor that it has not heard of
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
