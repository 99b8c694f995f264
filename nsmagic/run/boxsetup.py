"""Setting a box up, and ending it: the sandbox that it is."""

from __future__ import annotations

import itertools
from contextlib import suppress
from pathlib import Path
from typing import Final

from nsmagic.linux import cgroups
from nsmagic.run.groups import LiveGroup
from nsmagic.run.launch import wait_readable, wait_status
from nsmagic.run.listener import Silent
from nsmagic.run.result import Result
from nsmagic.run.sandbox import Sandbox
from nsmagic.run.spawned import SpawnLauncher
from nsmagic.run.spawning import SpawnerClient, spawner
from nsmagic.run.tree import Tree
from nsmagic.wish.plan import Plan

END_SECONDS: Final = 2.0

_numbers = itertools.count(1)


class Setup(Sandbox):
    """The sandbox of a box: `start` and `settle` set it up, and it stays until `end`.

    `group` is the cgroup v2 that it is born in; the cells in it have groups of their own below.
    With limits there is also `planned`, which has that one and those of cgroup v1.
    """

    def __init__(
        self, name: str, plan: Plan, group: Path | None = None, planned: LiveGroup | None = None
    ) -> None:
        self.id = f"{name}.{next(_numbers)}"
        self.group = group
        self.spawner: SpawnerClient = spawner()
        self.launcher = SpawnLauncher(plan, self.spawner, box=self.id)
        self.planned = planned
        others = [] if planned is None else [Path(each) for each in planned.cell.others]
        tree = Tree(self.id, self.spawner, group, others, make=planned is None)
        super().__init__(plan, self.launcher, tree, Silent(), group=planned)

    def end(self) -> None:
        """Kill all that is in it and wait until nothing is left."""
        if self.planned is not None:
            self.planned.end(Result())
        self._tree.kill()
        if not wait_readable(self.launcher.cell_fd, END_SECONDS):
            self._tree.look(0)
        if self.group is not None and not self._tree.tracer:
            with suppress(FileNotFoundError):  # %cgroup rm was before us
                for below in filter(Path.is_dir, self.group.iterdir()):  # of cells that still ran
                    with suppress(FileNotFoundError):  # the cell saw to it itself
                        cgroups.end(below)
        self._tree.clear()
        self.launcher.close()
        self._channel.close()

    def last_word(self) -> Result | None:
        """Return how the init ended, as the spawner tells in a moment; None if it cannot."""
        while not self._channel.closed:
            for frame in self._channel.waiting():
                if frame.kind == "status":
                    return Result(status=wait_status(frame))
            if not wait_readable(self._channel.sock.fileno(), END_SECONDS):
                break
        return None
