"""Kills kernels at random moments and looks what is left: `python -m tests.torture.kills --help`.

Each round depends on the seed, the place and its number alone, so `--only N` repeats it.  One line
of JSON for each round goes to standard output; the exit status is 3 if one was bad.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from tests.torture.deaths import DEATHS, SWEPT, sweep
from tests.torture.places import LOAD, Place
from tests.torture.scenes import SCENES

if TYPE_CHECKING:
    from tests.support.kernel_driver import KernelDriver
    from tests.torture.places import Home
    from tests.torture.remains import Remains

BAD = 3
SECONDS = 30.0  # until nothing is left, on a machine that does much else


def one_round(place: Place, seed: str, number: int) -> dict[str, Any]:
    """Start a kernel, let it do something, kill it; return what it was and what is left."""
    moments = random.Random(f"{seed} {place.name} {number}")
    title = moments.choice([name for name, scene in SCENES.items() if scene.fits(place)])
    scene = SCENES[title]
    (death,) = moments.choices([*DEATHS], [*DEATHS.values()])
    delay = moments.uniform(0, scene.span)
    home = place.of(f"{os.getpid()}-{number}")
    remains = home.remains()
    kernel = home.start(setup=LOAD if scene.load else "")
    try:
        for cell in scene.before:
            kernel.run(cell, raise_error=True)
        kernel.start(scene.cell)
        time.sleep(delay)
        remains.look()
        pid = kernel.pid
        assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None, "it died"
        death(pid, moments)
        took, left, swept = _aftermath(kernel, remains, home if death in SWEPT else None)
    finally:
        kernel.close()
    if not left:
        home.remove()
    return {
        "place": place.name, "round": number, "scene": title, "death": death.__name__,
        "delay": round(delay, 3), "took": round(took, 3), "left": left, "swept": swept,
        "wrong": "",
    }  # fmt: skip


def _aftermath(
    kernel: KernelDriver, remains: Remains, to_sweep: Home | None
) -> tuple[float, dict[str, list[str]], str]:
    """Wait for the end of everything; how long that took, what is left, what a sweep said."""
    since = time.monotonic()
    assert kernel.manager.provisioner is not None
    os.waitid(os.P_PID, kernel.pid, os.WEXITED | os.WNOWAIT)
    kernel.manager.shutdown_kernel(now=True)  # reaps it
    swept = "" if to_sweep is None else sweep(to_sweep)
    left = remains.wait(SECONDS)
    return time.monotonic() - since, left, swept


def main(argv: list[str]) -> int:
    """Run the rounds; see the module."""
    parser = argparse.ArgumentParser(prog="tests.torture.kills", description=__doc__)
    Place.add_options(parser)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--step", type=int, default=1, help="for several of these at once")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", type=int)
    options = parser.parse_args(argv)
    place = Place.named_by(options)
    numbers = range(options.first, options.rounds, options.step)
    bad = False
    for number in numbers if options.only is None else [options.only]:
        try:
            told = one_round(place, options.seed, number)
        except Exception:  # noqa: BLE001 - told, and the other rounds go on
            told = {"place": place.name, "round": number, "left": {}}
            told["wrong"] = traceback.format_exc()
        bad = bad or bool(told["left"] or told["wrong"])
        print(json.dumps(told), flush=True)
    return BAD if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
