"""Any rows as a table: plain text that fits a width, and HTML in the colours of the front end."""

from __future__ import annotations

import html
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Final, Literal

from nsmagic.notebook.failures import NOT_SHOWN, one_line_if_stopped
from nsmagic.widgets.colours import colour
from nsmagic.wish.printing import NO_MATH, printable

WIDTH: Final = 100
_GAP: Final = "  "
_NARROWEST: Final = 12

Tone = Literal["plain", "dim", "good", "bad", "changed"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """How one column looks.  `mono` is for what is typed or copied, `numeric` aligns to the right.

    `whole` never breaks a line.  `copied=False` leaves the column out when a person drags over the
    table to copy it (HTML).
    """

    title: str
    mono: bool = False
    numeric: bool = False
    whole: bool = False
    copied: bool = True


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell that differs from its column; `tip` is shown under the pointer (HTML).

    `chip` draws it as a block in the colour of that number, as %nsmap draws a namespace (HTML).
    """

    text: str
    tone: Tone = "plain"
    mono: bool = False
    tip: str = ""
    chip: int | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns and rows, and lines above that say what the table is about.  Cells may have lines."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell | str, ...], ...]
    above: tuple[Cell | str, ...] = ()

    def bundle(self, width: int = WIDTH) -> dict[str, str]:
        """Return the table as a MIME bundle; `width` is in characters, for the text."""
        return {"text/plain": self.text(width), "text/html": self.html()}

    @one_line_if_stopped(NOT_SHOWN)
    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return self.bundle()

    def text(self, width: int = WIDTH) -> str:
        """Return the table as lines of at most `width` characters; long cells are wrapped.

        Only where there are too many columns for `_NARROWEST` characters each, it is wider.
        """
        titles = tuple(column.title for column in self.columns)
        rows = [tuple(_printable(entry) for entry in row) for row in self.rows]
        widths = _fit([_widest(cells) for cells in zip(titles, *rows, strict=True)], width)
        above = [line for entry in self.above for line in _wrap(_printable(entry), width)]
        lines = [*above, ""] if above else []
        lines += self._text_row(titles, widths)
        lines.append(_GAP.join("─" * count for count in widths))
        for row in rows:
            lines += self._text_row(row, widths)
        return "\n".join(lines)

    def _text_row(self, row: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
        wrapped = [_wrap(text, width) for text, width in zip(row, widths, strict=True)]
        for line in zip_longest(*wrapped, fillvalue=""):
            placed = [
                text.rjust(width) if column.numeric else text.ljust(width)
                for text, width, column in zip(line, widths, self.columns, strict=True)
            ]
            yield _GAP.join(placed).rstrip()

    def html(self) -> str:
        """Return the table as HTML; every text in it is escaped."""
        above = "".join(_element("div", _cell(entry)) for entry in self.above)
        titles = "".join(
            _element("th", Cell(text=column.title), replace(column, mono=False, copied=False))
            for column in self.columns
        )
        rows = "".join(f"<tr>{self._html_row(row)}</tr>" for row in self.rows)
        table = f"<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>"
        return f'<div class="nsmagic-table {NO_MATH}">{_STYLE}{above}{table}</div>'

    def _html_row(self, row: Sequence[Cell | str]) -> str:
        return "".join(
            _element("td", _cell(entry), column)
            for entry, column in zip(row, self.columns, strict=True)
        )


class Tabled(ABC):
    """Shows itself as its table, in a notebook and in a terminal; a dataclass with `repr=False`."""

    @abstractmethod
    def table(self) -> Table:
        """Return it as a table for text and HTML."""

    def __repr__(self) -> str:
        return self.table().text()

    @one_line_if_stopped(NOT_SHOWN)
    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return self.table().bundle()


def _cell(entry: Cell | str) -> Cell:
    return Cell(text=entry) if isinstance(entry, str) else entry


def _widest(cells: Iterable[str]) -> int:
    return max(len(line) for text in cells for line in (text.splitlines() or [""]))


def _fit(natural: Sequence[int], width: int) -> list[int]:
    """Return the widths of the columns: the widest ones give way until all fit."""
    room = width - len(_GAP) * (len(natural) - 1)
    limit = max(natural, default=0)
    while sum(min(count, limit) for count in natural) > room and limit > _NARROWEST:
        limit -= 1
    widths = [min(count, limit) for count in natural]
    for index, count in enumerate(natural):  # what rounding left over
        widths[index] = min(count, widths[index] + max(0, room - sum(widths)))
    return widths


_CHUNK: Final = re.compile(r"\s+|[^\s|]*\|+|[^\s|]+")


def _wrap(text: str, width: int) -> list[str]:
    """Break lines at spaces and after `|`; a longer word after `/`, or else where it must be."""
    lines = []
    for whole in text.splitlines() or [""]:
        line = ""
        for chunk in _CHUNK.findall(whole):
            if line and len(line + chunk.rstrip()) > width:
                lines.append(line.rstrip())
                line, chunk = "", chunk.lstrip()
            line += chunk
            while len(line.rstrip()) > width:
                cut = line.rfind("/", 0, width) + 1 or width
                lines.append(line[:cut])
                line = line[cut:]
        lines.append(line.rstrip())
    return lines


def _printable(entry: Cell | str) -> str:
    """Return the text without what could steer a terminal: a process names itself as it likes."""
    return "\n".join(map(printable, _cell(entry).text.split("\n")))


def _element(tag: str, cell: Cell, column: Column | None = None) -> str:
    mono = cell.mono or (column is not None and column.mono)
    marks = {
        cell.tone: cell.tone != "plain",
        "mono": mono,
        "numeric": column is not None and column.numeric,
        "whole": column is not None and column.whole,
        "uncopied": column is not None and not column.copied,
    }
    names = " ".join(name for name, is_set in marks.items() if is_set)
    style = f' class="{names}"' if names else ""
    tip = f' title="{html.escape(_printable(cell.tip))}"' if cell.tip else ""
    text = _breakable(html.escape(_printable(cell)))
    if cell.chip is not None:
        light, dark = colour(cell.chip), colour(cell.chip, dark=True)
        text = f'<span class="chip" style="--light:{light};--dark:{dark}">{text}</span>'
    return f"<{tag}{style}{tip}>{text}</{tag}>"


def _breakable(text: str) -> str:
    """Let lines break after `|`, `/` and `=`, never inside `--an-option`, as browsers like to."""
    whole_options = re.sub(r"(?<!\S)-[^\s<>]{1,50}(?!\S)", r"<span>\g<0></span>", text)
    # The first / of a path stays with what it begins.
    return re.sub(r"\||(?<=[^\s<=])/|=(?=[\d/])", r"\g<0><wbr>", whole_options)


# JupyterLab's own variables, which follow its theme; elsewhere the page's own text colour.  The
# doubled class outweighs `.jp-RenderedHTMLCommon td`.
_STYLE: Final = """<style>
.nsmagic-table.nsmagic-table { font-size: var(--jp-ui-font-size1, 13px); line-height: 1.4;
  overflow-x: auto; color: var(--jp-content-font-color1, inherit); }
.nsmagic-table.nsmagic-table table { border-collapse: collapse; margin: .4em 0; font-size: inherit;
  table-layout: auto; }
.nsmagic-table.nsmagic-table :is(th, td) { text-align: left; vertical-align: top;
  padding: .25em 1em .25em .3em; max-width: 46em; white-space: pre-wrap;
  border: 0; border-bottom: 1px solid var(--jp-border-color2, rgba(128, 128, 128, .35)); }
.nsmagic-table.nsmagic-table th { font-weight: 600; white-space: nowrap; }
.nsmagic-table.nsmagic-table .mono { font-family: var(--jp-code-font-family, monospace);
  white-space: pre-wrap; overflow-wrap: anywhere; }
.nsmagic-table.nsmagic-table .mono span { white-space: nowrap; }
.nsmagic-table.nsmagic-table .numeric { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.nsmagic-table.nsmagic-table .dim { opacity: .6; }
.nsmagic-table.nsmagic-table .good { white-space: nowrap;
  color: var(--jp-success-color1, #2e7d32); }
.nsmagic-table.nsmagic-table .bad { color: var(--jp-error-color1, #d32f2f); font-weight: 600; }
.nsmagic-table.nsmagic-table .changed { font-weight: 600;
  background: rgba(86, 180, 233, .28); }
.nsmagic-table.nsmagic-table .chip { --ns: var(--light); display: inline-block; white-space: nowrap;
  padding: 0 .7em; border: 1.5px solid var(--ns); border-radius: 5px;
  background: color-mix(in srgb, var(--ns) 22%, transparent); font-variant-numeric: tabular-nums; }
[data-jp-theme-light="false"] .nsmagic-table.nsmagic-table .chip { --ns: var(--dark); }
.nsmagic-table.nsmagic-table .whole { white-space: pre; }
.nsmagic-table.nsmagic-table .uncopied { user-select: none; }
</style>"""
