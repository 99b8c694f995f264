"""What %lsns returns: rows to look at, to loop over and to filter."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final, Self, overload

from nsmagic.linux.lsns import Line, Row
from nsmagic.notebook.failures import NOT_SHOWN, one_line_if_stopped
from nsmagic.notebook.tables import WIDTH, Cell, Column, Table
from nsmagic.wish.errors import NsmagicError, WishError
from nsmagic.wish.lsns import COLUMN_BY_NAME, COLUMN_NAMES, ListColumn, LsnsWish
from nsmagic.wish.spelling import or_nearest

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

_SHORTEST: Final = 24  # characters that a command keeps however much stands beside it
_MONO: Final = frozenset({"PATH", "COMMAND", "NSFS"})


class Listing(Sequence[Row]):
    """Namespaces (or the processes of one) in the order of the table that it shows.

    `notes` are lines for people, above the table.
    """

    def __init__(self, lines: Sequence[Line], wish: LsnsWish, notes: Sequence[str] = ()) -> None:
        self._lines = tuple(lines)
        self._wish = wish
        self._notes = tuple(notes)

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Row]:
        return (line.row for line in self._lines)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Row | Self:
        if isinstance(index, slice):
            return self._flat(self._lines[index])
        return self._lines[index].row

    def where(self, test: Callable[[Row], object] | None = None, **values: object) -> Self:
        """Return the rows that pass `test` and whose fields equal `values`, without tree.

        `box`, `held` and `nsfs` hold several words; a row matches if one of them is equal.  Raises
        WishError for a field that rows do not have.
        """
        for name in values:
            _check_field(name)
        return self._flat(
            line
            for line in self._lines
            if (test is None or test(line.row))
            and all(_matches(getattr(line.row, name), value) for name, value in values.items())
        )

    def _flat(self, lines: Sequence[Line] | Iterator[Line]) -> Self:
        wish = replace(self._wish, tree=None)
        return type(self)([replace(line, parent=None) for line in lines], wish)

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas.DataFrame with the columns of lsns(8), all of them, in lower case."""
        try:
            import pandas as pd
        except ImportError:
            raise NsmagicError(
                "to_pandas() needs pandas, which is not installed here: %pip install pandas"
            ) from None
        names = [COLUMN_BY_NAME[name].field for name in COLUMN_NAMES]
        return pd.DataFrame([[getattr(row, name) for name in names] for row in self], columns=names)

    def __repr__(self) -> str:
        return self.text()

    @one_line_if_stopped(NOT_SHOWN)
    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        if self._wish.json:
            return {"text/plain": self.text(), "application/json": self.data()}
        if self._wish.raw:
            return {"text/plain": self.text()}
        return {"text/plain": self.text(), "text/html": self.table().html()}

    def text(self) -> str:
        """Return the listing as text: a table, or what --json or --raw print."""
        if self._wish.json:
            return json.dumps(self.data(), indent=3)
        if self._wish.raw:
            return self._raw()
        text = self.table().text()
        if self._wish.noheadings:  # without titles, one blank line and the rule below it
            return "\n".join(text.split("\n")[2:])
        return text

    def data(self) -> dict[str, Any]:
        """Return what `lsns --json` prints: rows by column name, below each other in a tree."""
        roots: list[dict[str, Any]] = []
        placed: list[dict[str, Any]] = []
        for line in self._lines:
            found = {column.field: self._plain(line.row, column) for column in self._columns}
            siblings = roots
            if line.parent is not None and self._tree_column is not None:
                siblings = placed[line.parent].setdefault("children", [])
            siblings.append(found)
            placed.append(found)
        return {"namespaces": roots}

    def _plain(self, row: Row, column: ListColumn) -> object:
        value = getattr(row, column.field)
        if isinstance(value, tuple):
            return ("," if self._wish.nowrap else "\n").join(value) or None
        return value

    def _raw(self) -> str:
        rows = [] if self._wish.noheadings else [" ".join(self._wish.columns)]
        for line, branch in zip(self._lines, _branches(self._lines), strict=True):
            cells = [self._plain(line.row, column) for column in self._columns]
            texts = ["" if cell is None else str(cell) for cell in cells]
            if self._tree_column is not None:
                place = self._wish.columns.index(self._tree_column)
                texts[place] = branch + texts[place]
            rows.append(" ".join(map(_escaped, texts)))
        return "\n".join(rows)

    @property
    def _columns(self) -> tuple[ListColumn, ...]:
        return tuple(COLUMN_BY_NAME[name] for name in self._wish.columns)

    @property
    def _tree_column(self) -> str | None:
        """The column that draws the tree, None for a list."""
        name = "COMMAND" if self._wish.tree == "process" else "NS"
        return name if self._wish.tree and name in self._wish.columns else None

    def table(self) -> Table:
        """Return the listing as a table for text and HTML."""
        tree = self._tree_column
        columns = tuple(
            Column(
                title="" if self._wish.noheadings else column.name,
                mono=column.name in _MONO,
                numeric=column.number and column.name != tree,
            )
            for column in self._columns
        )
        room = self._room()
        lines = zip(self._lines, _branches(self._lines), strict=True)
        rows = tuple(
            tuple(
                self._cell(line.row, column, branch if column.name == tree else "", room)
                for column in self._columns
            )
            for line, branch in lines
        )
        notes = () if self._wish.noheadings else self._notes
        above = tuple(Cell(text=note, tone="dim") for note in notes)
        return Table(columns=columns, rows=rows, above=above)

    def _room(self) -> int | None:
        """Return how many characters a command may have, so that the text's lines fit."""
        if self._wish.notruncate:
            return None
        others = [column for column in self._columns if column.name != "COMMAND"]
        taken = [
            max(len(column.name), *(len(str(self._plain(row, column) or "")) for row in self), 0)
            for column in others
        ]
        drawn = _branches(self._lines) if self._tree_column == "NS" else ()
        deepest = max(map(len, drawn), default=0)
        return max(_SHORTEST, WIDTH - sum(taken) - deepest - 2 * len(others))

    def _cell(self, row: Row, column: ListColumn, branch: str, room: int | None) -> Cell | str:
        if column.name == "COMMAND":
            return self._command(row, branch, room)
        value = self._plain(row, column)
        text = "" if value is None else str(value)
        if column.name == "BOX":
            return Cell(text=", ".join(row.box), tone="good")
        return branch + text

    def _command(self, row: Row, branch: str, room: int | None) -> Cell | str:
        if row.pid is None:  # the cell would be empty; people ask why such a namespace is there
            return Cell(text=branch + f"kept by {', '.join(row.held)}" if row.held else "",
                        tone="dim")  # fmt: skip
        text = branch + (row.command or "")
        if room is None or len(text) <= room:
            return text
        return Cell(text=f"{text[: room - 1]}…", tip=row.command or "")


