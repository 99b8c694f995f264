"""The keeper: where neither a PID namespace nor a cgroup ends a cell's tree, its parent does.

It is the child subreaper (prctl(2)), so whatever the cell starts, also by double fork, becomes its
child when orphaned.  What can still escape: a tree that kills its keeper first.
"""

from __future__ import annotations

import os
import select
import signal
from collections import defaultdict
from collections.abc import Collection, Generator
from contextlib import contextmanager, suppress
from typing import Final, NoReturn

from nsmagic.linux import syscalls
from nsmagic.run.channel import Channel
from nsmagic.run.joining import held

# SIGUSR1 tells that our own parent ended (PR_SET_PDEATHSIG).
KEEPER_SIGNALS: Final = {signal.SIGCHLD, signal.SIGUSR1}
# So often nobody is seen alive, while Linux says that there are children, before that is believed.
# They are dead then, and their tracers, who are not ours to end, have not taken note.  But a chain
# of processes that fork and exit is mostly past the place in /proc where we look.
_LOOKS: Final = 100
_PATIENCE: Final = 0.05  # s, for an end of which no SIGCHLD tells us
_MOST_PATIENCE: Final = 1.0


def keep_tree(cell: int, channel: Channel, parent: int) -> NoReturn:
    """Wait for the cell's process, report its wait status, kill all it left, and exit.

    Called in the process that forked the cell, with KEEPER_SIGNALS blocked.  The report also
    counts the processes that were left.  When `parent` is not our parent any more, the tree ends.
    """
    proc = held("/proc", os.O_RDONLY)
    os.setsid()  # out of the kernel's group, which the stop button signals
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGUSR1)
    for fd in (0, 1, 2):
        os.close(fd)
    status = _wait_for_end(cell, parent)
    reaped: dict[int, int] = {}
    left = kill_descendants(os.getpid(), proc, reaped=reaped)
    status = reaped.get(cell) if status is None else status
    if status is not None:
        with suppress(OSError):  # our parent may be gone, and nobody left to be told
            channel.send("cell_status", status=status, left=left)
    os._exit(0)


def _wait_for_end(cell: int, parent: int) -> int | None:
    """Wait for the end of the cell's process or of our parent; return the wait status, if known.

    It is not as long as a tracer has not taken note of the end, ptrace(2): a daemon of the cell.
    Nor is there a SIGCHLD then, but the pidfd tells.
    """
    wake, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    poller = select.poll()
    for fd in (wake, os.pidfd_open(cell)):
        poller.register(fd, select.POLLIN)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in KEEPER_SIGNALS:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, KEEPER_SIGNALS)
    while (status := _reap(cell)) is None and os.getppid() == parent:
        ready = {fd for fd, _ in poller.poll()}
        if wake in ready:
            os.read(wake, 4096)
        if ready - {wake}:
            return _reap(cell)
    return status


def _reap(cell: int) -> int | None:
    """Reap every zombie there is; return the cell's wait status once it is among them."""
    found = None
    with suppress(ChildProcessError):  # no child left at all
        while (reaped := os.waitpid(-1, os.WNOHANG))[0] != 0:
            if reaped[0] == cell:
                found = reaped[1]
    return found


