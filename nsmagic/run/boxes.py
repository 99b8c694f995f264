"""Boxes: named sandboxes of this kernel that stay until they are removed or the kernel ends.

The spawner makes a box: its process does the steps and stays as the init (`nsmagic.run.boxinit`).
Every cell in a box, also the one that made it, is a process that joins it afterwards.
"""

from __future__ import annotations

import os
import select
import signal
from dataclasses import replace
from pathlib import Path
from typing import Final

from nsmagic.linux import rights
from nsmagic.linux.cgroups.freezing import is_frozen
from nsmagic.linux.facts import Facts
from nsmagic.linux.rooted import working_directory
from nsmagic.linux.targets import read_target
from nsmagic.run.boxinit import SIGNALLED
from nsmagic.run.boxsetup import Setup
from nsmagic.run.groups import LiveGroup, groups
from nsmagic.run.logs import LogFile
from nsmagic.run.perprocess import OnePerProcess
from nsmagic.wish.errors import WishError
from nsmagic.wish.isolation import Enter
from nsmagic.wish.spelling import or_nearest
from nsmagic.wish.target import Entering, Target

_DYING_MS: Final = 1000


class Box(Facts):
    """A sandbox with a name.  `pid` is its init as the notebook sees it, `head` what made it."""

    def __init__(self, name: str, setup: Setup, head: str = "") -> None:
        super().__init__(setup.pid)
        self.name, self.head = name, head
        self._setup = setup
        self._log: LogFile | None = None

    @classmethod
    def find(cls, name: str) -> Box:
        """Return a box of this kernel; WishError, which says what became of it, if it is not."""
        return boxes().find(name)

    @property
    def id(self) -> str:
        """Its name and a number: one of the same name that comes later has another."""
        return self._setup.id

    @property
    def group(self) -> Path | None:
        """The directory of its cgroup v2, None where none can be made."""
        return self._setup.group

    @property
    def title(self) -> str:
        """The first line of the cell that made it."""
        return self.head.partition("\n")[0]

    @property
    def other_groups(self) -> tuple[str, ...]:
        """The directories of its group in hierarchies of cgroup v1, where it has limits."""
        return () if self.planned is None else tuple(self.planned.cell.others)

    @property
    def planned(self) -> LiveGroup | None:
        """Its group with its limits, None where it has none."""
        return self._setup.planned

    def watched(self) -> LiveGroup | None:
        """Return its group, where it has limits, for the counters of one cell."""
        planned = self.planned
        return None if planned is None else LiveGroup(planned.cell, planned.group, "")

    @property
    def types(self) -> frozenset[str]:
        """The types of namespaces that were made for it."""
        return self._setup.plan.isolation.namespaces

    @property
    def alive(self) -> bool:
        """Whether its init still runs and it was not removed."""
        return not self.ends(0)

    def ends(self, within: int) -> bool:
        """Whether it was removed or its init ends, within so many milliseconds."""
        if self._setup.launcher.cell_fd < 0:
            return True
        poller = select.poll()
        poller.register(self._setup.launcher.cell_fd, select.POLLIN)
        return bool(poller.poll(within))

    @property
    def log(self) -> Path | None:
        """Where that goes which its processes write after their cells have ended, if they did."""
        return None if self._log is None else self._log.path

    def refuse_frozen(self) -> None:
        """WishError if it is frozen: a cell would stand still in it before its first line."""
        if self.planned is not None and is_frozen(self.planned.group):
            raise WishError(
                f"the box {self.name!r} is frozen: nothing in it runs, nor would this cell",
                hint=f"%cgroup thaw {self.name}   lets it go on.",
            )

    def read_on(self, pipe: int) -> None:
        """Let the spawner read what is written to a pipe from now on, into our log."""
        if self._log is None or self._log.path is None or not self._log.path.exists():
            self._log = LogFile(cell=f"-box-{self.name}", eager=True)
            self._log.close()
        if self._log.path is not None:
            log = os.open(self._log.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                self._setup.spawner.ask("drain", fds=[pipe, log])
            finally:
                os.close(log)

    def __repr__(self) -> str:
        return f"<box {self.name}: {f'PID {self.pid}' if self.alive else 'ended'}, {self.title}>"

    def end(self) -> str:
        """End it and everything in it; return how its init had ended before that, if it had."""
        before = "" if self.alive else self._last_word()
        if self.planned is not None:
            groups().live.pop(self.planned.group.name, None)
        self._setup.end()
        return before

    def _last_word(self) -> str:
        result = self._setup.last_word()
        if result is None:
            return "its init ended with the spawner"
        if result.exit_code is not None and result.exit_code > SIGNALLED:
            return f"its init got {signal.Signals(result.exit_code - SIGNALLED).name}"
        return f"its init {result.ending}"


class Boxes:
    """The boxes of one kernel by name.  `ended` tells how those ended that nobody removed."""

    def __init__(self) -> None:
        self.ended: dict[str, str] = {}
        self._boxes: dict[str, Box] = {}

    def get(self, name: str) -> Box | None:
        """Return a box, None if there is none; one whose init has ended is cleared away."""
        box = self._boxes.get(name)
        if box is not None and not box.alive:
            del self._boxes[name]
            self.ended[name] = box.end()
            return None
        return box

    def living(self) -> dict[str, Box]:
        """Return the boxes by name; those whose init has ended are cleared away."""
        found = {name: self.get(name) for name in list(self._boxes)}
        return {name: box for name, box in found.items() if box is not None}

    def names(self) -> dict[int, str]:
        """Return the names by the PID of the init; from any thread."""
        return {box.pid: name for name, box in list(self._boxes.items()) if box.alive}

    def find(self, name: str) -> Box:
        """Return a box; WishError, which says what became of it, if there is none."""
        box = self.get(name)
        if box is not None:
            return box
        if name in self.ended:
            raise WishError(
                f"the box {name!r} has ended: {self.ended[name]}",
                hint="Run the cell that made it again.",
            )
        living = self.living()
        near = or_nearest(name, living, "" if living else "; there are no boxes yet")
        raise WishError(f"no box is called {name!r}{near}", hint="%unshare --name NAME makes one.")

    def keep(self, box: Box) -> None:
        """Add a box that is set up."""
        self.ended.pop(box.name, None)
        self._boxes[box.name] = box
        if box.planned is not None:
            groups().live[box.planned.group.name] = box.planned

    def remove(self, name: str) -> None:
        """End a box and everything in it; WishError if there is none."""
        self.find(name)
        self._boxes.pop(name).end()

    def entering(self, enter: Enter | None) -> Entering | None:
        """Return what `enter` goes into, with the facts about it; WishError if it is not there."""
        if enter is None:
            return None
        target = self._target(enter)
        if target is not None and target.box:
            target = replace(target, wd=working_directory())
        may = bool(rights.effective_capabilities() >> rights.CAP_SETGID & 1)
        return Entering(enter=enter, target=target, may_set_groups=may)

    def _target(self, enter: Enter) -> Target | None:
        if enter.target is None or not enter.into_box:
            return read_target(enter, {})
        box = self.find(enter.target)
        box.refuse_frozen()
        try:  # with that box alone: entering one takes as long among many
            return read_target(enter, {box.pid: box.name})
        except WishError:
            # Linux takes the namespaces of a process that exits before it tells of the end.
            if box.ends(within=_DYING_MS):
                self.find(enter.target)
            raise


_boxes: Final = OnePerProcess(Boxes)


def boxes() -> Boxes:
    """Return the boxes of this process; a forked copy of the kernel begins with none."""
    return _boxes()


def close_boxes() -> None:
    """Remove every box of this process."""
    for name in list(boxes().living()):
        boxes().remove(name)
