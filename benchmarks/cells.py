"""What isolating a cell costs, beside what people would type instead, from the same kernel.

The anchors are `subprocess.run(["unshare", ...])` of true(1) and of a new Python.  All run in turn,
in one kernel, and get the same namespaces: user, pid, net, mount, uts, ipc.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.support.kernel import Kernel, kernel
from benchmarks.support.neighbours import PYTHON, Neighbour, neighbours
from benchmarks.support.report import Figure, Table, barred, interleaved

ANCHOR = "subprocess unshare true"
CLEAN = "subprocess unshare python -c pass"
PYTHON_CELL = "Python cell (%%unshare, pass)"
PROGRAM_CELL = "program cell (%unshare true)"
UTS_CELL, FRESH_CELL = "Python cell, uts only", "Python cell, --fresh"
ALL = "-Ur --pid --net --mount --uts --ipc --mount-proc"
UNSHARE = f"unshare {ALL} --fork".split()
PLAIN = {
    "empty cell": "pass",
    "subprocess true": "_ = subprocess.run(['true'])",
    "%%bash true": "%%bash\ntrue",
    ANCHOR: f"_ = subprocess.run({[*UNSHARE, 'true']!r})",
    PROGRAM_CELL: f"%unshare {ALL} true",
    PYTHON_CELL: f"%%unshare {ALL}\npass",
}
PYTHONS = {
    CLEAN: f"_ = subprocess.run({[*UNSHARE, PYTHON, '-c', 'pass']!r})",
    PYTHON_CELL: PLAIN[PYTHON_CELL],
    UTS_CELL: "%%unshare -Ur --uts\npass",
    FRESH_CELL: f"%%unshare {ALL} --fresh\npass",
}
BARS = {PYTHON_CELL: 2.0, PROGRAM_CELL: 1.2}
PYTHON_BARS = {PYTHON_CELL: 1.0, UTS_CELL: None, FRESH_CELL: None}
# What they say is not shown, as that of `subprocess unshare` is not: there is none.
RUN = "_ = subprocess.run({argv!r}, stderr=subprocess.DEVNULL, check=True)"


def measure(*, quick: bool) -> Iterator[Table]:
    """Time everything in one kernel with pyplot loaded."""
    with neighbours() as there, kernel() as running:
        yield from _measure(running, there, runs=2 if quick else 30)


def _measure(running: Kernel, there: list[Neighbour], *, runs: int) -> Iterator[Table]:
    tasks = {name: running.task(cell) for name, cell in (PLAIN | PYTHONS).items()}
    works = {work: [f"{each.name} {work}" for each in there] for work in ("true", "python -c pass")}
    for each in there:
        for work, argv in each.argv.items():
            tasks[f"{each.name} {work}"] = running.task(RUN.format(argv=argv))
    optional = tasks.keys() - PLAIN.keys() - PYTHONS.keys()
    taken = interleaved(tasks, runs=runs, optional=optional)
    for each in there:
        if each.missing:
            taken.missing.update(dict.fromkeys((f"{each.name} {w}" for w in works), each.missing))
    how = (
        f"{runs} rounds, every one of these twice a round and timed the second time, in one kernel"
    )

    def table(name: str, title: str, figures: Iterator[Figure]) -> Table:
        return Table(name=name, title=title, how=how, figures=tuple(figures))

    names = [*PLAIN, *works["true"]]
    yield table("cells", "A program in six namespaces", barred(taken.figures(ANCHOR, names), BARS))
    names = [*PYTHONS, *works["python -c pass"]]
    yield table(
        "pythons", "Python in six namespaces", barred(taken.figures(CLEAN, names), PYTHON_BARS)
    )
