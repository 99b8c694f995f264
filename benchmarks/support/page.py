"""Writes docs/benchmarks.md: words from page.md.jinja, every figure from the JSON beside the page.

So text and figures cannot disagree: a figure in a sentence is looked up, whether a bar is met is
asked, and what we lose is listed by comparing, not by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import jinja2

from benchmarks.support.numbers import plain
from benchmarks.support.plots import draw
from benchmarks.support.reasons import REASONS
from benchmarks.support.report import Figure, Table

TEMPLATE: Final = Path(__file__).with_name("page.md.jinja")
_VERDICTS: Final = {None: "", True: "met", False: "**not met**"}
_RANK: Final = (False, None, True)


def write_page(tables: Sequence[Table], folder: Path) -> None:
    """Draw the plots into `folder`, and write the page of that name beside it."""
    for table in tables:
        draw(table, folder)
    folder.with_suffix(".md").write_text(render(tables, folder))


def render(tables: Sequence[Table], folder: Path) -> str:
    """Return the page."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    words = Words(tables, folder)
    template = environment.from_string(TEMPLATE.read_text())
    return template.render(
        show=words.show, say=words.say, times=words.times, bars=words.bars, losses=words.losses,
        machine=words.machine,
    )  # fmt: skip


class Words:
    """What the template can ask for.  A table or figure that there is not is a KeyError."""

    def __init__(self, tables: Sequence[Table], folder: Path) -> None:
        self._tables = {table.name: table for table in tables}
        self._folder = folder

    def show(self, name: str) -> str:
        """Return one table in Markdown, below its plot."""
        table = self._tables[name]
        rows = _grown(table) if table.axis else _listed(table)
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        picture = f"![{table.title}]({self._folder.name}/{name}.svg)" if _drawn(table) else ""
        parts = [picture, "\n".join(lines), f"Measured: {table.how}." if table.how else ""]
        return "\n\n".join(filter(None, parts))

    def find(self, table: str, figure: str, at: float | None = None) -> Figure:
        """Return one figure; where nothing of the table was measured, one without a value."""
        for each in self._tables[table].figures:
            if each.name == figure and at in {None, each.at}:
                return each
        if not _drawn(self._tables[table]):
            return Figure(name=figure)
        raise KeyError(f"{table} has no figure {figure!r}")

    def say(self, table: str, figure: str, at: float | None = None) -> str:
        """Return a figure with its unit."""
        found = self.find(table, figure, at)
        return "?" if found.value is None else f"{plain(found.value)} {found.unit}"

    def times(self, table: str, figure: str, at: float | None = None) -> str:
        """Return a figure's ratio to its anchor."""
        found = self.find(table, figure, at)
        return "?" if found.ratio is None else plain(found.ratio)

    def bars(self) -> str:
        """Return all bars, in Markdown."""
        rows = [("", "figure", "is", "bar", ""), ("---",) * 5]
        for table in self._tables.values():
            for name, figures in table.series().items():
                barred = [figure for figure in figures if figure.bar is not None]
                if barred:
                    rows.append((table.title, name, *_verdict(table, barred)))
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)

    def losses(self) -> str:
        """Return where ours misses its bar or is behind what it is compared with, and why."""
        found: dict[str, list[str]] = {}
        for name, table in self._tables.items():
            for ours, figures in table.series().items():
                lost = [each for each in figures if each.ours and _lost(each)]
                if lost:
                    reason = REASONS.get((name, ours), UNKNOWN)
                    found.setdefault(reason, []).append(_loss(table, lost))
        items = ("\n  - ".join([f"- {reason}", *each]) for reason, each in found.items())
        return "\n".join(items) or "Nowhere, on this machine."

    def machine(self) -> str:
        """Return what it was measured on, and how much of its CPUs others took."""
        facts = [dict(table.machine) for table in self._tables.values() if table.machine]
        if not facts:
            return "Nothing was measured."
        first = facts[0]
        who = "root" if first["root"] else "an ordinary user"
        busy = max(each["busy"] for each in facts)
        return (
            f"Measured on {first['cpus']} CPUs ({first['model']}), Linux {first['linux']}, "
            f"Python {first['python']}, nsmagic {first['nsmagic']}, as {who}. Before each "
            f"benchmark began, others kept at most {busy:.0%} of the CPUs busy"
            + (": these figures are provisional." if busy > QUIET else ".")
        )