def kill_descendants(
    root: int, proc: int, keepers: Collection[int] = (), *, reaped: dict[int, int] | None = None
) -> int:
    """Stop, then kill every descendant of `root`, our own process, until no child is left.

    Stopping first keeps a fork bomb from running away.  `keepers` are not stopped and are killed
    last: if somebody kills us meanwhile, they do the same.  `proc` is a descriptor of a /proc in
    which `root` is visible under this number.  Returns how many were killed; wait statuses go into
    `reaped`.
    """
    killed: set[int] = set()
    statuses = {} if reaped is None else reaped
    looks, patience = 0, _PATIENCE
    with suppress(ChildProcessError), _holding_sigchld():
        while looks < _LOOKS:
            _reap_all(statuses)
            stopped: set[int] = set()
            while fresh := descendants(root, proc) - stopped - set(keepers):
                for pid in fresh:
                    _stop(pid)
                stopped |= fresh
            spared = descendants(root, proc).intersection(keepers)
            if not stopped and not spared:
                _stop_children(root, proc, keepers)
                looks += 1
                continue
            looks = 0
            for pid in (*stopped, *spared):
                _signal(pid, signal.SIGKILL)
            killed |= stopped | spared
            # Not a wait for each: a parent that ignores SIGCHLD took its dead with it, and one
            # that is traced is its tracer's to reap, who may never do it.
            told = signal.sigtimedwait({signal.SIGCHLD}, patience)
            patience = _PATIENCE if told else min(2 * patience, _MOST_PATIENCE)
    return len(killed)


@contextmanager
def _holding_sigchld() -> Generator[None]:
    """Keep SIGCHLD until somebody waits for it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop_children(root: int, proc: int, keepers: Collection[int]) -> None:
    """Stop the children of `root` at once: 20 µs, where a look at everybody takes 3 ms."""
    with suppress(OSError):  # without CONFIG_PROC_CHILDREN
        fd = os.open(f"{root}/task/{root}/children", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
        try:
            for pid in os.read(fd, 4096).split():
                if int(pid) not in keepers:
                    _stop(int(pid))
        finally:
            os.close(fd)


def _stop(pid: int) -> None:
    """Stop it, or kill it at once while it is in our session: it sets a cell up, and is ours.

    Should somebody kill us now, it may not yet have asked Linux to be killed with us
    (PR_SET_PDEATHSIG), and would stay stopped for good.
    """
    with suppress(ProcessLookupError):
        ours = os.getsid(pid) == os.getsid(0)
        os.kill(pid, signal.SIGKILL if ours else signal.SIGSTOP)


def _reap_all(statuses: dict[int, int]) -> None:
    """Reap who is dead; ChildProcessError if there is no child left, dead or alive."""
    while (reaped := os.waitpid(-1, os.WNOHANG))[0] != 0:
        statuses[reaped[0]] = reaped[1]


def kill_tree(root: int) -> None:
    """Stop and kill a process that is not ours and its descendants, in our own /proc."""
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        stopped: set[int] = set()
        while fresh := ({root} | descendants(root, proc)) - stopped:
            for pid in fresh:
                _signal(pid, signal.SIGSTOP)
            stopped |= fresh
        for pid in stopped:
            _signal(pid, signal.SIGKILL)
    finally:
        os.close(proc)


def descendants(root: int, proc: int) -> set[int]:
    """Return the living descendants of `root`."""
    found, dead = family(root, proc)
    return found - dead


def family(root: int, proc: int) -> tuple[set[int], set[int]]:
    """Return the descendants of `root` by the parent links of proc_pid_stat(5), and all dead."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    dead: set[int] = set()
    for name in os.listdir(proc):
        if name.isdecimal():
            parent, alive = _parent_and_life(name, proc)
            children[parent].append(int(name))
            if not alive:
                dead.add(int(name))
    found: set[int] = set()
    queue = [root]
    while queue:
        fresh = [pid for pid in children[queue.pop()] if pid not in found]
        found.update(fresh)
        queue += fresh
    return found, dead


def _parent_and_life(name: str, proc: int) -> tuple[int, bool]:
    try:
        fd = os.open(f"{name}/stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    except OSError:
        return -1, False
    try:
        # The command may hold anything, also ") R 1": fields count from the last parenthesis.
        fields = os.read(fd, 4096).rpartition(b")")[2].split()
    except OSError:
        return -1, False
    finally:
        os.close(fd)
    # A process whose first thread has ended looks like a zombie, and its other threads go on.
    return int(fields[1]), fields[0] not in {b"Z", b"X"} or int(fields[17]) > 1


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
