"""`%rootfs`: makes a root of this machine's programs and shows its tree."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import starmap
from pathlib import PurePosixPath
from typing import Final

from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

from nsmagic.linux.ids import SystemNames
from nsmagic.notebook.failures import one_message
from nsmagic.notebook.tables import Cell, Column, Table, Tabled
from nsmagic.run.logs import readable_size
from nsmagic.wish.counting import counted
from nsmagic.wish.getopt import split_line
from nsmagic.wish.missing import Missing, missing_text
from nsmagic.wish.rootfs import ROOTFS, Entry, RootfsPlan, read_rootfs
from nsmagic.wish.usage import help_text

_MOST_SHOWN: Final = 40  # files of a directory that --with copies; more are one line


@dataclass(frozen=True, repr=False)
class Rootfs(Tabled):
    """What `%rootfs` made, or with `--dry-run` would make; shown as a tree."""

    plan: RootfsPlan

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Directories, links and files of the root, parents before children."""
        return self.plan.entries

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return self.plan.size

    @property
    def missing(self) -> tuple[Missing, ...]:
        """What the programs need and this machine itself does not have."""
        return self.plan.missing

    def table(self) -> Table:
        """Return the tree with the size of each file."""
        columns = (
            Column(title=self.plan.directory, mono=True),
            Column(title="size", numeric=True),
            Column(title=""),
        )
        rows = tuple(starmap(_row, _branches(self.entries)))
        return Table(columns=columns, rows=rows, above=tuple(self._above()))

    def _above(self) -> Iterator[Cell | str]:
        files = [entry for entry in self.entries if entry.kind == "file"]
        fresh = [entry for entry in files if entry.state != "same"]
        copied = "would be copied" if self.plan.wish.dry_run else "copied"
        yield (
            f"{_count(files)}, {readable_size(self.size)}; {copied}: {_count(fresh)}, "
            f"{readable_size(sum(entry.size for entry in fresh))}"
        )
        for each in self.missing:
            yield Cell(text=missing_text([each], "", each.needed_by), tone="bad")


def _count(files: Sequence[Entry]) -> str:
    return counted(len(files), "file", "files")


def _row(branch: str, entry: Entry, folded: Sequence[Entry]) -> tuple[Cell | str, ...]:
    """Return one line; a folded directory tells how much is in it."""
    if folded:
        size = sum(each.size for each in folded)
        name = Cell(text=f"{branch}{PurePosixPath(entry.path).name}/ …", mono=True)
        return name, readable_size(size), Cell(text=_count(folded), tone="dim", tip=entry.source)
    label = branch + PurePosixPath(entry.path).name
    if entry.kind == "link":
        label += f" -> {entry.target}"
    shown_size = readable_size(entry.size) if entry.kind == "file" else ""
    notes = {"same": "kept", "differs": "replaced"}
    note = notes.get(entry.state, "") if entry.kind != "directory" else ""
    tone = Cell(text=", ".join(filter(None, (entry.role, note))), tone="dim", tip=entry.source)
    return Cell(text=label, mono=True), shown_size, tone


Branch = tuple[str, Entry, Sequence[Entry]]


def _branches(entries: Sequence[Entry]) -> Iterator[Branch]:
    """Yield entries as tree(1) orders and indents them, and what is folded into them."""
    below: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda each: each.path):
        below.setdefault(str(PurePosixPath(entry.path).parent), []).append(entry)
    yield from _subtree("/", "", below)


def _subtree(path: str, indent: str, below: dict[str, list[Entry]]) -> Iterator[Branch]:
    children = below.get(path, [])
    for number, entry in enumerate(children, start=1):
        last = number == len(children)
        inside = [each for each in _all_below(entry.path, below) if each.kind == "file"]
        folds = len(inside) > _MOST_SHOWN and all(each.role == "file" for each in inside)
        yield indent + ("└── " if last else "├── "), entry, inside if folds else ()
        if not folds:
            yield from _subtree(entry.path, indent + ("    " if last else "│   "), below)


def _all_below(path: str, below: dict[str, list[Entry]]) -> Iterator[Entry]:
    for entry in below.get(path, []):
        yield entry
        yield from _all_below(entry.path, below)


@magics_class
class RootfsMagics(Magics):
    """`%rootfs`."""

    @no_var_expand
    @line_magic
    def rootfs(self, line: str) -> Rootfs | None:
        """Make a root of this machine's programs; the cell's value is its tree."""
        with one_message():
            wish = read_rootfs(split_line(line), SystemNames())
            if wish.help:
                sys.stdout.write(help_text(ROOTFS))
                return None
            # Imported now: loading nsmagic does not wait for what reads programs.
            from nsmagic.linux.copies import build_rootfs, told
            from nsmagic.linux.rootfs import plan_rootfs

            with told():
                plan = plan_rootfs(wish)
                plan.refuse_conflicts()
                if not wish.dry_run:
                    build_rootfs(plan)
            return Rootfs(plan)


RootfsMagics.rootfs.__doc__ = f"""{RootfsMagics.rootfs.__doc__}

{help_text(ROOTFS)}"""
