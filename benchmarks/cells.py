"""What isolating a cell costs, beside what people would type instead, from the same kernel.

The anchor is `subprocess.run(["unshare", "-Urpfn", "--mount-proc", "true"])`.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.support.kernel import Kernel, kernel
from benchmarks.support.report import compare, interleaved, publish

ANCHOR = "subprocess unshare true"
PYTHON = "python cell, user+pid+net+mnt+uts+ipc"
PROGRAM = "program cell, -Urpfn --mount-proc true"
CLEAN = "subprocess unshare python -c pass"

CELLS = {
    ANCHOR: "_ = subprocess.run(['unshare', '-Urpfn', '--mount-proc', 'true'])",
    CLEAN: "_ = subprocess.run(['unshare', '-Urpfn', '--mount-proc', sys.executable, '-cpass'])",
    PYTHON: "%%unshare -Ur --pid --net --mount --uts --ipc --mount-proc\npass",
    "python cell, uts": "%%unshare -Ur --uts\npass",
    PROGRAM: "%unshare -Urpfn --mount-proc true",
    "%%bash true": "%%bash\ntrue",
    "empty cell": "pass",
}
BARS = {PYTHON: 2.0, PROGRAM: 1.2}
BALLAST = "ballast = [os.urandom(1 << 20) for _ in range({megabytes})]"


def measure(running: Kernel, runs: int) -> None:
    """Time the cells in a kernel as it is, then with 4 GB of memory in it.

    Each is run twice and the second time counts, so that none pays for the one before it: after a
    fork the kernel takes a page fault for every page that it writes to.
    """

    def seconds(cell: str) -> float:
        running.seconds(cell)
        return running.seconds(cell)

    tasks = {name: partial(seconds, cell) for name, cell in CELLS.items()}
    figures = compare(interleaved(tasks, runs=runs), ANCHOR, BARS)
    publish("cells", "isolated cells, milliseconds from request to idle", figures)
    running.seconds(BALLAST.format(megabytes=4096), timeout=300)
    tasks = {name: tasks[name] for name in (ANCHOR, PROGRAM, PYTHON)}
    figures = compare(interleaved(tasks, runs=max(5, runs // 4)), ANCHOR, {PROGRAM: 1.2})
    publish("cells-4gb", "the same with 4 GB of 4 KiB pages in the kernel", figures)


if __name__ == "__main__":
    with kernel() as started:
        measure(started, int(sys.argv[1]) if len(sys.argv) > 1 else 40)
