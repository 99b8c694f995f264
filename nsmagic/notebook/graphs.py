"""Feeds the graphs of cgroups: one thread for all of them, ten samples a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from nsmagic.notebook.steering import Steered, sliders
from nsmagic.notebook.watched import Watched
from nsmagic.run.perprocess import OnePerProcess
from nsmagic.widgets.cgroup_graph import CgroupGraph
from nsmagic.widgets.graph_track import Track

if TYPE_CHECKING:
    from nsmagic.linux.cgroups.group import Cgroup

PERIOD: Final = 0.1  # s
MANY: Final = 8  # graphs; more are sent two samples at a time, which halves what it costs
_KEPT: Final = 8  # groups that have ended
_RENEW: Final = 30.0  # s between two pictures of graphs that go on: 0.15 s each


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
            if not watched.track.rows:
                watched.look(thoroughly=True, send=False)
            graph = CgroupGraph(
                group.name, plots, watched.track,
                steering=Steered(group, self._poke) if steer else None,
                sliders=sliders(watched.track),
            )  # fmt: skip
            graph.on_wake(self._begin)
            watched.add(graph, hold=hold)
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
            watched = next((each for each in self._watched.values() if each.holds(graph)), None)
            if watched is None:
                return
            watched.release(graph, text)
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
        try:
            self._feed()
        finally:  # after an error the next graph, or view, begins again
            with self._lock:
                if self._thread is threading.current_thread():
                    self._thread = None

    def _feed(self) -> None:
        tick, poked = 0, False
        due = time.monotonic()
        renewed = due - _RENEW / 2
        while wanted := self._wanted():
            graphs = sum(len(each.graphs) for each in wanted)
            for place, each in enumerate(wanted):
                send = graphs <= MANY or (tick + place) % 2 == 0
                with self._lock:
                    each.look(thoroughly=poked, send=send)
                each.leave_stills()
            tick += 1
            if time.monotonic() - renewed > _RENEW:  # one group at a time, however many there are
                renewed = time.monotonic()
                min(wanted, key=lambda each: each.drawn).renew_stills()
            # What was missed is not made up for: a stopped machine gets no burst.
            due = max(due + PERIOD, time.monotonic())
            poked = self._poke.wait(max(0.0, due - time.monotonic()))
            self._poke.clear()


_keeper: Final = OnePerProcess(GraphKeeper)


def keeper() -> GraphKeeper:
    """Return that of this process: a forked cell has none of its parent's threads."""
    return _keeper()


def close_graphs() -> None:
    """End the thread of this process's graphs, if there is one."""
    if (own := _keeper.take()) is not None:
        own.close()
