"""How boxes grow with their number: making one more, entering one, listing all, memory of each.

The anchors are what keeps, enters and lists namespaces otherwise: `unshare -pfn --mount-proc sleep
inf`, nsenter(1) and lsns(8), started from the same kernel.  Memory is PSS, proc_pid_smaps(5): pages
that several share count in parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.cells import BARS, PROGRAM_CELL
from benchmarks.support.kernel import Kernel, kernel
from benchmarks.support.report import Figure, Table, barred, interleaved

FULL = ((1, 20), (10, 20), (100, 20), (500, 12))  # boxes and rounds
QUICK = ((1, 1), (3, 1))
OPTIONS = "-pn --mount-proc"
SETUP = f"""
from pathlib import Path
from nsmagic.run.boxes import boxes

def children(pid):
    return [int(c) for c in Path(f"/proc/{{pid}}/task/{{pid}}/children").read_text().split()]

def memory(pids):
    lines = [Path(f"/proc/{{pid}}/smaps_rollup").read_text().splitlines() for pid in pids]
    return sum(int(line.split()[1]) for each in lines for line in each if line.startswith("Pss:"))

def start():
    argv = ["unshare", *"-f {OPTIONS}".split(), "sh", "-c", "echo; exec sleep inf"]
    return subprocess.Popen(argv, stdout=subprocess.PIPE)

def end(started):
    for each in started:
        for init in children(each.pid):
            os.kill(init, 9)
    for each in started:
        each.wait()
        each.stdout.close()

def make(count):
    have = len(boxes().living())
    for number in range(have, count):
        get_ipython().run_line_magic("unshare", f"--name b{{number}} {OPTIONS}")
"""
BOX_MEMORY = "print(memory(box.pid for box in boxes().living().values()) / {count})"
PROGRAM_MEMORY = """
started = [start() for _ in range({count})]
for each in started:
    each.stdout.readline()
pids = [pid for each in started for pid in (each.pid, *children(each.pid))]
print(memory(pids) / {count})
end(started)
"""
# Each with its anchor and the most that it may be of it.
MAKE, PROGRAM = "make one more box", "unshare -pfn --mount-proc sleep inf"
ENTER, NSENTER = "a program cell in a box", "subprocess nsenter -t PID -a true"
LIST, LSNS = "%box lists all", "subprocess lsns"
PAIRS = ((MAKE, PROGRAM, 1.5), (ENTER, NSENTER, BARS[PROGRAM_CELL]), (LIST, LSNS, 1.0))
INIT, SLEEP, INIT_BAR = "init of a box", "unshare and sleep", 1.0


def measure(*, quick: bool) -> Iterator[Table]:
    """Make more and more boxes in one kernel."""
    figures: list[Figure] = []
    memory: list[Figure] = []
    with kernel() as running:
        running.seconds(SETUP)
        for count, runs in QUICK if quick else FULL:
            running.seconds(f"make({count})", timeout=200)
            figures += _at(running, count, runs)
            memory += _memory(running, count)
        running.seconds("%box rm --all", timeout=100)
    how = "every one of these once a round, request to idle in the same kernel"
    yield Table(name="boxes", title="Boxes beside boxes", axis="boxes", how=how,
                figures=tuple(figures))  # fmt: skip
    yield Table(name="box-memory", title="Memory of an idle box", axis="boxes", how=PSS,
                figures=tuple(memory))  # fmt: skip


PSS = "PSS of all processes, by their number; once each"


def _at(running: Kernel, count: int, runs: int) -> Iterator[Figure]:
    pid = "next(iter(boxes().living().values())).pid"
    tasks = {
        PROGRAM: running.task("one = start()\n_ = one.stdout.readline()", after="end([one])"),
        MAKE: running.task(f"%unshare --name more {OPTIONS}", after="%box rm more"),
        NSENTER: running.task(
            f"_ = subprocess.run(['nsenter', '-t', str({pid}), '-a', 'true'], check=True)"
        ),
        ENTER: running.task("%nsenter -t b0 true"),
        LSNS: running.task("_ = subprocess.run(['lsns'], stdout=subprocess.DEVNULL)"),
        LIST: running.task("%box"),
    }
    taken = interleaved(tasks, runs=runs)
    for ours, anchor, bar in PAIRS:
        yield from barred(taken.figures(anchor, (anchor, ours), at=count), {ours: bar})


def _memory(running: Kernel, count: int) -> Iterator[Figure]:
    theirs = float(running.text(PROGRAM_MEMORY.format(count=count), timeout=200))
    ours = float(running.text(BOX_MEMORY.format(count=count), timeout=200))
    yield Figure.of(SLEEP, [theirs], unit="kB", at=count)
    init = Figure.of(INIT, [ours], unit="kB", at=count)
    yield replace(init, anchor=SLEEP, ratio=ours / theirs, bar=INIT_BAR, ours=True)
