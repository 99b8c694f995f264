"""Where the time of an isolated cell goes, part by part from the request until the kernel is idle.

The steps are the plan's own timings, which `--explain` shows too.  What is before and after them is
told by the wall clock, which the cell's own first line reads.  A program has no such line, so here
it is bash(1), whose first act is $EPOCHREALTIME.  A bare fork(2) of the same kernel and a bare
bash(1) are measured beside it: their shares are Linux's, whoever asks for them.
"""

from __future__ import annotations

import ast
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.cells import ALL
from benchmarks.support.kernel import Kernel, kernel
from benchmarks.support.report import Figure, Table
from nsmagic.linux.ids import SystemNames
from nsmagic.linux.situation import read_situation
from nsmagic.wish import steps
from nsmagic.wish.plan import make_plan
from nsmagic.wish.unshare import unshare_wish

OPTIONS = f"{ALL} --proc ended --out said"
# The wall clock and not time.monotonic(), which a time namespace and bash(1) do not share.
SETUP = f"""
import posix
def told(began):
    first, last = map(float, said.split())
    return [1e3 * each for each in (first - began, last - first, time.time() - last)]
def python():
    began = time.time()
    get_ipython().run_cell_magic("unshare", "{OPTIONS}",
        "import time\\nfirst = time.time()\\nprint(first, time.time(), flush=True)")
    return [*told(began), *ended.spent]
def program():
    began = time.time()
    get_ipython().run_line_magic("unshare",
        "{OPTIONS} bash -c 'echo $EPOCHREALTIME $EPOCHREALTIME'")
    return [*told(began), *ended.spent]
def bash():
    began = time.time()
    argv = ["bash", "-c", "echo $EPOCHREALTIME"]
    return (float(subprocess.run(argv, capture_output=True).stdout) - began) * 1e3
def fork():
    began = time.perf_counter()
    if (pid := posix.fork()) == 0:
        os._exit(0)
    forked = time.perf_counter()
    os.waitpid(pid, 0)
    return [1e3 * (forked - began), 1e3 * (time.perf_counter() - forked)]
"""
# The labels of steps as one part, in the order in which they are shown.
PARTS: Mapping[str, str] = {
    "unshare": "unshare(2)", "uid_map": "maps of ids", "setgroups": "maps of ids",
    "gid_map": "maps of ids", "clone": "clone(2) of PID 1", "propagation": "mounts",
    "proc": "mounts",
}  # fmt: skip
TITLES = {"python": "Python cell", "program": "program cell"}
WHOLE = "request to idle"
OUTSIDE = "front end, messages and IPython"
END = "the end: exit(2), namespaces, reaped, shown"
REAPED = "of that, the end of a copy of the kernel, bare"


def labels(body: steps.Step) -> list[str]:
    """Return the part that each step of the plan belongs to, but for its body."""
    wish, _, _ = unshare_wish(ALL, SystemNames())
    plan = make_plan(wish, read_situation(wish), body)
    return [PARTS.get(step.label, step.label) for step in plan.steps[:-1]]


def measure(*, quick: bool) -> Iterator[Table]:
    """Run both kinds of cell in turn with what Linux needs for the like of them."""
    runs = 2 if quick else 40
    rows: dict[str, list[dict[str, float]]] = {kind: [] for kind in TITLES}
    with kernel() as running:
        running.seconds(SETUP)
        for turn in range(runs + 1):
            row = {"python": _python(running), "program": _program(running)}
            for kind, parts in row.items():
                rows[kind] += [parts] if turn else []
    for kind, taken in rows.items():
        yield Table(
            name=f"parts-{kind}", title=f"The parts of a {TITLES[kind]} in six namespaces",
            how=f"{runs} rounds; the ratio is the part's share of the whole",
            figures=tuple(_figures(taken)),
        )  # fmt: skip


def _python(running: Kernel) -> dict[str, float]:
    forked, reaped = ast.literal_eval(running.text("print(fork())"))
    whole = running.seconds("taken = python()") * 1e3
    before, body, after, *spent = ast.literal_eval(running.text("print(taken)"))
    return {
        OUTSIDE: whole - before - body - after,
        "the magic, and making the copy harmless": before - sum(spent) - forked,
        "fork(2), bare": forked, **_steps(labels(steps.RunPython()), spent),
        END: body + after, REAPED: reaped, WHOLE: whole,
    }  # fmt: skip


def _program(running: Kernel) -> dict[str, float]:
    started = float(running.text("print(bash())"))
    whole = running.seconds("taken = program()") * 1e3
    before, body, after, *spent = ast.literal_eval(running.text("print(taken)"))
    return {
        OUTSIDE: whole - before - body - after,
        "the magic and its helper": before - sum(spent) - started,
        **_steps(labels(steps.Exec(argv=("bash",))), spent),
        "execve(2) and start of the program, bare": started, END: body + after, WHOLE: whole,
    }  # fmt: skip


def _steps(names: Sequence[str], spent: Sequence[float]) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for name, milliseconds in zip(names, spent, strict=True):
        found[name] += milliseconds
    return found


def _figures(taken: Sequence[Mapping[str, float]]) -> Iterator[Figure]:
    for name in taken[0]:
        share = statistics.median(row[name] / row[WHOLE] for row in taken)
        anchored = {} if name == WHOLE else {"anchor": WHOLE, "ratio": share}
        yield Figure.of(name, [row[name] for row in taken], **anchored)
