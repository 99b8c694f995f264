"""A cgroup graph as lines of characters, for terminals and saved text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from nsmagic.widgets.graph_fields import FIELDS, TITLES, Field
from nsmagic.widgets.graph_track import Track
from nsmagic.wish.limits import human_size

_BARS: Final = "▁▂▃▄▅▆▇█"
_WIDTH: Final = 60
_MOST_EVENTS: Final = 8


def text_of(name: str, plots: Sequence[str], track: Track) -> str:
    """Return a line for each line of the graph, and what happened last."""
    columns = track.columns()
    lines = [f"cgroup {name}, {columns['at'][-1]:.1f} s" if track.rows else f"cgroup {name}"]
    if track.rows:
        lines += [line for plot in plots for line in _panel(plot, columns)]
    lines += [f"  {event.at:6.1f} s  {event.text}" for event in list(track.events)[-_MOST_EVENTS:]]
    return "\n".join(lines)


def _panel(plot: str, columns: dict[str, list[float]]) -> Iterator[str]:
    for field in FIELDS:
        values = columns[field.name]
        if field.plot != plot or all(map(math.isnan, values)):
            continue
        now = next(value for value in reversed(values) if not math.isnan(value))
        drawn = "" if field.role in {"limit", "peak"} else f"  {sparkline(values)}"
        label = f"{TITLES[plot]}: {field.label}"
        yield f"  {label:28} {shown(now, field):>12}{drawn}"


def sparkline(values: Sequence[float], width: int = _WIDTH) -> str:
    """Return at most `width` characters whose heights are the largest values of their share."""
    step = max(1, math.ceil(len(values) / width))
    parts = [values[place : place + step] for place in range(0, len(values), step)]
    tops = [max((v for v in part if not math.isnan(v)), default=math.nan) for part in parts]
    highest = max((top for top in tops if not math.isnan(top)), default=0) or 1
    return "".join(
        " " if math.isnan(top) else _BARS[min(7, int(8 * max(0, top) / highest))] for top in tops
    )


def shown(value: float, field: Field) -> str:
    """Return a value with its unit."""
    if field.unit == "bytes":
        return human_size(value)
    if field.unit == "B/s":
        return f"{human_size(value)}/s"
    if field.unit == "share":
        return f"{value * 100:.0f} %"
    return f"{value:.2f} CPUs" if field.unit == "CPUs" else f"{value:g}"
