"""What %nsmap shows: pictures of all namespaces, taken again while somebody looks."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from nsmagic.linux.commands import Commands
from nsmagic.linux.discover import discover
from nsmagic.linux.namespaces import TYPES
from nsmagic.notebook.tables import Cell, Column, Table
from nsmagic.widgets.colours import mark
from nsmagic.widgets.map_facts import Colours, Picture, take_picture
from nsmagic.widgets.map_still import ordered
from nsmagic.wish.counting import counted
from nsmagic.wish.errors import NsmagicError

if TYPE_CHECKING:
    from nsmagic.widgets.namespace_map import NamespaceMap

Boxes = Callable[[], Mapping[int, str]]

_GLANCE: Final = 0.15  # s between two looks at which PIDs there are: 0.1 ms each
_LEAST_OFTEN: Final = 2.0  # s; unshare(2) and setns(2) change no PID
_SHARE: Final = 1 / 20  # of a CPU at most, however many processes there are
_RENEW: Final = 10.0  # s between two pictures below a map that goes on
_YOUNG: Final = 3.0  # s in which a process may become another program


class Look:
    """Takes pictures, with what processes run."""

    def __init__(self, boxes: Boxes) -> None:
        self._boxes = boxes
        self._colours: Colours | None = None
        self._commands = Commands(_YOUNG)

    def now(self) -> Picture:
        """Look at this machine.  NsmagicError where there is no /proc."""
        try:
            found = discover()
        except OSError as error:
            raise NsmagicError(
                f"/proc cannot be listed: {error.strerror}",
                hint="Everything is read there: mount -t proc proc /proc",
            ) from None
        if self._colours is None or self._colours.own != found.own:
            self._colours = Colours(own=found.own)
        self._commands.keep(found.processes)
        return take_picture(found, self._boxes(), self._commands.of, self._colours)


class Follower:
    """One thread that shows all open maps what happens, and ends when nobody looks."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._maps: weakref.WeakSet[NamespaceMap] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def follow(self, shown: NamespaceMap) -> None:
        """Keep a map up to date while somebody looks at it."""
        shown.on_wake(lambda: self._begin(shown))
        self._begin(shown)

    def _begin(self, shown: NamespaceMap) -> None:
        with self._lock:
            self._maps.add(shown)
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="nsmagic-nsmap", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        thread = self._thread
        if thread is not None:
            thread.join(timeout=5)

    def _watched(self) -> list[NamespaceMap]:
        with self._lock:
            watched = [each for each in self._maps if each.watched]
            if not watched:  # under the lock, so that `_begin` sees a thread that still looks
                self._thread = None
            return watched

    def _run(self) -> None:
        try:
            self._follow()
        finally:  # after an error the next map, or view, begins again
            with self._lock:
                if self._thread is threading.current_thread():
                    self._thread = None

    def _follow(self) -> None:
        seen: frozenset[str] = frozenset()
        looked, cost, drawn = 0.0, 0.0, time.monotonic()
        while maps := self._watched():
            pids = frozenset(filter(str.isdecimal, os.listdir("/proc")))
            begun = time.monotonic()
            rested = begun - looked >= cost / _SHARE
            if rested and (pids != seen or begun - looked >= _LEAST_OFTEN):
                worked = time.thread_time()
                picture = self._look.now()
                still = begun - drawn > _RENEW
                drawn = begun if still else drawn
                for each in maps:
                    each.push(picture)
                    if still:  # the notebook may be saved any time
                        each.leave_still()
                seen, looked = pids, time.monotonic()
                cost = time.thread_time() - worked
            if self._stop.wait(_GLANCE):
                return


def words(picture: Picture) -> str:
    """Return the picture as text: who is where, and below it the namespaces not our own."""
    others = [each for each in picture.spaces.values() if not each.own]
    legend = Table(
        columns=(
            Column(title="namespace", mono=True), Column(title="parent", numeric=True),
            Column(title="owner", numeric=True), Column(title="processes", numeric=True),
            Column(title="enter it by", mono=True),
        ),
        rows=tuple(
            (f"{mark(each.colour)} {each.type}:[{each.ino}]", str(each.parent or ""),
             str(each.owner or ""), str(each.processes), each.enter)
            for each in others
        ),
    )  # fmt: skip
    return _matrix(picture).text() + ("\n\n" + legend.text() if others else "")


def _matrix(picture: Picture) -> Table:
    rows = []
    for group in ordered(picture):
        cells: list[Cell | str] = [group.name, str(len(group.commands) or "")]
        for kind in TYPES:
            space = picture.spaces.get(f"{kind}:{group.links.get(kind)}")
            number = "" if space is None or space.own else f" {str(space.ino)[-4:]}"
            cells.append("" if space is None else f"{mark(space.colour)}{number}")
        rows.append(tuple(cells))
    titles = (Column(title="who"), Column(title="processes", numeric=True))
    note = f"● this notebook's own{', others by mark and last digits' if len(rows) > 1 else ''}"
    return Table(
        columns=(*titles, *(Column(title=kind) for kind in TYPES)), rows=tuple(rows),
        above=tuple(Cell(text=line, tone="dim") for line in _notes(picture, note)),
    )  # fmt: skip


def _notes(picture: Picture, first: str) -> Iterator[str]:
    yield first
    if picture.hidden:
        some = counted(picture.hidden, "process", "processes")
        yield f"not shown: {some} that this user may not look at"
