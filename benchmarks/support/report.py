"""Medians, ratios pair by pair, bars, and what is printed and kept."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured figure beside its anchor.

    `median` and `least` are in `unit`; `ratio` is the median of the ratios to the anchor, pair by
    pair; `bar` is the most (or, for a throughput, the least) that the ratio may be, None without.
    """

    name: str
    median: float
    least: float
    unit: str = "ms"
    ratio: float | None = None
    bar: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the ratio keeps to its bar; None without a bar."""
        if self.bar is None or self.ratio is None:
            return None
        return self.ratio >= self.bar if self.at_least else self.ratio <= self.bar


def interleaved(tasks: Mapping[str, Callable[[], float]], *, runs: int) -> dict[str, list[float]]:
    """Run every task in turn, `runs` times after one warm-up; return seconds by task.

    Turns spread what else the machine does over all of them, so that ratios hold.
    """
    for task in tasks.values():
        task()
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(runs):
        for name, task in tasks.items():
            taken[name].append(task())
    return taken


def compare(
    taken: Mapping[str, Sequence[float]], anchor: str, bars: Mapping[str, float]
) -> list[Figure]:
    """Return a figure for each task in milliseconds, with its ratio to `anchor`."""
    return [
        Figure(
            name=name, median=statistics.median(values) * 1e3, least=min(values) * 1e3,
            ratio=statistics.median(a / b for a, b in zip(values, taken[anchor], strict=True)),
            bar=bars.get(name),
        )
        for name, values in taken.items()
    ]  # fmt: skip


def publish(name: str, title: str, figures: Sequence[Figure]) -> None:
    """Print the figures as a table and keep them as JSON in benchmarks/results."""
    lines = [title, f"{'':44} {'median':>9} {'least':>9} {'ratio':>7} {'bar':>6}"]
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        bar = "" if figure.bar is None else f"{'>=' if figure.at_least else '<='}{figure.bar:g}"
        verdict = {None: "", True: "met", False: "NOT MET"}[figure.met]
        lines.append(
            f"{figure.name:44} {figure.median:9.1f} {figure.least:9.1f} {ratio:>7} {bar:>6} "
            f"{figure.unit:5} {verdict}".rstrip()
        )
    sys.stdout.write("\n".join(lines) + "\n\n")
    RESULTS.mkdir(exist_ok=True)
    machine = {
        "linux": platform.release(), "machine": platform.machine(), "cpus": os.cpu_count(),
        "python": platform.python_version(),
    }  # fmt: skip
    kept = {"title": title, "machine": machine, "figures": [asdict(f) for f in figures]}
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")
