"""Kills 1,000 kernels and runs 10,000 cells in one, and writes down what came of it.

`make torture-long` calls it; it writes docs/torture.json and docs/torture.md.  With `kills` or
`cells` only that part is done anew.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import leaks
from tests.support.user import PROJECT, make_account, remove
from tests.torture import workers
from tests.torture.places import PLACES, Place
from tests.torture.report import facts_of, page
from tests.torture.scale import SEED

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTS = ("kills", "cells")
KILLS, CELLS, AT_ONCE = 1000, 10_000, 8
SECONDS = 4 * 3600
DOCS = PROJECT / "docs"


def kill_many(places: list[Place]) -> dict[str, Any]:
    """Kill kernels in all places, eight at once; return what each round told, and the time."""
    lines = []
    share = KILLS // len(places)
    for number in range(AT_ONCE):
        place = places[number % len(places)]
        same = [n for n in range(AT_ONCE) if n % len(places) == number % len(places)]
        more = KILLS - share * len(places) if number % len(places) == 0 else 0
        words = ["--rounds", str(share + more), "--first", str(same.index(number))]
        lines.append([*workers.options(place, SEED), *words, "--step", str(len(same))])
    since = time.monotonic()
    rounds = workers.run("kills", lines, seconds=SECONDS)
    return {"rounds": rounds, "seconds": round(time.monotonic() - since), "at once": AT_ONCE}


def run_many(place: Place) -> dict[str, Any]:
    """Run the cells in one kernel of a place; return what it told."""
    words = [*workers.options(place, SEED), "--cells", str(CELLS)]
    (told,) = workers.run("cells", [words], seconds=SECONDS)
    return dict(told)


def part(name: str, places: list[Place]) -> dict[str, Any]:
    """Do one of PARTS; return where it ran and what came of it."""
    try:
        return {**machine(), **(kill_many(places) if name == "kills" else run_many(places[0]))}
    except AssertionError as error:
        return {**machine(), "failed": str(error)}


def all_at_once(places: list[Place], names: Sequence[str]) -> dict[str, Any]:
    """Do several parts at once."""
    with ThreadPoolExecutor() as threads:
        begun = {name: threads.submit(part, name, places) for name in names}
    return {name: each.result() for name, each in begun.items()}


def machine() -> dict[str, Any]:
    """What it ran on."""
    version = subprocess.run(
        ["git", "describe", "--always", "--tags", "--dirty"],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    kinds = {line.split(" - ")[1].split()[0] for line in lines if " - cgroup" in line}
    groups = {("cgroup", "cgroup2"): "v1 and v2", ("cgroup2",): "v2", ("cgroup",): "v1"}
    return {
        "version": version, "seed": SEED, "linux": platform.release(), "processors": os.cpu_count(),
        "python": platform.python_version(), "cgroups": groups.get(tuple(sorted(kinds)), "none"),
        "day": time.strftime("%Y-%m-%d"),
    }  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """Run all parts, or those that are named; 0 if nothing was left or wrong."""
    leaks.mark()
    home = Path(tempfile.mkdtemp(prefix="nst-", dir="/tmp"))
    account = make_account()
    try:
        places = [
            Place(name=name, home=account.home, account=account)
            if name == "user" else Place(name=name, home=home / name)
            for name in PLACES
        ]  # fmt: skip
        print(f"NSMAGIC_SEED={SEED}", flush=True)
        done = all_at_once(places, argv or PARTS)
    finally:
        remove(account)
        shutil.rmtree(home)
    file = DOCS / "torture.json"
    facts = (json.loads(file.read_text()) if file.exists() else {}) | facts_of(done)
    file.write_text(json.dumps(facts, indent=1) + "\n")
    (DOCS / "torture.md").write_text(page(facts))
    return int(not all(facts[name]["passed"] for name in done))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
