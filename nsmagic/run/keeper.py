"""The keeper: where neither a PID namespace nor a cgroup ends a cell's tree, its parent does.

It is the child subreaper (prctl(2)), so whatever the cell starts, also by double fork, becomes its
child when orphaned.  What can still escape: nothing that stays on this machine's process tree.
"""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from contextlib import suppress
from typing import Final, NoReturn

from nsmagic.linux import syscalls
from nsmagic.run.channel import Channel

# SIGUSR1 tells that our own parent ended (PR_SET_PDEATHSIG).
KEEPER_SIGNALS: Final = {signal.SIGCHLD, signal.SIGUSR1}


def keep_tree(cell: int, channel: Channel) -> NoReturn:
    """Wait for the cell's process, report its wait status, kill all it left, and exit.

    Called in the process that forked the cell, with KEEPER_SIGNALS blocked.
    """
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    parent = os.getppid()
    os.setsid()  # out of the kernel's group, which the stop button signals
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGUSR1)
    for fd in (0, 1, 2):
        os.close(fd)
    while (status := _reap(cell)) is None:
        if os.getppid() != parent:
            kill_descendants(os.getpid(), proc)
        signal.sigwait(KEEPER_SIGNALS)
    kill_descendants(os.getpid(), proc)
    with suppress(OSError):  # our parent may be gone, and nobody left to be told
        channel.send("cell_status", status=status)
    os._exit(0)


def _reap(cell: int) -> int | None:
    """Reap every zombie there is; return the cell's wait status once it is among them."""
    found = None
    try:
        while (reaped := os.waitpid(-1, os.WNOHANG))[0] != 0:
            if reaped[0] == cell:
                found = reaped[1]
    except ChildProcessError:
        pass  # no child left at all
    return found


def kill_descendants(root: int, proc: int) -> None:
    """Stop, then kill every descendant of `root`, our own process, until none is left.

    Stopping first keeps a fork bomb from running away.  `proc` is a descriptor of a /proc in which
    `root` is visible under this number.
    """
    while True:
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        stopped: set[int] = set()
        while fresh := descendants(root, proc) - stopped:
            for pid in fresh:
                _signal(pid, signal.SIGSTOP)
            stopped |= fresh
        for pid in stopped:
            _signal(pid, signal.SIGKILL)
        for _ in stopped:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return


def descendants(root: int, proc: int) -> set[int]:
    """Return the living descendants of `root` by the parent links of /proc/PID/stat, proc(5)."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for name in os.listdir(proc):
        if name.isdecimal():
            parent, state = _parent_and_state(name, proc)
            if state not in ("Z", "X"):
                children[parent].append(int(name))
    found: set[int] = set()
    queue = [root]
    while queue:
        fresh = [pid for pid in children[queue.pop()] if pid not in found]
        found.update(fresh)
        queue += fresh
    return found


def _parent_and_state(name: str, proc: int) -> tuple[int, str]:
    try:
        fd = os.open(f"{name}/stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    except OSError:
        return -1, "X"
    try:
        # The command may hold anything, also ") R 1": fields count from the last parenthesis.
        state, parent = os.read(fd, 4096).rpartition(b")")[2].split()[:2]
    except (OSError, ValueError):
        return -1, "X"
    finally:
        os.close(fd)
    return int(parent), state.decode()


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
