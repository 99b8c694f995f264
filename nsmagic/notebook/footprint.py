"""What an isolated cell created, changed and left behind: noted while it runs, told when asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from nsmagic.linux.discover import Discovery, Namespace, discover
from nsmagic.linux.namespaces import TYPES, Links, NamespaceId, read_links, read_serials
from nsmagic.linux.surroundings import (
    Difference,
    Surroundings,
    differences,
    read_surroundings,
)
from nsmagic.notebook.tables import Cell, Column, Table, Tabled

_MOST_HOLDERS = 3


@dataclass(kw_only=True)
class Footprint:
    """Notes about one isolated cell; `title` is its first line.

    `unshared` are the types of namespaces that its plan creates; all others that differ from the
    notebook's own were joined.  `apart` are those in which it can change nothing of ours.
    """

    title: str
    unshared: frozenset[str]
    apart: frozenset[str]
    before: Surroundings
    own: Links = field(default_factory=dict)
    cell: Links = field(default_factory=dict)
    serials: Mapping[str, int] = field(default_factory=dict)
    after: Surroundings | None = None
    left: int = 0

    @classmethod
    def begin(
        cls, title: str, unshared: frozenset[str], *, shares_mounts: bool = False,
        joined: frozenset[str] = frozenset(),
    ) -> Self:  # fmt: skip
        """Note how things are before the cell's first process exists.

        With `shares_mounts` what it mounts in its own namespace can come back to ours, as it can
        from the one of those that are `joined`; all of these are others than ours.
        """
        apart = (unshared - {"mnt"} if shares_mounts else unshared) | (joined - {"mnt"})
        before = read_surroundings(without=apart)
        return cls(title=title, unshared=unshared, apart=apart, before=before)

    def begun(self) -> None:
        """Note our own namespaces, which no cell changes: not before a cell, but beside it."""
        with suppress(OSError):  # no /proc: --last says so
            self.own = read_links("/proc/self")

    def entered(self, pid: int) -> None:
        """Note the namespaces of the cell's main process, whose set-up is done.

        A program may end sooner than we look: what a zombie was in is gone with it, except for its
        user and PID namespaces.  Then only the types of the others are known.
        """
        with suppress(OSError):
            self.cell = read_links(f"/proc/{pid}")
            self.serials = read_serials(f"/proc/{pid}", self._other())

    def _other(self) -> list[str]:
        cell, own = self.cell, self.own
        return [kind for kind in TYPES if kind in cell and cell[kind] != own.get(kind)]

    def ended(self, *, left: int = 0) -> None:
        """Note how things are when the cell is over; `left` is how many processes outlived it."""
        self.after = read_surroundings(without=self.apart)
        self.left = left

    def report(self) -> Report:
        """Look for what is still there, now."""
        found, now = discover(), read_surroundings(without=self.apart)
        after = self.after or now
        return Report(
            title=self.title, running=self.after is None,
            namespaces=tuple(self._namespaces(found)),
            outside=tuple(
                (change, change in differences(self.before, now))
                for change in differences(self.before, after)
            ),
            left=self.left,
            shared=tuple(
                kind for kind in TYPES if kind in self.cell and kind not in self._new()
            ),
        )  # fmt: skip

    def _new(self) -> list[str]:
        other = self._other()
        return [kind for kind in TYPES if kind in other or kind in self.unshared]

    def _namespaces(self, found: Discovery) -> Iterator[CellNamespace]:
        for kind in self._new():
            seen = self.cell.get(kind)
            now = None if seen is None else found.namespaces.get(seen)
            if now is not None and now.serial != self.serials.get(kind, now.serial):
                now = None  # another one got the number
            yield CellNamespace(type=kind, created=kind in self.unshared, id=seen, now=now)


@dataclass(frozen=True, kw_only=True)
class CellNamespace:
    """A namespace that the cell was in and the notebook is not; `now` is None if it is gone.

    `id` is None where the cell ended before it could be looked at.
    """

    type: str
    created: bool
    id: NamespaceId | None
    now: Namespace | None

    @property
    def text(self) -> str:
        """Return in words what became of it."""
        if self.id is None:
            return "not seen: the cell has only just begun, or ended at once"
        if self.now is None:
            return "gone"
        holders = [f"PID {pid}" for pid in self.now.pids]
        holders += [str(holder) for holder in self.now.holders]
        if len(holders) > _MOST_HOLDERS:
            more = len(holders) - _MOST_HOLDERS
            holders[_MOST_HOLDERS:] = [f"{more} more"]
        return f"still here, kept by {', '.join(holders)}"


@dataclass(frozen=True, kw_only=True, repr=False)
class Report(Tabled):
    """What a cell created, changed and left behind.

    `outside` are the changes around the notebook while the cell ran, each with whether it still is
    so; `left` counts the processes that outlived the cell's main one and were ended.
    """

    title: str
    running: bool
    namespaces: tuple[CellNamespace, ...]
    outside: tuple[tuple[Difference, bool], ...]
    left: int
    shared: tuple[str, ...]

    @property
    def still_here(self) -> tuple[CellNamespace, ...]:
        """The namespaces that the cell created and that outlived it."""
        return tuple(each for each in self.namespaces if each.created and each.now is not None)

    def table(self) -> Table:
        """Return the report as a table for text and HTML."""
        rows = [self._namespace_row(each) for each in self.namespaces]
        rows += [
            (change.what, change.happened, change.detail, "still so" if still else "undone since")
            for change, still in self.outside
        ]
        if self.left:
            detail = f"{self.left} outlived the cell's main process"
            rows.append(("processes", "left", detail, "ended by nsmagic"))
        if not rows:
            rows.append((Cell(text="nothing new", tone="dim"), "", "", ""))
        titles = ("what", "happened", "which", "now")
        return Table(
            columns=tuple(Column(title=title, mono=title == "which") for title in titles),
            rows=tuple(rows), above=tuple(self._above()),
        )  # fmt: skip

    def _namespace_row(self, each: CellNamespace) -> tuple[Cell | str, ...]:
        number = "?" if each.id is None else str(each.id.ino)
        happened = "created" if each.created else "joined"
        tone = Cell(text=each.text, tone="bad" if each in self.still_here else "dim")
        return (f"{each.type} namespace", happened, number, tone)

    def _above(self) -> Iterator[Cell | str]:
        yield f"{self.title}{' (still running)' if self.running else ''}"
        if self.shared:
            yield Cell(text=f"shared with this notebook: {', '.join(self.shared)}", tone="dim")
        if not self.outside and not self.running:
            yield Cell(text="nothing outside of it changed meanwhile", tone="dim")
