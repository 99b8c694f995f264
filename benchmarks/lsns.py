"""`%lsns` beside lsns(8), on a machine of 2,000 processes in a PID namespace of their own.

Ours also looks at threads, open files and bound files, and keeps the rows; lsns(8) starts a
program.  First all are in the same namespaces, then 200 have a network of their own.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.support.report import compare, interleaved, publish
from nsmagic.linux.ids import SystemNames
from nsmagic.linux.lsns import lsns
from nsmagic.notebook.listing import Listing
from nsmagic.wish.lsns import read_lsns

PROCESSES, ISOLATED = 2000, 200
ANCHOR, OURS = "lsns", "%lsns, with its table"
FRESH = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]


def seconds(task: Callable[[], object]) -> float:
    """Return the wall time of a call."""
    began = time.perf_counter()
    task()
    return time.perf_counter() - began


def program() -> None:
    """Run lsns(8)."""
    subprocess.run(["lsns"], stdout=subprocess.DEVNULL, check=True)


def magic() -> None:
    """Do what the magic does, to the text and HTML that the notebook gets."""
    wish = read_lsns("", SystemNames())
    lines, _ = lsns(wish, {})
    Listing(lines, wish)._repr_mimebundle_()


@contextlib.contextmanager
def sleepers(count: int, prefix: list[str]) -> Iterator[None]:
    """Start programs that sleep until the block is left; all are asleep when it begins."""
    read, write = os.pipe()
    asleep, tell = os.pipe()
    argv = [*prefix, "sh", "-c", "echo; exec cat"]
    children = [subprocess.Popen(argv, stdin=read, stdout=tell) for _ in range(count)]
    said = 0
    while said < count:
        said += len(os.read(asleep, count))
    yield
    for fd in (read, write, asleep, tell):
        os.close(fd)
    for child in children:
        child.kill()
        child.wait()


def measure(runs: int) -> None:
    """Time both, twice."""
    tasks = {ANCHOR: lambda: seconds(program), OURS: lambda: seconds(magic)}
    with sleepers(PROCESSES - ISOLATED, []):
        with sleepers(ISOLATED, []):
            figures = compare(interleaved(tasks, runs=runs), ANCHOR, {OURS: 1.0})
            publish("lsns", f"listing namespaces, {PROCESSES} processes", figures)
        with sleepers(ISOLATED, ["unshare", "--net"]):
            figures = compare(interleaved(tasks, runs=runs), ANCHOR, {OURS: 1.0})
            publish("lsns-isolated", f"the same, {ISOLATED} with a network of their own", figures)


if __name__ == "__main__":
    if os.getpid() == 1:
        measure(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
    else:
        subprocess.run([*FRESH, sys.executable, __file__, *sys.argv[1:]], check=True)
