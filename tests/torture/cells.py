"""Runs many cells of all kinds in one kernel, says what grew: `python -m tests.torture.cells`.

One line of JSON goes to standard output; the exit status is 3 if something is wrong or left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from typing import TYPE_CHECKING, Any

from tests.support.process import children, descriptors, spawners, status
from tests.torture.kills import BAD
from tests.torture.places import Place
from tests.torture.scenes import ALL

if TYPE_CHECKING:
    from tests.support.kernel_driver import KernelDriver

# What a cell prints, or None where that does not matter.  The first ones run in every place.
CELLS: dict[str, tuple[str, str | None]] = {
    "Python in namespaces": (f"%%unshare {ALL}\nprint(os.getpid())", "1"),
    "Python": ("%%unshare --uts\nprint(1)", "1"),
    "a program in namespaces": (f"%%unshare {ALL} bash\necho $$", "1"),
    "a program": ("%unshare --uts echo 1", "1"),
    "an init": ("%%unshare --pid --mount-proc --init bash\nsleep 0 & echo 1", "1"),
    "a value": ("%%unshare --uts --return it\nit = [1] * 1000", ""),
    "a background cell": ("%%unshare --uts --bg --proc job\nprint(1)\n", None),
    "its end": ("job.wait() if 'job' in globals() else None", None),
    "a box": (f"%unshare --name box --replace {ALL}", None),
    "Python in a box": ("%%nsenter -t box\nprint(1)", "1"),
    "a program in a box": ("%nsenter -t box echo 1", "1"),
    "an error": ("%%unshare --uts\n1/0", None),
    "a refusal": ("%unshare --mount-proc=/nowhere true", None),
    "a root": ("%chroot --userspec=+0 / echo 1", None),
    "a list": ("%lsns", None),
    "a fork that stays": ("%%unshare --uts bash\nsetsid sleep 1000 & echo 1", "1"),
    "a killed cell": ("%%unshare --uts\nimport signal; os.kill(os.getpid(), 9)", None),
}
GROUPS: dict[str, tuple[str, str | None]] = {
    "limits": ("%%cgroup mem=64M pids=50\n%%unshare --uts bash\necho 1", None),
    "limits of Python": ("%%cgroup mem=200M\nprint(1)", None),
    "no memory": ("%%cgroup mem=32M\nblob = bytearray(10**9)", None),
}
SETUP = "import os\n%load_ext nsmagic"


def figures(kernel: KernelDriver) -> dict[str, int]:
    """What must not grow, of the kernel and its spawner."""
    (spawner,) = spawners(kernel.pid)
    return {
        "kernel's resident kB": status(kernel.pid, "VmRSS"),
        "kernel's descriptors": descriptors(kernel.pid).total(),
        "kernel's threads": status(kernel.pid, "Threads"),
        "kernel's children": len(children(kernel.pid)),
        "spawner's resident kB": status(spawner, "VmRSS"),
        "spawner's descriptors": descriptors(spawner).total(),
    }


def settled(kernel: KernelDriver) -> dict[str, int]:
    """The figures when all is quiet: no box, no job, one helper ahead."""
    kernel.run("%box rm --all")
    kernel.run("job = None; del job\nimport gc; gc.collect()")
    kernel.run("%reset -f out")  # tables that IPython keeps as Out[n]
    (spawner,) = spawners(kernel.pid)
    end = time.monotonic() + 10
    while len(children(spawner)) != 1 and time.monotonic() < end:
        pass
    return figures(kernel)


def run_one(kernel: KernelDriver, cell: str, wanted: str | None) -> str:
    """Run a cell; what is wrong with it, empty if nothing."""
    run = kernel.run(cell, timeout=60)
    trace = "".join((run.error or {}).get("traceback", []))
    if "nsmagic/" in trace or "Traceback" in run.stderr:
        return f"a traceback of ours: {trace}{run.stderr}"
    if wanted is not None and (run.status != "ok" or run.stdout.strip() != wanted):
        return f"{run.status} {run.stdout!r} {run.stderr!r} {run.error}"
    return ""


def many(place: Place, seed: str, count: int) -> dict[str, Any]:
    """Run `count` cells; return what was run, how long it took, what was wrong and what grew."""
    kinds = CELLS | (GROUPS if place.has_groups else {})
    order = random.Random(f"{seed} {place.name}")
    home = place.of(f"{os.getpid()}-cells")
    remains = home.remains()
    wrong: list[str] = []
    with home.start(setup=SETUP) as kernel:
        for cell, wanted in [*kinds.values()] * 2:  # what is made once and stays
            run_one(kernel, cell, wanted)
        before, since = settled(kernel), time.monotonic()
        steps = [before]
        for number in range(count):
            title = order.choice([*kinds])
            if "in a box" in title:
                kernel.run("from nsmagic.run.boxes import boxes\n"
                           f"if 'box' not in boxes().living(): {BOX}")  # fmt: skip
            if problem := run_one(kernel, *kinds[title]):
                wrong.append(f"cell {number}, {title}: {problem}")
            if (number + 1) % max(1, count // 10) == 0:
                steps.append(settled(kernel))
        answer = kernel.run("6 * 7").text
        seconds = time.monotonic() - since
        remains.look()
    left = remains.wait(30)
    home.remove()
    return {
        "place": place.name, "cells": count, "seconds": round(seconds, 1), "answer": answer,
        "wrong": wrong, "left": left, "before": before, "after": steps[-1], "steps": steps,
    }  # fmt: skip


BOX = f"get_ipython().run_line_magic('unshare', '--name box {ALL}')"


def main(argv: list[str]) -> int:
    """Run them; see the module."""
    parser = argparse.ArgumentParser(prog="tests.torture.cells", description=__doc__)
    Place.add_options(parser)
    parser.add_argument("--cells", type=int, default=100)
    options = parser.parse_args(argv)
    told = many(Place.named_by(options), options.seed, options.cells)
    print(json.dumps(told), flush=True)
    return BAD if told["wrong"] or told["left"] or told["answer"] != "42" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
