"""Figures and the tables that they stand in: medians, quartiles, ratios, bars, JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured figure: the median of its runs, with their quartiles `low` and `high`.

    `at` is its place on the table's axis, if the table has one.  `ratio` is the median of the
    ratios, pair by pair, to the figure `anchor` at the same place.  `bar` is the most that what is
    `judged` may be, or with `at_least` the least.  `ours` are those of nsmagic; `missing` says why
    there is no figure here.
    """

    name: str
    unit: str = "ms"
    at: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    anchor: str = ""
    ratio: float | None = None
    bar: float | None = None
    judged: Literal["ratio", "value"] = "ratio"
    at_least: bool = False
    ours: bool = False
    missing: str = ""

    @classmethod
    def of(cls, name: str, runs: Sequence[float], **more: Any) -> Self:
        """Return the figure of `runs`, which are in its unit."""
        low, _, high = (
            statistics.quantiles(runs, method="inclusive") if len(runs) > 1 else (runs[0],) * 3
        )
        return cls(name=name, value=statistics.median(runs), low=low, high=high, **more)

    @property
    def met(self) -> bool | None:
        """Whether it keeps to its bar; None where there is no bar, or nothing was measured."""
        value = self.ratio if self.judged == "ratio" else self.value
        if self.bar is None or value is None:
            return None
        return value >= self.bar if self.at_least else value <= self.bar


@dataclass(frozen=True, kw_only=True)
class Table:
    """Figures that were measured together.  `how` says what was done, `axis` what `at` counts."""

    name: str
    title: str
    how: str
    figures: tuple[Figure, ...]
    axis: str = ""
    machine: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Keep it as JSON in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.json").write_text(self.json())

    def json(self) -> str:
        """Return it as text for `read`."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the table of a text by `json`; ValueError or TypeError where it is none."""
        data = json.loads(text)
        return cls(**{**data, "figures": tuple(Figure(**each) for each in data["figures"])})

    def text(self) -> str:
        """Return it for a terminal."""
        lines = [self.title, f"{'':50} {'median':>9} {'quartiles':>19} {'ratio':>7} {'bar':>7}"]
        return "\n".join([*lines, *map(_line, self.figures)]) + "\n"

    def series(self) -> dict[str, list[Figure]]:
        """Return the figures by name, in their order."""
        found: dict[str, list[Figure]] = {}
        for figure in self.figures:
            found.setdefault(figure.name, []).append(figure)
        return found


def _line(figure: Figure) -> str:
    name = figure.name if figure.at is None else f"{figure.name}, {figure.at:g}"
    if figure.value is None or figure.low is None or figure.high is None:
        return f"{name:50} {figure.missing}"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    bar = "" if figure.bar is None else f"{'>=' if figure.at_least else '<='}{figure.bar:g}"
    verdict = {None: "", True: "met", False: "NOT MET"}[figure.met]
    spread = f"{figure.low:.2f} .. {figure.high:.2f}"
    return (
        f"{name:50} {figure.value:9.2f} {spread:>19} {ratio:>7} {bar:>7} {figure.unit} {verdict}"
    ).rstrip()


@dataclass(frozen=True)
class Taken:
    """What `interleaved` measured: the runs of each task, and why the others have none."""

    runs: dict[str, list[float]]
    missing: dict[str, str]

    def figures(self, anchor: str, names: Collection[str], **more: Any) -> Iterator[Figure]:
        """Yield a figure in ms for each of `names`, compared with `anchor`, which has no ratio."""
        for name in names:
            if name in self.missing:
                yield Figure(name=name, missing=self.missing[name], at=more.get("at"))
                continue
            figure = Figure.of(name, [run * 1e3 for run in self.runs[name]], **more)
            if name != anchor:
                figure = replace(figure, anchor=anchor, ratio=self.ratio(name, anchor))
            yield figure

    def ratio(self, name: str, anchor: str) -> float:
        """Return the median of the ratios of a task's seconds to those of `anchor`."""
        return ratio_of(self.runs[name], self.runs[anchor])


def ratio_of(runs: Sequence[float], anchor: Sequence[float]) -> float:
    """Return the median of the ratios pair by pair: what else the machine does touches both."""
    return statistics.median(a / b for a, b in zip(runs, anchor, strict=True))


def barred(figures: Iterator[Figure], bars: Mapping[str, float | None]) -> Iterator[Figure]:
    """Mark those that are ours, and set the bars that they have."""
    for figure in figures:
        mine = figure.name in bars
        yield replace(figure, bar=bars[figure.name], ours=True) if mine else figure


def interleaved(
    tasks: Mapping[str, Callable[[], float]], *, runs: int, optional: Collection[str] = ()
) -> Taken:
    """Run every task in turn, `runs` times after one warm-up, and return their seconds.

    Turns spread what else the machine does over all of them, so that ratios hold.  A task of
    `optional` that raises RuntimeError or OSError is left out from then on, and said.
    """
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    missing: dict[str, str] = {}
    for turn in range(runs + 1):
        for name, task in tasks.items():
            if name in missing:
                continue
            try:
                seconds = task()
            except (RuntimeError, OSError) as error:
                if name not in optional:
                    raise
                missing[name] = str(error)
                continue
            if turn:
                taken[name].append(seconds)
    return Taken(runs=taken, missing=missing)
