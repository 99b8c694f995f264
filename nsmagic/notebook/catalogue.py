"""The one list of our magics: what completion, help and the overview know comes from their tables.

A magic joins by a row.  Its table is imported when it is first needed: loading does not wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from nsmagic.wish.complete import Completion, Source, completions
from nsmagic.wish.getopt import Table

Complete = Callable[..., list[Completion]]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One magic.  `place` is `module:NAME` of its Table below `nsmagic.wish`.

    `completer` is the `module:function` that completes its line where a table alone cannot: it is
    given the words so far, the Source, and whether the magic is `cell=True`, with `%%`.
    """

    name: str
    place: str
    completer: str = ""

    @property
    def table(self) -> Table:
        """The table that the magic reads its line by."""
        table = _load(self.place)
        assert isinstance(table, Table)
        return table

    def complete(self, words: Sequence[str], source: Source, *, cell: bool) -> list[Completion]:
        """Return what may stand in place of the last word."""
        if not self.completer:
            return completions(self.table, words, source)
        complete: Complete = _load(self.completer)  # type: ignore[assignment]
        return complete(words, source, cell=cell)


def _load(place: str) -> object:
    module, _, name = place.partition(":")
    return getattr(import_module(f"nsmagic.wish.{module}"), name)


CATALOGUE: Final = (
    Entry(name="unshare", place="options:UNSHARE"),
    Entry(name="nsenter", place="nsenter:NSENTER"),
    Entry(name="box", place="box:BOX"),
    Entry(name="chroot", place="chroot:CHROOT"),
    Entry(name="cgroup", place="cgroup:CGROUP", completer="complete_cgroup:complete_cgroup"),
    Entry(name="rootfs", place="rootfs:ROOTFS"),
    Entry(name="lsns", place="lsns:LSNS"),
    Entry(name="nsdiff", place="nsdiff:NSDIFF"),
    Entry(name="sxs", place="sxs:SXS"),
    Entry(name="nsmap", place="nsmap:NSMAP"),
    Entry(name="cgplot", place="cgplot:CGPLOT"),
    Entry(name="lab", place="lab:LAB", completer="lab:complete_lab"),
    Entry(name="nsmagic", place="nsmagic:NSMAGIC", completer="nsmagic:complete_nsmagic"),
)
BY_NAME: Final = {entry.name: entry for entry in CATALOGUE}
