"""The stop button at random moments: cells end, nothing is left, the kernel answers."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.torture.cells import CELLS, GROUPS
from tests.torture.scale import SCALE, SEED
from tests.torture.victim import Victim, no_traceback_of_ours

if TYPE_CHECKING:
    from tests.support.cell_run import CellRun

pytestmark = [pytest.mark.torture, pytest.mark.timeout(SCALE.seconds)]

SPAN = 0.15  # s, within which most cells have ended by themselves
LASTING = {
    "asleep": "%%unshare --uts\nimport time; time.sleep(1000)",
    "asleep in a PID namespace": "%%unshare --pid --mount-proc\nimport time; time.sleep(1000)",
    "bash": "%%unshare --uts bash\nsleep 1000",
    "deaf": "%%unshare --uts bash\ntrap '' INT TERM; while :; do sleep 1; done",
    "a flood": "%%unshare --uts bash\nexec yes",
    "a flood of Python": "%%unshare --uts\nwhile True: print('x' * 100)",
    "a question": "%%unshare --uts --tty bash\nread",
    "a box, asleep": "%%unshare --name box --replace --pid bash\nsleep 1000",
}


def test_stops_at_random_moments(victim: Victim) -> None:
    print(f"NSMAGIC_SEED={SEED}")
    moments = random.Random(f"{SEED} {victim.place.name}")
    kinds = {title: cell for title, (cell, _) in CELLS.items()} | LASTING
    if victim.place.has_groups:
        kinds |= {title: cell for title, (cell, _) in GROUPS.items()}
    for number in range(SCALE.interrupts):
        title = moments.choice([*kinds])
        delays = [moments.uniform(0, SPAN) for _ in range(moments.choice([1, 1, 1, 2, 3]))]
        print(number, title, delays)
        run = victim.kernel.start(kinds[title])
        for delay in delays:
            time.sleep(delay)
            victim.kernel.interrupt()
        try:
            _wait(victim, run, timeout=3 if title in LASTING else 30)
        except TimeoutError:  # it came before the cell began, when it is nobody's; now once more
            assert title in LASTING
            assert run.idle, "the second press did nothing"
        no_traceback_of_ours(run)
        _answers(victim)
    victim.kernel.run("%box rm --all", raise_error=True)
    victim.kernel.run("job = None")
    victim.check()


def _answers(victim: Victim) -> None:
    """It may be the next cell that an interrupt hits, and ipykernel may abort the one after that.

    That is what a cell's `stop_on_error` asks for, and how long it lasts is a race.
    """
    runs: list[CellRun] = []
    while "42" not in [run.text for run in runs]:
        assert len(runs) < 10, runs
        runs.append(_wait(victim, victim.kernel.start("6 * 7")))


def _wait(victim: Victim, run: CellRun, *, timeout: float = 30) -> CellRun:
    """Until the kernel is done with it.

    It need not have answered: an interrupt that comes while ipykernel itself runs, before the cell
    or after it, is logged ("KeyboardInterrupt caught in kernel"), and that execute_request never
    gets its execute_reply.
    """
    return victim.kernel.wait(run, timeout=timeout, until=lambda run: run.idle)
