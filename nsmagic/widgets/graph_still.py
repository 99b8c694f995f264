"""A cgroup graph by matplotlib: the picture that stays in the notebook, and axes of one's own."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from nsmagic.widgets.colours import colour
from nsmagic.widgets.graph_fields import FIELDS, TITLES, Field
from nsmagic.widgets.graph_track import Event, Track
from nsmagic.wish.limits import human_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _DPI = 8.4, 110  # inches, pixels per inch
_HEIGHTS: Final = {"mem": 2.5}
_HEIGHT: Final = 1.7
_RED: Final = "#b3001b"
_LOUD: Final = {"oom": _RED, "gone": "#3d444d", "frozen": colour(2), "max": colour(1),
                "pids": colour(1)}  # fmt: skip
_HEADROOM: Final = 1.3  # above the highest value, for words
_LEAST: Final = {"bytes": 2**20, "B/s": 1024, "CPUs": 0.1, "share": 0.05, "count": 4}
_ROOM: Final = 4  # rows of words in a panel
_LETTER: Final = 0.0105  # width of a letter, as a part of the axes


def png(name: str, plots: Sequence[str], track: Track) -> str:
    """Return the graph as a PNG in base64.  Takes 0.2 s, the first time half a second more."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = track.columns()
    found = [plot for plot in plots if known(plot, columns)] or list(plots[:1])
    heights = [_HEIGHTS.get(plot, _HEIGHT) for plot in found]
    figure = Figure(figsize=(_WIDTH, sum(heights) + 0.5), dpi=_DPI,
                    facecolor="white")  # fmt: skip
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(found), 1, sharex=True, squeeze=False, height_ratios=heights)
    tall = sum(heights) + 0.5  # fixed margins: a layout that measures the text takes twice as long
    figure.subplots_adjust(
        left=0.1, right=0.8, top=1 - 0.26 / tall, bottom=0.42 / tall, hspace=0.12
    )
    for axes, plot in zip(panels[:, 0], found, strict=True):
        draw(axes, plot, columns, list(track.events))
    panels[0, 0].set_title(f"cgroup {name}", loc="left", fontsize=10, fontweight="bold")
    panels[-1, 0].set_xlabel("seconds", fontsize=8)
    target = io.BytesIO()
    figure.savefig(target, format="png")
    return base64.b64encode(target.getvalue()).decode()


def known(plot: str, columns: dict[str, list[float]]) -> bool:
    """Whether this machine tells anything that the panel shows."""
    return any(
        not math.isnan(value)
        for field in FIELDS
        if field.plot == plot and field.role != "limit"
        for value in columns[field.name]
    )


def draw(axes: Axes, plot: str, columns: dict[str, list[float]], events: Sequence[Event]) -> None:
    """Draw one panel into `axes`: areas, lines, limits, and events with words."""
    at = columns["at"]
    fields = [
        field for field in FIELDS
        if field.plot == plot and not all(map(math.isnan, columns[field.name]))
    ]  # fmt: skip
    stack = [field for field in fields if field.role == "stack"]
    if stack:
        axes.stackplot(
            at, *([_zero(value) for value in columns[field.name]] for field in stack),
            labels=[field.label for field in stack], colors=[colour(f.colour) for f in stack],
            alpha=0.6, linewidth=0,
        )  # fmt: skip
    for field in fields:
        _line(axes, field, at, columns[field.name])
    highest = max(axes.get_ylim()[1], _LEAST[fields[0].unit] if fields else 1.0)
    axes.set_ylim(0, highest * _HEADROOM)
    last = max([at[-1], at[0] + 1, *(event.at for event in events)]) if at else 1.0
    axes.set_xlim(at[0] if at else 0, last)
    _mark(axes, plot, events)
    _dress(axes, plot, fields)


def _line(axes: Axes, field: Field, at: list[float], values: list[float]) -> None:
    tone = colour(field.colour)
    if field.role == "area":
        axes.fill_between(at, values, color=tone, alpha=0.3, linewidth=0)
    if field.role in {"area", "line"}:
        axes.plot(at, values, color=tone, linewidth=1.4, label=field.label)
    elif field.role in {"limit", "peak"}:
        style: Any = (0, (5, 3)) if field.role == "limit" else ":"
        axes.step(at, values, where="post", color=tone, linewidth=1.8, linestyle=style,
                  label=field.label)  # fmt: skip
    elif field.role == "shade":
        shared = [value > 0 for value in values]
        axes.fill_between(at, 0, 1, where=shared, step="pre", color=tone, alpha=0.25, linewidth=0,
                          transform=axes.get_xaxis_transform(), label=field.label)  # fmt: skip


def _mark(axes: Axes, plot: str, events: Sequence[Event]) -> None:
    """Draw events: words where there is room, from above, and a line down."""
    first, last = axes.get_xlim()
    ends = [-1.0] * _ROOM
    for event in events:
        if event.plot not in {"", plot} or not first <= event.at <= last:
            continue
        tone = _LOUD.get(event.kind, "#59636e")
        axes.axvline(event.at, color=tone, linewidth=1.4 if event.kind == "oom" else 0.8,
                     linestyle="-" if event.kind in _LOUD else (0, (2, 3)))  # fmt: skip
        width = len(event.text) * _LETTER
        left = max(0.0, min((event.at - first) / (last - first) + 0.004, 1 - width))
        rank = next((place for place, end in enumerate(ends) if end <= left), None)
        if rank is None or (event.kind not in _LOUD and rank > 1):
            continue
        ends[rank] = left + width + 0.01
        axes.text(
            left, 0.97 - 0.11 * rank, event.text, transform=axes.transAxes, color=tone, va="top",
            fontsize=7.5, fontweight="bold",
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip


def _dress(axes: Axes, plot: str, fields: Sequence[Field]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    unit = fields[0].unit if fields else ""
    axes.set_ylabel(TITLES[plot], fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, color="#0000001a", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    if unit in {"bytes", "B/s"}:
        rate = "/s" if unit == "B/s" else ""
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: human_size(v) + rate))
        axes.yaxis.set_major_locator(_binary_ticks())
    elif unit == "share":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v * 100:.0f} %"))
    elif unit == "count":
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    if fields:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7.5, frameon=False)


def _binary_ticks() -> Any:  # noqa: ANN401 - a Locator, whose module is imported when used
    from matplotlib.ticker import Locator

    class Binary(Locator):
        """Four to eight ticks at multiples of a power of two."""

        def __call__(self) -> list[float]:
            low, high = self.axis.get_view_interval()  # type: ignore[union-attr]
            return list(self.tick_values(low, high))

        def tick_values(self, vmin: float, vmax: float) -> list[float]:
            step = 2.0 ** max(0, math.floor(math.log2(max(vmax - vmin, 1))) - 2)
            return [step * count for count in range(int(vmax / step) + 1)]

    return Binary()


def _zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value
