"""Live graphs in JupyterLab and Chromium: from a sample to its pixels, and CPU of the kernel.

The kernel's clock is CLOCK_MONOTONIC and the page's is its own; both are told from the wall clock
of this machine.  Drawn is when the script of the animation frame that drew the sample has ended.
The anchors are a frame of the same page, and what one would write instead of a live graph: a figure
of matplotlib drawn anew and sent ten times a second.
"""

from __future__ import annotations

import ast
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import quantiles

from benchmarks.support.report import Figure, Table, ratio_of
from tests.support.browser import CHROMIUM, Server, open_notebook, serve

SAMPLES, WARM_UP = 200, 20
FRAME, DRAWN, LATE = "a frame of the page", "sample to drawn", "sample to drawn, 95th percentile"
DRAWN_BAR = 20.0  # ms
IDLE, MATPLOTLIB, ONE, TWENTY = (
    "idle kernel", "matplotlib, one figure ten times a second", "one graph", "twenty graphs",
)  # fmt: skip
ABOVE = ", less the idle kernel"
CPU_BARS = {ONE: 2.0, TWENTY: 15.0}  # % of a core, above the idle kernel
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
FRAMES = """(count) => new Promise((done) => {
    const found = [];
    const next = (now) => {
        found.push(now);
        found.length > count ? done(found) : requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
})"""
START = """import time
from nsmagic.notebook.graphs import keeper
(watched,) = keeper()._watched.values()
print(watched.track.start + time.time() - time.monotonic())"""
CPU = """
import io, os, subprocess, sys, time
from contextlib import ExitStack
import matplotlib.pyplot as plt
from IPython.display import Image, clear_output, display
from nsmagic.linux.cgroups.group import make_group
from nsmagic.linux.cgroups.places import Places
from nsmagic.notebook.graphs import close_graphs, keeper
from nsmagic.wish.limits import parse_limits
from nsmagic.wish.panels import USUAL
WORK = "import time\\nwhile True: bytearray(1 << 20); time.sleep(0.1)"
limits = parse_limits(["mem=64M", "pids=20", "cpu=50%"])
rows = [limit.row for limit in limits]
place = Places().find(rows)
groups, stack = [], ExitStack()

def fill(number):
    group = make_group(place, os.getpid(), f"graph{{number}}", rows)
    stack.callback(group.remove)
    group.set(limits)
    worker = subprocess.Popen([sys.executable, "-S", "-c", WORK])
    stack.callback(worker.wait)
    stack.callback(worker.kill)
    group.add(worker.pid)
    groups.append(group)

def share(act=lambda: None):
    began, used = time.monotonic(), time.process_time()
    for tick in range(int(10 * {seconds})):
        act()
        time.sleep(max(0, began + (tick + 1) / 10 - time.monotonic()))
    return 100 * (time.process_time() - used) / (time.monotonic() - began)

def graphs(count):
    shown = [keeper().open(group, USUAL) for group in groups[:count]]
    for graph in shown:
        display(graph)
    end = time.monotonic() + 40
    while any(graph.unheard for graph in shown):
        assert time.monotonic() < end, "no view asked for its graph"
        time.sleep(0.1)
    time.sleep(1)
    taken = share()
    for graph in shown:
        graph.close()
    return taken

figure, axes = plt.subplots(figsize=(6, 2))
values = []
def redraw():
    values.append(len(values) % 7)
    axes.clear()
    axes.plot(values)
    png = io.BytesIO()
    figure.savefig(png)
    shown.update(Image(png.getvalue()))

taken = []
with stack:
    for number in range({count}):
        fill(number)
    stack.callback(close_graphs)
    for _ in range({rounds}):
        clear_output()  # JupyterLab shows fifty outputs of a cell, and graphs leave two each
        shown = display(display_id=True)
        taken.append([share(), share(redraw), graphs(1), graphs({count})])
"""


def measure(*, quick: bool) -> Iterator[Table]:
    """Open a notebook for each of the two."""
    if not CHROMIUM.exists():
        why = f"no {CHROMIUM} here"
        for name, title in (("graph", LATENCY), ("graph-cpu", CPU_TITLE)):
            missing = Figure(name="live graphs", missing=why)
            yield Table(name=name, title=title, how="", figures=(missing,))
        return
    with tempfile.TemporaryDirectory() as home:
        root = Path(home) / "notebooks"
        root.mkdir()
        with serve(root) as server:
            yield _latency(server, 10 if quick else SAMPLES)
            yield _cpu(server, count=2 if quick else 20, quick=quick)


LATENCY, CPU_TITLE = (
    "From a sample to its pixels",
    "CPU of the notebook's kernel, ten samples a second",
)


def _latency(server: Server, samples: int) -> Table:
    seconds = (samples + WARM_UP) // 10 + 8
    cells = ["%load_ext nsmagic", f"%%cgroup mem=64M --plot sleep {seconds}", START]
    with open_notebook(server, cells, name="latency") as lab:
        lab.start_all()
        lab.page.locator(".nsm-graph[data-at]").wait_for()
        drawn = lab.page.evaluate(WATCH, samples + WARM_UP)
        frames = lab.page.evaluate(FRAMES, 60)
        lab.wait()
        start = float(lab.output(2))
    taken = [(wall - start - at) * 1e3 for at, wall in drawn[WARM_UP:]]
    late = quantiles(taken, n=20)[-1]
    frame = Figure.of(FRAME, [b - a for a, b in pairwise(frames)])
    middle = Figure.of(DRAWN, taken)
    assert frame.value
    assert middle.value
    figures = (
        frame,
        replace(middle, anchor=FRAME, ratio=middle.value / frame.value, ours=True),
        Figure.of(LATE, [late], anchor=FRAME, ratio=late / frame.value, bar=DRAWN_BAR,
                  judged="value"),
    )  # fmt: skip
    how = f"{samples} samples of one graph at 10 Hz, headless Chromium"
    return Table(name="graph", title=LATENCY, how=how, figures=figures)


def _cpu(server: Server, *, count: int, quick: bool) -> Table:
    seconds, rounds = (0.3, 2) if quick else (3, 2)
    code = CPU.format(count=count, seconds=seconds, rounds=rounds)
    with open_notebook(server, ["%load_ext nsmagic", code, "print(taken)"], name="cpu") as lab:
        lab.run_all(timeout=240)
        if not lab.output(2):
            raise RuntimeError(f"the cell failed: {lab.output(1)}")
        taken = ast.literal_eval(lab.output(2))
    idle, drawn, *graphs = ([turn[place] for turn in taken] for place in range(4))
    figures = [Figure.of(IDLE, idle, unit=SHARE), Figure.of(MATPLOTLIB, drawn, unit=SHARE)]
    for name, runs in zip((ONE, TWENTY), graphs, strict=True):
        above = [run - rest for run, rest in zip(runs, idle, strict=True)]
        figures.append(
            Figure.of(name + ABOVE, above, unit=SHARE, anchor=MATPLOTLIB,
                      ratio=ratio_of(above, drawn), bar=CPU_BARS[name], judged="value")
        )  # fmt: skip
    how = f"{rounds} rounds of {seconds} s each in turn, sampling included, JupyterLab looks on"
    return Table(name="graph-cpu", title=CPU_TITLE, how=how, figures=tuple(figures))


SHARE = "% of a core"
