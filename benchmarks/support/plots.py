"""Plots of tables as SVG, legible on a light and on a dark page: no background, middle tones.

Each carries the digest of the table that it was drawn from, so that a test sees one that is old.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks.support.numbers import plain
from benchmarks.support.report import Figure, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK: Final = "#7b828c"  # a contrast of 3.9 on white and 4.9 on GitHub's #0d1117
# Hues of Okabe and Ito, as nsmagic.widgets.colours has them, in tones between its two sets.
OURS: Final = ("#d16a14", "#2b8a6e", "#b8578f", "#9a7d12")
THEIRS: Final = ("#7b828c", "#3a86c8", "#7a6cd0")
STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none", "svg.hashsalt": "nsmagic", "font.size": 9, "text.color": INK,
    "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10,
}  # fmt: skip
WIDTH: Final = 7.4  # inches; 710 pixels


def draw(table: Table, folder: Path) -> None:
    """Draw a table into `folder`: lines where something grows, else bars; or nothing."""
    (folder / f"{table.name}.svg").unlink(missing_ok=True)
    with mpl.rc_context(STYLE):
        canvas = Canvas(layout="constrained")
        axes = canvas.subplots()
        measured = [figure for figure in table.figures if figure.value is not None]
        if not measured:
            return
        (_growth if table.axis else _bars)(axes, table, measured)
        axes.set_title(table.title, loc="left")
        canvas.patch.set_alpha(0)
        axes.patch.set_alpha(0)
        rows = len(table.figures)
        canvas.set_size_inches(WIDTH, 3.2 if table.axis else 0.8 + 0.24 * rows)
        facts = {"Date": None, "Description": digest(table)}
        canvas.savefig(folder / f"{table.name}.svg", metadata=facts)


def digest(table: Table) -> str:
    """Return what tells the figures of a table from all others."""
    return "figures " + hashlib.sha256(table.json().encode()).hexdigest()[:16]


def _bars(axes: Axes, table: Table, measured: Sequence[Figure]) -> None:
    names = [figure.name for figure in table.figures]
    rates = measured[0].at_least  # which lie factors of hundreds apart
    for place, figure in enumerate(table.figures):
        if figure.value is None or figure.low is None or figure.high is None:
            axes.text(0, place, "  not here", va="center", transform=axes.get_yaxis_transform())
            continue
        colour = OURS[0] if figure.ours else THEIRS[0]
        axes.barh(place, figure.value, height=0.62, color=colour)
        axes.plot([figure.low, figure.high], [place, place], color=INK, linewidth=1)
        axes.text(max(figure.value, figure.high), place, f"  {plain(figure.value)}", va="center")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)  # the first on top
    if rates:
        axes.set_xscale("log")
        _plain_ticks(axes, "x")
    axes.margins(x=0.12)
    axes.set_xlabel(measured[0].unit + (", logarithmic" if rates else ""))


def _growth(axes: Axes, table: Table, measured: Sequence[Figure]) -> None:
    ours, theirs = cycle(OURS), cycle(THEIRS)
    for name, figures in table.series().items():
        points = [figure for figure in figures if figure in measured]
        if not points:
            continue
        mine = points[0].ours
        colour = next(ours if mine else theirs)
        places = [figure.at or 0 for figure in points]
        axes.fill_between(
            places, [p.low or 0 for p in points], [p.high or 0 for p in points],
            color=colour, alpha=0.18, linewidth=0,
        )  # fmt: skip
        axes.plot(
            places, [p.value or 0 for p in points], color=colour, label=name, marker="o",
            markersize=4, linewidth=2 if mine else 1.3, linestyle="-" if mine else "--",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sorted({figure.at or 0 for figure in measured}))
    for name in ("x", "y"):
        _plain_ticks(axes, name)
    axes.set_xlabel(table.axis)
    axes.set_ylabel(measured[0].unit)
    axes.legend(
        frameon=False, labelcolor=INK, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5)
    )


def _plain_ticks(axes: Axes, name: str) -> None:
    axis = getattr(axes, f"{name}axis")
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