UNKNOWN: Final = "No reason is known yet."
QUIET: Final = 0.15  # of the CPUs


def _lost(figure: Figure) -> bool:
    """Whether a bar is missed or the anchor is better."""
    behind = figure.ratio is not None and (
        figure.ratio < 1 if figure.at_least else figure.ratio > 1
    )
    return figure.met is False or behind


def _loss(table: Table, lost: Sequence[Figure]) -> str:
    found = []
    for figure in lost:
        at = "" if figure.at is None else f" at {figure.at:g} {table.axis}"
        verdict = "" if figure.met is not False else f" (bar {_bar(figure)} **not met**)"
        found.append(f"{_judged(figure)}{at}{verdict}")
    anchor = f" beside {lost[0].anchor}" if lost[0].anchor else ""
    return f"**{lost[0].name}**{anchor}: {', '.join(found)}"


def _verdict(table: Table, figures: Sequence[Figure]) -> tuple[str, str, str]:
    """Return what the figures are, their bar, and whether all of them keep to it."""
    found = []
    for figure in figures:
        at = "" if figure.at is None else f" at {figure.at:g}"
        found.append((_judged(figure) or "not measured") + at)
    axis = "" if figures[0].at is None else f" {table.axis}"
    bars = dict.fromkeys(map(_bar, figures))
    worst = min((figure.met for figure in figures), key=_RANK.index)
    return ", ".join(found) + axis, ", ".join(bars), _VERDICTS[worst] or "not measured"


def _judged(figure: Figure) -> str:
    if figure.judged == "value":
        return "" if figure.value is None else f"{plain(figure.value)} {figure.unit}"
    return "" if figure.ratio is None else f"{plain(figure.ratio)} times"


def _bar(figure: Figure) -> str:
    if figure.bar is None:
        return ""
    unit = f" {figure.unit}" if figure.judged == "value" else ""
    return f"{'≥' if figure.at_least else '≤'} {figure.bar:g}{unit}"


def _drawn(table: Table) -> bool:
    return any(figure.value is not None for figure in table.figures)


def _listed(table: Table) -> Iterator[Sequence[str]]:
    """Yield a row for each figure; where all have the same anchor, the title names it."""
    anchors = {figure.anchor for figure in table.figures} - {""}
    single = len(anchors) == 1
    to = [] if single else ["to"]
    ratio = f"ratio to {min(anchors)}" if single else "ratio"
    yield "", "median", "quartiles", ratio, *to, "bar", ""
    yield "---", "---:", "---:", "---:", *["---" for _ in to], "---", "---"
    for figure in table.figures:
        if figure.value is None or figure.low is None or figure.high is None:
            yield figure.name, figure.missing, "", "", *["" for _ in to], "", ""
            continue
        ratio = "" if figure.ratio is None else plain(figure.ratio)
        yield (
            f"**{figure.name}**" if figure.ours else figure.name,
            f"{plain(figure.value)} {figure.unit}", f"{plain(figure.low)} to {plain(figure.high)}",
            ratio, *[figure.anchor for _ in to], _bar(figure), _VERDICTS[figure.met],
        )  # fmt: skip


def _grown(table: Table) -> Iterator[Sequence[str]]:
    """Yield a row for each name and a column for each place on the axis."""
    places = sorted({figure.at for figure in table.figures if figure.at is not None})
    yield table.axis, *(f"{place:g}" for place in places), "to", "bar"
    yield "---", *("---:" for _ in places), "---", "---"
    for name, figures in table.series().items():
        cells = {figure.at: _cell(figure) for figure in figures}
        bars = list(dict.fromkeys(_bar(f) + (f" at {f.at:g}" if f.judged == "value" else "")
                                  for f in figures if f.bar is not None))  # fmt: skip
        missed = any(figure.met is False for figure in figures)
        verdict = "" if not bars else f" {_VERDICTS[not missed]}"
        label = f"**{name}**" if figures[0].ours else name
        yield (
            label, *(cells.get(place, "") for place in places), figures[0].anchor,
            ", ".join(bars) + verdict,
        )  # fmt: skip


def _cell(figure: Figure) -> str:
    if figure.value is None:
        return figure.missing
    ratio = "" if figure.ratio is None else f" (×{plain(figure.ratio)})"
    return f"{plain(figure.value)} {figure.unit}{ratio}"
