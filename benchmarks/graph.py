"""From a sample of a cgroup to the pixels of its live graph, in JupyterLab and Chromium.

The kernel's clock is CLOCK_MONOTONIC and the page's is its own; both are told from the wall clock
of this machine.  Drawn is when the script of the animation frame that drew the sample has ended.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.support.report import Figure, publish
from tests.support.browser import open_notebook, serve

SAMPLES, WARM_UP, BAR = 200, 20, 20.0
CELLS = (
    "%load_ext nsmagic",
    f"%%cgroup mem=64M --plot sleep {(SAMPLES + WARM_UP) // 10 + 8}",
    """import time
from nsmagic.notebook.graphs import keeper
(watched,) = keeper()._watched.values()
print(watched.track.start + time.time() - time.monotonic())""",
)
# Each sample's time in seconds of the graph, and when it was drawn by the wall clock.
WATCH = """(count) => new Promise((done) => {
    let tick = Date.now();
    while (Date.now() === tick);
    const origin = Date.now() - performance.now(), found = [];
    const graph = document.querySelector('.nsm-graph');
    new MutationObserver(() => {
        const now = origin + performance.now(), at = +graph.dataset.at;
        if (found.at(-1)?.[0] !== at) found.push([at, now / 1000]);
        if (found.length === count) done(found);
    }).observe(graph, { attributes: true, attributeFilter: ['data-at'] });
})"""


def idle() -> tuple[int, int]:
    """Return the clock ticks in which this machine's CPUs had nothing to do, and all of them."""
    ticks = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def latencies() -> tuple[list[float], float]:
    """Return the milliseconds of SAMPLES samples, and the share of idle CPU meanwhile."""
    with tempfile.TemporaryDirectory() as home:
        root = Path(home) / "notebooks"
        root.mkdir()
        with serve(root) as server, open_notebook(server, CELLS, name="graph") as lab:
            lab.start_all()
            lab.page.locator(".nsm-graph[data-at]").wait_for()
            before = idle()
            drawn = lab.page.evaluate(WATCH, SAMPLES + WARM_UP)
            rest, ticks = (now - then for now, then in zip(idle(), before, strict=True))
            lab.wait()
            start = float(lab.output(2))
    return [(wall - start - at) * 1e3 for at, wall in drawn[WARM_UP:]], rest / ticks


if __name__ == "__main__":
    taken, rest = latencies()
    figure = Figure(
        name="sample to drawn", median=statistics.median(taken), least=min(taken),
        ratio=statistics.quantiles(taken, n=20)[-1], bar=BAR,
    )  # fmt: skip
    title = f"{SAMPLES} samples of a live graph (ratio = p95 in ms), CPUs {rest:.0%} idle"
    publish("graph", title, [figure])
