"""All processes of one cell, as the thing that can be signalled and ended whole."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from nsmagic.linux import cgroups
from nsmagic.run.held import look_again, tracer_of_dead, until_over
from nsmagic.run.keeper import kill_tree
from nsmagic.run.ledger import ledger
from nsmagic.run.spawning import SpawnerClient
from nsmagic.wish.errors import NsmagicError

GRACE_SECONDS: Final = 0.5
_HELD_SECONDS: Final = 1.0


class Tree:
    """The cell's processes: the main one by pidfd, all of them by cgroup where there is one.

    In a new PID namespace the end of the main process is the end of all; without either, the
    keeper (`nsmagic.run.keeper`) sees to it.  `cgroup` is a directory of cgroup v2, `others` are
    those of the same group in v1 hierarchies; all are removed at the end, and with `make` the first
    is made by `begin`.  `deadline` is when `tick` is wanted, in the seconds of `stop`; None while
    no stop is under way.  After a kill it finds the `tracer` of a dead process, which is not gone
    before that takes note.

    A cell in the box `inside` is not all there is: what it leaves stays, in the box's group `home`.
    """

    def __init__(
        self, cell: int | str, guard: SpawnerClient, cgroup: Path | None = None,
        others: Sequence[Path] = (), *, make: bool = True,
        inside: str = "", home: Path | None = None,
    ) -> None:  # fmt: skip
        self.cgroup = cgroup
        self._others = tuple(others)
        self._inside, self._home = inside, home
        self.pid = 0
        self._cell, self._guard = cell, guard
        self._pidfd = -1
        self._guarded = bool(self._directories)
        self._make = make
        self._next: list[signal.Signals] = []
        self.deadline: float | None = None
        self.tracer = 0

    def begin(self) -> None:
        """Make the group, where it is ours to make, and have it removed when the kernel dies.

        From now on `clear` is due.
        """
        look_again()
        if self._guarded:
            # First the guard, then the group: whenever the kernel dies, somebody knows of it.
            for directory in self._directories:
                ledger().note("cgroup", str(directory))
            directories = [str(each) for each in self._directories]
            self._guard.ask("guard", cell=self._cell, cgroups=directories, inside=self._inside)
        if self.cgroup is not None and self._make:
            try:
                self.cgroup.mkdir()
            except OSError:  # perhaps it is another's, which `clear` must leave alone
                ledger().forget("cgroup", str(self.cgroup))
                self.cgroup = None
                raise

    @property
    def _directories(self) -> tuple[Path, ...]:
        return self._others if self.cgroup is None else (self.cgroup, *self._others)

    def adopt(self, pid: int, pidfd: int, *, guard: bool) -> None:
        """Take the process `pid`, which `pidfd` names for good, as the main one.

        With `guard` the spawner kills it when the kernel dies: the cell could have taken back its
        own PR_SET_PDEATHSIG, which is enough for a process that only sets the cell up.
        """
        self._forget()
        self._pidfd = os.dup(pidfd)
        self.pid = pid
        if guard:
            self._guarded = True
            self._guard.ask("guard", cell=self._cell, fds=[pidfd], inside=self._inside)

    def stop(self, now: float) -> None:
        """Ask for the end by SIGINT; `tick` goes on with SIGTERM and kills, GRACE_SECONDS apart."""
        self._next = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
        self.deadline = now
        self.tick(now)

    def tick(self, now: float) -> None:
        """Go one step further if that is due."""
        if self.deadline is None or now < self.deadline:
            return
        if not self._next:
            self.look(now)
            return
        number = self._next.pop(0)
        self.deadline = now + GRACE_SECONDS if self._next else None
        if number == signal.SIGKILL:
            self.kill()
        else:
            self.interrupt(number)

    def interrupt(self, number: signal.Signals) -> None:
        """Send `number` to the main process's group, as a terminal does."""
        if not self.pid:
            return
        try:
            signal.pidfd_send_signal(self._pidfd, 0)
            os.killpg(self.pid, number)
        except ProcessLookupError:
            self.send(number)  # ended, or not the leader of a group (yet)

    def send(self, number: signal.Signals) -> None:
        """Send `number` to the main process alone."""
        if self._pidfd >= 0:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return

    def kill_first(self, now: float) -> None:
        """Kill the main process alone, which still sets the cell up; `tick` kills the rest."""
        for directory in self._others:
            with suppress(FileNotFoundError):
                cgroups.thaw(directory)
        self.send(signal.SIGKILL)
        # A second one that told nothing until then stands in a frozen group, and never will.
        self._next = [signal.SIGKILL]
        self.deadline = now + GRACE_SECONDS

    def kill(self) -> None:
        """Kill the whole tree, whatever it ignores."""
        self._next, self.deadline = [], time.monotonic() + _HELD_SECONDS
        if self._inside and self.cgroup is None and self.pid:
            kill_tree(self.pid)  # or the init of the box would inherit its children
        self.send(signal.SIGKILL)
        with suppress(FileNotFoundError):  # the box was removed, and its groups with it
            if self.cgroup is not None:
                cgroups.kill(self.cgroup)
            else:
                cgroups.kill_each(self._others)

    def look(self, now: float) -> None:
        """See whether somebody traces what was killed."""
        self.deadline = now + _HELD_SECONDS
        self.tracer = tracer_of_dead(self.pid) if self.pid else 0

    def clear(self, *, whole: bool = True) -> int:
        """End what outlived the main process; return how many processes that were.

        Without `whole`, what a cell in a box left stays there.  What a tracer holds is cleared when
        that lets go.
        """
        self._forget()
        if self.tracer:
            until_over(self._is_cleared)
            return 0
        left = 0
        with suppress(FileNotFoundError):  # refused before it was made, or removed with its box
            if self.cgroup is not None:
                left = self._empty(self.cgroup, whole=whole)
        for directory in self._others:
            with suppress(FileNotFoundError):
                cgroups.end(directory)
        self._let_go()
        return left

    def _is_cleared(self) -> bool:
        try:
            for directory in filter(Path.exists, self._directories):
                cgroups.end(directory, seconds=0)
        except OSError:  # busy
            return False
        self._let_go()
        return True

    def _let_go(self) -> None:
        """Nothing is left of the groups."""
        directories = self._directories
        self.cgroup, self._others = None, ()
        for directory in directories:
            ledger().forget("cgroup", str(directory))
        if self._guarded:
            self._guarded = False
            with suppress(NsmagicError):  # a spawner that is gone guards nothing
                self._guard.ask("release", cell=self._cell)

    def _empty(self, cgroup: Path, *, whole: bool) -> int:
        """Remove a group; return how many processes had to be ended for that."""
        try:
            cgroup.rmdir()  # mostly nobody is left, and this needs no descriptor: there may be none
        except FileNotFoundError:
            raise
        except OSError:
            if self._home is not None and not whole:
                cgroups.move(cgroup, self._home)
            left = cgroups.kill(cgroup)
            try:
                cgroups.remove(cgroup)
            except OSError:  # the cell made groups in it
                cgroups.end(cgroup)
            return left
        return 0

    def _forget(self) -> None:
        self.pid = 0
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
