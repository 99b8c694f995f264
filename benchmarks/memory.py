"""How cells grow with what the notebook's kernel holds: 4 KiB pages, the expensive kind.

A Python cell is a copy of the kernel, so that Linux must copy and free its page tables: its anchor
is the least that can cost, a fork(2) of the same kernel whose child ends at once.  A program cell
is started by a helper that holds nothing, and must not grow.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.cells import ANCHOR, BARS, PLAIN, PROGRAM_CELL, PYTHON_CELL
from benchmarks.support.kernel import Kernel, kernel
from benchmarks.support.report import Figure, Table, barred, interleaved

FORK = "fork(2) of the kernel, and its end"
FORK_BAR = 2.0
FULL = ((0.1, 30), (1.0, 20), (4.0, 12))  # GB and rounds
QUICK = ((0.1, 1), (0.2, 1))
# prctl(2): with huge pages (PR_SET_THP_DISABLE) fork has 512 times fewer entries to copy.
SETUP = """
import ctypes, posix
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)
ballast = []
def fork():
    pid = posix.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
"""
HELD = "sum(map(int, re.findall(r'VmRSS:\\s*(\\d+)', open('/proc/self/status').read()))) / 1e6"
FILL = f"""
import re
while {HELD} < {{size}}:
    ballast.append(b"x" * (1 << 20))
"""
TASKS = {
    ANCHOR: PLAIN[ANCHOR], PROGRAM_CELL: PLAIN[PROGRAM_CELL], FORK: "fork()",
    PYTHON_CELL: PLAIN[PYTHON_CELL],
}  # fmt: skip


def measure(*, quick: bool) -> Iterator[Table]:
    """Fill one kernel more and more."""
    figures: list[Figure] = []
    with kernel() as running:
        running.seconds(SETUP)
        for size, runs in QUICK if quick else FULL:
            running.seconds(FILL.format(size=size), timeout=120)
            figures += _at(running, size, runs)
    yield Table(
        name="memory", title="Cells beside what the kernel holds", axis="GB in the kernel",
        how="every one of these once a round, request to idle, in one kernel that is filled with "
        "4 KiB pages", figures=tuple(figures),
    )  # fmt: skip


def _at(running: Kernel, size: float, runs: int) -> Iterator[Figure]:
    tasks = {name: running.task(cell) for name, cell in TASKS.items()}
    taken = interleaved(tasks, runs=runs)
    bars = {PROGRAM_CELL: BARS[PROGRAM_CELL]}
    yield from barred(taken.figures(ANCHOR, (ANCHOR, PROGRAM_CELL), at=size), bars)
    bars = {PYTHON_CELL: FORK_BAR}
    yield from barred(taken.figures(FORK, (FORK, PYTHON_CELL), at=size), bars)
