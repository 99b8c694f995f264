"""Groups of this user's other kernels: boxes, and kernels in boxes, as their ledgers name them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from nsmagic.linux.cgroups.group import Cgroup
from nsmagic.linux.cgroups.hierarchies import Hierarchies, read_hierarchies
from nsmagic.run.groups import LiveGroup
from nsmagic.run.ledger import ledger_dir, read_entries
from nsmagic.run.owner import Owner
from nsmagic.wish.groups import CellGroup

_OF_A_CELL: Final = re.compile(r"-cell-\d+(\.\d+)?$")


def neighbours() -> Mapping[str, Cgroup]:
    """Return the groups that live now, by the names of their directories: nsmagic-PID-NAME."""
    found = read_hierarchies()
    paths: dict[str, list[Path]] = {}
    for path in _paths():
        paths.setdefault(path.name, []).append(path)
    return {name: _group(name, paths[name], found) for name in sorted(paths)}


def live_neighbours() -> Mapping[str, LiveGroup]:
    """Return the same as groups that can be changed; who set their limits, they do not know."""
    return {name: LiveGroup(CellGroup(), group, "") for name, group in neighbours().items()}


def _paths() -> Iterator[Path]:
    with suppress(OSError):  # no /proc, or no directory that is ours alone: nobody keeps a ledger
        me = Owner.me()
        for file in ledger_dir().iterdir():
            owner = Owner.of_file(file.name)
            if owner is None or owner.pid == os.getpid() or not owner.lives(me, file):
                continue
            with suppress(OSError):  # it ended meanwhile
                for kind, what in read_entries(file):
                    if kind == "cgroup" and not _OF_A_CELL.search(what) and Path(what).is_dir():
                        yield Path(what)


def _group(name: str, paths: list[Path], found: Hierarchies) -> Cgroup:
    v1 = {
        controller: path
        for hierarchy in found.v1
        for path in paths
        if path.is_relative_to(hierarchy.point)
        for controller in hierarchy.controllers
    }
    v2 = [path for path in paths if found.v2 and path.is_relative_to(found.v2.point)]
    return Cgroup(name=name, v2=v2[0] if v2 else None, v1=v1)