def columns_table() -> Table:
    """Return the columns that there are, for --list-columns."""
    rows = tuple((column.name, column.help) for column in COLUMN_BY_NAME.values())
    return Table(columns=(Column(title="column", mono=True), Column(title="meaning")), rows=rows)


def _check_field(name: str) -> None:
    names = [field.name for field in fields(Row)]
    if name not in names:
        near = or_nearest(name, names, f", only {', '.join(names)}")
        raise WishError(f"rows of %lsns have no field {name!r}{near}")


def _matches(held: object, value: object) -> bool:
    return held == value or (isinstance(held, tuple) and value in held)


def _branches(lines: Sequence[Line]) -> list[str]:
    """Return the lines that are drawn before each row of a tree in depth-first order."""
    last: dict[int | None, int] = {line.parent: index for index, line in enumerate(lines)}
    stems: list[str] = []
    branches = []
    for index, line in enumerate(lines):
        if line.parent is None:
            stems.append("")
            branches.append("")
            continue
        is_last = last[line.parent] == index
        branches.append(stems[line.parent] + ("└─" if is_last else "├─"))
        stems.append(stems[line.parent] + ("  " if is_last else "│ "))
    return branches


def _escaped(text: str) -> str:
    r"""Write what is not printable ASCII, and spaces, as \x20, as libsmartcols does for --raw."""
    return "".join(
        chr(byte) if 0x20 < byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}"
        for byte in os.fsencode(text)
    )
