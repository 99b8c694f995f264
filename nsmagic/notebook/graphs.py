"""Feeds the graphs of cgroups: one thread for all of them, ten samples a second."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from nsmagic.linux.cgroups.walking import processes_below
from nsmagic.linux.processes import read_command
from nsmagic.run.groups import groups
from nsmagic.widgets.cgroup_graph import CgroupGraph, Slider
from nsmagic.widgets.graph_fields import FIELDS, Reading
from nsmagic.widgets.graph_track import Track
from nsmagic.wish.errors import CgroupError
from nsmagic.wish.limits import BY_KEY, METRICS, Limit

if TYPE_CHECKING:
    from nsmagic.linux.cgroups.group import Cgroup

PERIOD: Final = 0.1  # s
MANY: Final = 8  # graphs; more are sent two samples at a time, which halves what it costs
_LIMITS_EVERY: Final = 5  # samples; a slider has its limit read back at once
_YOUNG: Final = 1.0  # s; a process that was just forked will soon be another program
_LIMITS: Final = tuple(BY_KEY[field.key] for field in FIELDS if field.key)
_LEAST: Final = {"mem": 4 << 20, "memhigh": 4 << 20, "cpu": 0.01, "pids": 1}
_MOST_PIDS: Final = 1000
_REFRESH: Final = 5.0  # s between two pictures where no widget can be shown: 0.2 s each
_KEPT: Final = 8  # groups that have ended
# What no field of a graph shows is not read.
_SHOWN: Final = frozenset(
    {field.name for field in FIELDS}
    | {"mem.current", "mem.max_hits", "mem.high_hits", "mem.oom_kills", "cpu.periods"}
    | {"pids.max_hits"}
)


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
        with self._there():
            self._group.freeze()

    def thaw(self) -> None:
        """Let the processes go on."""
        with self._there():
            self._group.thaw()

    def kill(self) -> None:
        """Kill every process; the group stays."""
        with self._there():
            self._group.kill()

    def limit(self, limit: Limit) -> None:
        """Write a limit; a cell that dies of it then tells the new one."""
        known = (live for live in groups().live.values() if live.group == self._group)
        live = next(known, None)
        with self._there():
            if live is None:
                self._group.set([limit])
            else:
                live.change((limit,))

    @contextmanager
    def _there(self) -> Iterator[None]:
        """Have the group looked at afterwards; CgroupError if it is gone, as it may be by now."""
        try:
            yield
        except OSError:
            if self._group.exists():
                raise
            raise CgroupError(f"the group {self._group.name} is gone") from None
        finally:
            self._poke.set()


class Watched:
    """One group that is sampled, and the graphs that show it."""

    def __init__(self, group: Cgroup) -> None:
        self.group = group
        self.graphs: list[CgroupGraph] = []
        self.track = Track(time.monotonic())
        self.held = 0  # cells whose end is the end of the graph
        self.ended = False
        self._sampler = group.sampler([row for row in METRICS if row.name in _SHOWN])
        self._freezes = can_freeze(group)
        self._drawn = time.monotonic()
        self._commands: dict[int, tuple[float, str]] = {}
        self._limits: Mapping[str, Any] = {}
        self._count = 0

    @property
    def wanted(self) -> bool:
        """Whether anybody looks, or a cell wants its picture."""
        return not self.ended and (self.held > 0 or any(each.watched for each in self.graphs))

    def look(self, *, thoroughly: bool, send: bool) -> None:
        """Take a sample and show it; the graphs end with the group."""
        reading = None if self.ended else self._reading(thoroughly)
        if reading is None:
            if not self.held:  # else the cell says when it is over
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
        now = time.monotonic()
        known = self._commands
        self._commands = {}
        for pid in processes_below(self.group.directories[0]):
            first, text = known.get(pid, (now, ""))
            if not text or now - first < _YOUNG:
                text = read_command(pid) or text
            self._commands[pid] = (first, text)
        return {pid: text for pid, (_, text) in self._commands.items()}

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

    def close(self) -> None:
        """Give the descriptors back."""
        self.ended = True
        self._sampler.close()


class GraphKeeper:
    """All graphs of one kernel and the thread that feeds them, which ends when nobody looks."""

    def __init__(self) -> None:
        self._watched: dict[tuple[str, ...], Watched] = {}
        self._lock = threading.RLock()
        self._poke = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False

    def open(
        self, group: Cgroup, plots: Sequence[str], *, hold: bool = False, steer: bool = True
    ) -> CgroupGraph:
        """Return a new graph of a group, with all that is kept of it, and controls if `steer`.

        With `hold` it is fed until `release`, whether or not somebody looks.  Raises OSError where
        the group cannot be read.
        """
        with self._lock:
            watched = self._of(group)
            watched.held += hold
            if not watched.track.rows:
                watched.look(thoroughly=True, send=False)
            graph = CgroupGraph(
                group.name, plots, watched.track,
                steering=Steered(group, self._poke) if steer else None,
                sliders=sliders(watched.track),
            )  # fmt: skip
            graph.on_wake(self._begin)
            watched.graphs.append(graph)
            self._begin()
        return graph

    def _of(self, group: Cgroup) -> Watched:
        key = tuple(map(str, group.directories))
        found = self._watched.get(key)
        if found is None or (found.ended and group.exists()):
            self._forget()
            found = self._watched[key] = Watched(group)
        return found

    def _forget(self) -> None:
        """Keep what the last few that ended were, for plots of one's own."""
        ended = [key for key, each in self._watched.items() if each.ended]
        for key in ended[:-_KEPT]:
            del self._watched[key]

    def track(self, group: Cgroup) -> Track:
        """Return what is kept of a group, with a sample of now."""
        with self._lock:
            watched = self._of(group)
            if not watched.ended:
                watched.look(thoroughly=True, send=True)
            return watched.track

    def release(self, graph: CgroupGraph, text: str) -> None:
        """Leave a held graph's picture when its cell is over; `text` ends it if the group is."""
        with self._lock:
            watched = next((w for w in self._watched.values() if graph in w.graphs), None)
            if watched is None:
                return
            watched.held -= 1
            if watched.held <= 0 and text:
                watched.end(text)
        graph.leave_still()

    def close(self) -> None:
        """End the thread and give all descriptors back."""
        self._closed = True
        self._poke.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        with self._lock:
            for watched in self._watched.values():
                watched.close()
            self._watched.clear()

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None and not self._closed:
                thread = threading.Thread(target=self._run, name="nsmagic-graphs", daemon=True)
                self._thread = thread
                thread.start()

    def _wanted(self) -> list[Watched]:
        with self._lock:
            wanted = [each for each in self._watched.values() if each.wanted]
            if self._closed or not wanted:  # under the lock: `_begin` sees a thread that still runs
                self._thread = None
                return []
            return wanted

    def _run(self) -> None:
        tick, poked = 0, False
        due = time.monotonic()
        while wanted := self._wanted():
            graphs = sum(len(each.graphs) for each in wanted)
            for place, each in enumerate(wanted):
                send = graphs <= MANY or (tick + place) % 2 == 0
                with self._lock:
                    each.look(thoroughly=poked, send=send)
                each.leave_stills()
            tick += 1
            # What was missed is not made up for: a stopped machine gets no burst.
            due = max(due + PERIOD, time.monotonic())
            poked = self._poke.wait(max(0.0, due - time.monotonic()))
            self._poke.clear()


_known: list[tuple[int, GraphKeeper]] = []


def keeper() -> GraphKeeper:
    """Return that of this process: a forked cell has none of its parent's threads."""
    if not _known or _known[-1][0] != os.getpid():
        _known[:] = [(os.getpid(), GraphKeeper())]
    return _known[-1][1]


def close_graphs() -> None:
    """End the thread of this process's graphs, if there is one."""
    if _known and _known[-1][0] == os.getpid():
        _known.pop()[1].close()


def sliders(track: Track) -> list[Slider]:
    """Return a slider for each limit that the group has, up to what this machine has."""
    last = track.last
    most = {"mem": _memory(), "memhigh": _memory(), "cpu": float(os.cpu_count() or 1),
            "pids": _MOST_PIDS}  # fmt: skip
    keys = [] if last is None else [key for key in _LEAST if key in last.limits]
    return [Slider(key=key, least=_LEAST[key], most=most[key]) for key in keys]


def _memory() -> float:
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
