"""What the controls of a cgroup's graph do, and which limits have a slider."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from nsmagic.run.groups import groups
from nsmagic.widgets.cgroup_graph import Slider
from nsmagic.widgets.graph_track import Track
from nsmagic.wish.limits import Limit

if TYPE_CHECKING:
    from nsmagic.linux.cgroups.group import Cgroup

_LEAST: Final = {"mem": 4 << 20, "memhigh": 4 << 20, "cpu": 0.01, "pids": 1}
_MOST_PIDS: Final = 1000


def can_freeze(group: Cgroup) -> bool:
    """Whether Linux can freeze the group: not the root of a hierarchy, not v1 without freezer."""
    try:
        group.is_frozen()
    except OSError:
        return False
    return group.v2 is not None or "freezer" in group.v1


class Steered:
    """What a graph's controls do to a group; `poke` has it looked at at once."""

    def __init__(self, group: Cgroup, poke: threading.Event) -> None:
        self._group, self._poke = group, poke
        self.able: Sequence[str] = ("freeze", "kill") if can_freeze(group) else ("kill",)

    def freeze(self) -> None:
        """Stop every process where it stands."""
        with self._looked_at():
            self._group.freeze()

    def thaw(self) -> None:
        """Let the processes go on."""
        with self._looked_at():
            self._group.thaw()

    def kill(self) -> None:
        """Kill every process; the group stays."""
        with self._looked_at():
            self._group.kill()

    def limit(self, limit: Limit) -> None:
        """Write a limit; a cell that dies of it then tells the new one."""
        known = (live for live in list(groups().live.values()) if live.group == self._group)
        live = next(known, None)
        with self._looked_at():
            if live is None:
                self._group.set([limit])
            else:
                live.change((limit,))

    @contextmanager
    def _looked_at(self) -> Iterator[None]:
        """Have the group looked at afterwards."""
        try:
            yield
        finally:
            self._poke.set()


def sliders(track: Track) -> list[Slider]:
    """Return a slider for each limit that the group has, up to what this machine has."""
    last = track.last
    most = {"mem": _memory(), "memhigh": _memory(), "cpu": float(os.cpu_count() or 1),
            "pids": _MOST_PIDS}  # fmt: skip
    keys = [] if last is None else [key for key in _LEAST if key in last.limits]
    return [Slider(key=key, least=_LEAST[key], most=most[key]) for key in keys]


def _memory() -> float:
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
