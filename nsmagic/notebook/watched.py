"""One cgroup that is sampled, and the graphs that show it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from nsmagic.linux.cgroups.walking import processes_below
from nsmagic.linux.commands import Commands
from nsmagic.notebook.steering import can_freeze
from nsmagic.widgets.graph_fields import FIELDS, Reading
from nsmagic.widgets.graph_track import Track
from nsmagic.wish.limits import BY_KEY, METRICS

if TYPE_CHECKING:
    from nsmagic.linux.cgroups.group import Cgroup
    from nsmagic.widgets.cgroup_graph import CgroupGraph

_LIMITS_EVERY: Final = 5  # samples; a slider has its limit read back at once
_YOUNG: Final = 1.0  # s in which a process may become another program
_LIMITS: Final = tuple(BY_KEY[field.key] for field in FIELDS if field.key)
_REFRESH: Final = 5.0  # s between two pictures where no widget can be shown: 0.2 s each
# What no field of a graph shows is not read.
_SHOWN: Final = frozenset(
    {field.name for field in FIELDS}
    | {"mem.current", "mem.max_hits", "mem.high_hits", "mem.oom_kills", "cpu.periods"}
    | {"pids.max_hits"}
)


class Watched:
    """One group that is sampled, and the graphs that show it."""

    def __init__(self, group: Cgroup) -> None:
        self.group = group
        self.graphs: list[CgroupGraph] = []
        self.track = Track(time.monotonic())
        self._held: list[CgroupGraph] = []  # of cells, whose end is the end of the graph
        self.ended = False
        self._sampler = group.sampler([row for row in METRICS if row.name in _SHOWN])
        self._freezes = can_freeze(group)
        self._drawn = time.monotonic()
        self._commands = Commands(_YOUNG)
        self._limits: Mapping[str, Any] = {}
        self._count = 0

    def add(self, graph: CgroupGraph, *, hold: bool) -> None:
        """Show the group in one graph more, until `release` if `hold`; closed ones are forgotten.

        The list is another one from now on: who goes through the old one, goes on.
        """
        self.graphs = [*(each for each in self.graphs if each.living), graph]
        if hold:
            self._held.append(graph)

    def holds(self, graph: CgroupGraph) -> bool:
        """Whether a cell holds this graph, which may have been closed meanwhile."""
        return graph in self._held

    def release(self, graph: CgroupGraph, text: str) -> None:
        """End, if it was the last one that is held, and there is a `text` that says why."""
        self._held.remove(graph)
        if not self._held and text:
            self.end(text)

    @property
    def wanted(self) -> bool:
        """Whether anybody looks, or a cell wants its picture."""
        return not self.ended and (bool(self._held) or any(each.watched for each in self.graphs))

    def look(self, *, thoroughly: bool, send: bool) -> None:
        """Take a sample and show it; the graphs end with the group."""
        reading = None if self.ended else self._reading(thoroughly)
        if reading is None:
            if not self._held:  # else the cell says when it is over
                self.end("group removed")
            return
        row, events = self.track.add(reading)
        for graph in self.graphs:
            if graph.living:
                graph.push(row, events, reading, send=send)

    def _reading(self, thoroughly: bool) -> Reading | None:
        sample = self._sampler.sample()
        if sample is None:
            return None
        try:
            if thoroughly or self._count % _LIMITS_EVERY == 0:
                found = {each.row.key: each.value for each in self.group.limits(_LIMITS)}
                self._limits = self._limits if found == self._limits else found
            self._count += 1
            frozen = self.group.is_frozen() if self._freezes else None
        except OSError:  # removed between two reads
            return None
        processes = self._processes()
        return Reading(sample=sample, limits=self._limits, processes=processes, frozen=frozen)

    def _processes(self) -> dict[int, str]:
        pids = list(processes_below(self.group.directories[0]))
        self._commands.keep(pids)
        return {pid: self._commands.of(pid) for pid in pids}

    def end(self, text: str) -> None:
        """Say in all graphs that the group is gone."""
        if self.ended:
            return
        self.ended = True
        self._sampler.close()
        events = self.track.end(time.monotonic(), text)
        for graph in self.graphs:
            graph.end(events)

    def leave_stills(self) -> None:
        """Leave the pictures of what has ended, and refresh them where nobody shows the widget."""
        due = time.monotonic() - self._drawn > _REFRESH
        for graph in self.graphs:
            if self.ended or (due and graph.unheard):
                self._drawn = time.monotonic()
                graph.leave_still()

    @property
    def drawn(self) -> float:
        """When its picture was drawn last, on the monotonic clock."""
        return self._drawn

    def renew_stills(self) -> None:
        """Draw the pictures below graphs that are looked at: the notebook may be saved any time."""
        self._drawn = time.monotonic()
        for graph in self.graphs:
            if graph.living:
                graph.leave_still()

    def close(self) -> None:
        """Give the descriptors back."""
        self.ended = True
        self._sampler.close()
