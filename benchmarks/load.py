"""What `%load_ext nsmagic` costs in a fresh kernel, beside an extension that does nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator

from benchmarks.support.kernel import kernel
from benchmarks.support.report import Figure, Table, ratio_of

OURS, NOTHING = "%load_ext nsmagic", "%load_ext of an empty module"
BAR = 80.0  # ms
EMPTY = """
m = sys.modules['empty_ext'] = types.ModuleType('m')
m.load_ipython_extension = lambda shell: None
"""


def measure(*, quick: bool) -> Iterator[Table]:
    """Load both in each of some fresh kernels."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled
    runs = [_once() for _ in range(2 if quick else 10)][1:]
    nothing, ours = ([run[place] * 1e3 for run in runs] for place in (0, 1))
    extra = Figure.of(
        OURS + ", less that", [b - a for a, b in zip(nothing, ours, strict=True)],
        bar=BAR, judged="value", ours=True,
    )  # fmt: skip
    figures = (
        Figure.of(NOTHING, nothing),
        Figure.of(OURS, ours, anchor=NOTHING, ratio=ratio_of(ours, nothing), ours=True),
        extra,
    )
    how = f"{len(runs)} fresh kernels, both in each, request to idle"
    yield Table(name="load", title="Loading the extension", how=how, figures=figures)


def _once() -> tuple[float, float]:
    """Return the seconds of loading nothing, and of loading nsmagic, in one kernel."""
    with kernel("", imports="types") as running:
        running.seconds(EMPTY)
        return running.seconds(NOTHING_CELL), running.seconds(OURS)


NOTHING_CELL = "%load_ext empty_ext"
