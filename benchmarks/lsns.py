"""`%lsns` beside lsns(8), with more and more processes, a tenth in a network of their own.

Ours also looks at threads, open files and bound files, and keeps the rows; lsns(8) starts a
program.  The processes are in a PID namespace of their own, so that what else runs does not count.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks.support.report import Figure, Table, barred, interleaved
from nsmagic.linux.ids import SystemNames
from nsmagic.linux.lsns import lsns
from nsmagic.notebook.listing import Listing
from nsmagic.wish.lsns import read_lsns

FULL = ((100, 30), (500, 20), (1000, 15), (2000, 10), (5000, 7))  # processes and rounds
QUICK = ((10, 1), (20, 1))
TENTH: Final = 10
ANCHOR, OURS, BAR = "lsns", "%lsns, with its table", 1.0
FRESH = ["unshare", "-Ur", "--pid", "--fork", "--mount-proc", "--kill-child"]


def measure(*, quick: bool) -> Iterator[Table]:
    """Measure in a process that is PID 1 of a new PID namespace."""
    sizes = [f"{count}:{runs}" for count, runs in (QUICK if quick else FULL)]
    command = [*FRESH, sys.executable, "-m", "benchmarks.lsns", *sizes]
    project = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or f"status {done.returncode}").splitlines()[-1])
    yield Table.read(done.stdout)


def inside(sizes: Sequence[tuple[int, int]]) -> Table:
    """Time both with each number of processes."""
    tasks = {ANCHOR: lambda: _seconds(_program), OURS: lambda: _seconds(_magic)}
    figures: list[Figure] = []
    with ExitStack() as stack:
        running = 0
        for count, runs in sizes:
            apart = (count - running) // TENTH
            stack.callback(_stop, _sleepers(count - running - apart, []))
            stack.callback(_stop, _sleepers(apart, ["unshare", "--net"]))
            running = count
            taken = interleaved(tasks, runs=runs)
            figures += barred(taken.figures(ANCHOR, tasks, at=count), {OURS: BAR})
    return Table(
        name="lsns", title="Listing the namespaces of a machine", axis="processes",
        how="both once a round; a tenth of the processes have a network of their own",
        figures=tuple(figures),
    )  # fmt: skip


def _seconds(task: Callable[[], object]) -> float:
    began = time.perf_counter()
    task()
    return time.perf_counter() - began


def _program() -> None:
    subprocess.run(["lsns"], stdout=subprocess.DEVNULL, check=True)


def _magic() -> None:
    """Do what the magic does, to the text and HTML that the notebook gets."""
    wish = read_lsns("", SystemNames())
    lines, _ = lsns(wish, {})
    Listing(lines, wish)._repr_mimebundle_()


def _sleepers(count: int, prefix: list[str]) -> list[subprocess.Popen[bytes]]:
    """Start programs that sleep; all are asleep when this returns."""
    asleep, tell = os.pipe()
    argv = [*prefix, "sh", "-c", "echo; exec sleep inf"]
    started = [subprocess.Popen(argv, stdout=tell) for _ in range(count)]
    said = 0
    while said < count:
        said += len(os.read(asleep, count))
    os.close(asleep)
    os.close(tell)
    return started


def _stop(started: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in started:
        child.kill()
    for child in started:
        child.wait()


if __name__ == "__main__":
    pairs = [each.split(":") for each in sys.argv[1:]]
    table = inside([(int(count), int(runs)) for count, runs in pairs])
    sys.stdout.write(table.json())
