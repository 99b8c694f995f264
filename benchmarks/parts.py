"""Where the time of an isolated cell goes: what Linux needs for the fork, each step, and the rest.

The fork is measured bare, in the same kernel: posix.fork(), a child that ends at once, and its end.
The steps are the plan's own timings, which --explain shows too.
"""

from __future__ import annotations

import ast
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.support.kernel import Kernel, kernel
from benchmarks.support.report import Figure, publish

SETUP = """
import posix
def bare():
    start = time.perf_counter()
    pid = posix.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return (time.perf_counter() - start) * 1e3
"""
ALL = "-Ur --pid --net --mount --uts --ipc --mount-proc --proc ended"
CELLS = {"python": f"%%unshare {ALL}\npass", "program": f"%unshare {ALL} true"}
ENDED = "print([ended.seconds * 1e3, *ended.spent])"
STEPS = ("unshare(2)", "uid_map", "setgroups", "gid_map", "clone(2)", "propagation", "mount proc")


def measure(running: Kernel, runs: int) -> None:
    """Run both cells in turn with a bare fork, and print a table for each."""
    running.seconds("import time" + SETUP)
    forks: list[float] = []
    rows: dict[str, list[list[float]]] = {name: [] for name in CELLS}
    idle: list[float] = []
    for _ in range(runs):
        forks.append(float(running.text("print(bare())")))
        idle.append(running.seconds("pass") * 1e3)
        for name, cell in CELLS.items():
            whole = running.seconds(cell) * 1e3
            rows[name].append([whole, *ast.literal_eval(running.text(ENDED))])
    for name, taken in rows.items():
        parts = dict(
            zip(("request to idle", "fork to end", *STEPS), zip(*taken, strict=True), strict=True)
        )
        parts["an empty cell"] = tuple(idle)
        if name == "python":
            parts["bare fork and end of this kernel"] = tuple(forks)
        figures = [
            Figure(name=part, median=statistics.median(values), least=min(values))
            for part, values in parts.items()
        ]
        publish(f"parts-{name}", f"the parts of a {name} cell in six new namespaces", figures)


if __name__ == "__main__":
    with kernel() as started:
        measure(started, int(sys.argv[1]) if len(sys.argv) > 1 else 40)
