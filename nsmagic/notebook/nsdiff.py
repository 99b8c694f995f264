"""What %nsdiff returns: who is in which namespace, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nsmagic.linux.namespaces import TYPES, Links, NamespaceId
from nsmagic.linux.subjects import find_pid, links_of
from nsmagic.notebook.tables import Cell, Column, Table, Tabled
from nsmagic.wish.errors import NsmagicError, WishError
from nsmagic.wish.namespaces import BY_NAME
from nsmagic.wish.spelling import or_nearest

# Who is in the same namespace has the same mark: it says so without colours too.
_MARKS: Final = "●○◆◇■□▲△"


@dataclass(frozen=True, kw_only=True)
class Whom:
    """One column: what was typed, the PID, and its namespaces; None where we may not look."""

    label: str
    pid: int
    links: Links | None

    @property
    def title(self) -> str:
        """Return the word and the PID it means."""
        return self.label if self.label == str(self.pid) else f"{self.label} ({self.pid})"


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison(Tabled):
    """Namespaces of several processes, one row per type."""

    whom: tuple[Whom, ...]
    notes: tuple[str, ...] = ()

    def namespaces(self, kind: str) -> tuple[NamespaceId | None, ...]:
        """Return the namespace of each by column; None where it is not known.  WishError."""
        if kind not in BY_NAME:
            near = or_nearest(kind, BY_NAME, f", one of {', '.join(BY_NAME)}")
            raise WishError(f"{kind!r} is not a type of namespace{near}")
        return tuple(None if each.links is None else each.links.get(kind) for each in self.whom)

    def shared(self, kind: str) -> bool | None:
        """Return whether all are in the same namespace of a type; None where it is not known."""
        found = set(self.namespaces(kind))
        return None if None in found else len(found) == 1

    def table(self) -> Table:
        """Return the comparison as a table for text and HTML."""
        titles = [Column(title=each.title, mono=True) for each in self.whom]
        return Table(
            columns=(Column(title="type"), *titles, Column(title="shared")),
            rows=tuple(self._row(kind) for kind in TYPES),
            above=tuple(Cell(text=note, tone="dim") for note in self.notes),
        )

    def _row(self, kind: str) -> tuple[Cell | str, ...]:
        found = self.namespaces(kind)
        groups = list(dict.fromkeys(each for each in found if each is not None))
        cells: list[Cell | str] = [kind]
        for each in found:
            if each is None:
                cells.append(Cell(text="?", tone="dim", tip="not known"))
                continue
            place = groups.index(each)
            mark = _MARKS[place] if place < len(_MARKS) else f"{place + 1}:"
            others = [one.label for one, id_ in zip(self.whom, found, strict=True) if id_ == each]
            tip = f"{kind}:[{each.ino}] of {', '.join(others)}"
            cells.append(Cell(text=f"{mark} {each.ino}", tip=tip, chip=place))
        return (*cells, self._verdict(found))

    def _verdict(self, found: Sequence[NamespaceId | None]) -> Cell:
        groups: dict[NamespaceId | None, list[str]] = {}
        for one, each in zip(self.whom, found, strict=True):
            groups.setdefault(each, []).append(one.label)
        unknown = groups.pop(None, [])
        if len(found) - len(unknown) <= 1:
            return Cell(text="not known" if unknown else "yes", tone="dim")
        if len(groups) == 1 and not unknown:
            return Cell(text="by all" if len(found) > 2 else "yes", tone="dim")
        together = [" = ".join(labels) for labels in groups.values() if len(labels) > 1]
        words = [*(together or ["no"]), *(f"{label}: not known" for label in unknown)]
        return Cell(text="; ".join(words), tone="good" if len(groups) > 1 else "dim")


def compare(words: Sequence[str], boxes: Mapping[int, str]) -> Comparison:
    """Look at the namespaces of all; `boxes` names PIDs.  WishError for who does not exist."""
    whom, notes = [], []
    for word in words:
        pid = find_pid(word, boxes)
        links: Links | None = None
        try:
            links = links_of(pid)
        except WishError:
            raise
        except NsmagicError as error:
            notes.append(str(error))
        whom.append(Whom(label=word if word != str(pid) else boxes.get(pid, word), pid=pid,
                         links=links))  # fmt: skip
    return Comparison(whom=tuple(whom), notes=tuple(notes))
