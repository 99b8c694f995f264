"""A hundred boxes at once: how fast they are made and removed, and what memory their inits take.

The anchor is what keeps namespaces otherwise: `unshare -pfn --mount-proc sleep inf`, which is two
processes, started a hundred times from the same kernel.  Memory is PSS, proc_pid_smaps(5): pages
that several share count in parts.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.support.kernel import Kernel, kernel
from benchmarks.support.report import Figure, publish

COUNT = 100
OPTIONS = "-pn --mount-proc"
DEFINE = f"""
import os, subprocess, time
from pathlib import Path
from nsmagic.run.boxes import boxes

def children(pid):
    return [int(c) for c in Path(f"/proc/{{pid}}/task/{{pid}}/children").read_text().split()]

def memory(pids, field):
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{{pid}}/smaps_rollup").read_text().splitlines():
            if line.startswith(field):
                total += int(line.split()[1])
    return total

def make_boxes():
    ip = get_ipython()
    for number in range({COUNT}):
        ip.run_line_magic("unshare", f"--name b{{number}} {OPTIONS}")

def make_programs():
    argv = ["unshare", *"-f {OPTIONS}".split(), "sh", "-c", "echo; exec sleep inf"]
    started = [subprocess.Popen(argv, stdout=-1, stderr=-3) for _ in range({COUNT})]
    for each in started:
        each.stdout.readline()
    return started

def seconds(act):
    start = time.perf_counter()
    act()
    return time.perf_counter() - start
"""
PROGRAMS = """
start = time.perf_counter(); started = make_programs(); made = time.perf_counter() - start
pids = [pid for each in started for pid in (each.pid, *children(each.pid))]
pss, private = memory(pids, "Pss:"), memory(pids, "Private_Dirty:")
inits = [child for each in started for child in children(each.pid)]
removed = seconds(lambda: [os.kill(pid, 9) for pid in inits] + [each.wait() for each in started])
[each.stdout.close() for each in started]
"""
BOXES = """
made = seconds(make_boxes)
pids = [box.pid for box in boxes().living().values()]
pss, private = memory(pids, "Pss:"), memory(pids, "Private_Dirty:")
removed = seconds(lambda: get_ipython().run_line_magic("box", "rm --all"))
"""


def measure(running: Kernel) -> list[Figure]:
    """Return milliseconds and kB for one box or program, the boxes' with the ratio to the other."""
    running.seconds(DEFINE)
    running.seconds("%unshare --name warm --uts\n%box rm warm")
    found = {}
    for name, code in (("unshare sleep", PROGRAMS), ("box", BOXES)):
        running.seconds(code, timeout=300)
        values = running.text("print(made, removed, pss, private)").split()
        found[name] = [float(each) / COUNT for each in values]
    figures = []
    for place, (what, unit, scale) in enumerate(
        (("made", "ms", 1e3), ("removed", "ms", 1e3), ("PSS", "kB", 1), ("private", "kB", 1))
    ):
        anchor = found["unshare sleep"][place]
        for name, values in found.items():
            value = values[place]
            ratio = value / anchor if name == "box" else None
            figures.append(
                Figure(name=f"{name}: {what}", median=value * scale, least=value * scale,
                       unit=unit, ratio=ratio)
            )  # fmt: skip
    return figures


if __name__ == "__main__":
    with kernel() as started:
        publish("boxes", f"{COUNT} boxes at once, each", measure(started))
