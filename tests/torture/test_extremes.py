"""Floods, clocks at their limits, fork bombs, a stopped helper."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.process import children, spawners, status
from tests.torture.scale import SCALE
from tests.torture.victim import Victim, no_traceback_of_ours

if TYPE_CHECKING:
    pass

pytestmark = [pytest.mark.torture, pytest.mark.timeout(SCALE.seconds)]

GROWTH = 50 * 1024  # kB
LIMIT = 2**63 // 10**9  # s, beyond which Linux refuses an offset, time_namespaces(7)


@pytest.mark.parametrize("body", ["python", "program"])
def test_a_flood(body: str, victim: Victim) -> None:
    cell = f"%%unshare --uts bash\nyes | head -c {SCALE.flood}"
    if body == "python":
        write = f"for _ in range({SCALE.flood} // 10**5): os.write(1, line)"
        cell = f"%%unshare --uts\nimport os\nline = b'y' * 99999 + b'\\n'\n{write}"
    before = status(victim.kernel.pid, "VmRSS")
    run = victim.attack(cell, timeout=SCALE.seconds / 2)
    assert run.status == "ok", run.error
    shown = [*run.displays, *(update["data"] for update in run.updates)]
    log = Path(re.findall(r"/\S+\.log", shown[-1]["text/plain"])[0])
    assert log.stat().st_size == SCALE.flood
    log.unlink()
    assert status(victim.kernel.pid, "VmHWM") - before < GROWTH
    victim.check(run)


def test_a_helper_that_is_stopped(victim: Victim) -> None:
    """The process that waits for the next program's order: anybody of this user may stop it."""
    (spawner,) = spawners(victim.kernel.pid)
    while not (spares := children(spawner)):
        os.sched_yield()
    os.kill(spares[0], signal.SIGSTOP)
    run = victim.attack("%unshare --uts echo 1", timeout=40)
    no_traceback_of_ours(run)
    assert run.status == "error" or run.stdout == "1\n"
    victim.check(run)


@pytest.mark.parametrize("option", ["monotonic", "boottime"])
def test_clocks_at_their_limits(option: str, victim: Victim) -> None:
    user = "" if victim.place.is_root else "--user "
    worked = []
    for seconds in (0, 1, -1, LIMIT // 2 - 10**6, LIMIT, LIMIT + 1, -LIMIT, 2**63 - 1, -(2**63),
                    2**64, 10**30):  # fmt: skip
        for program, body in (("", "import time; time.sleep(0.01); print(1)"), (" bash", "echo 1")):
            run = victim.attack(
                f"%%unshare {user}--fork --time --{option}={seconds} --timeout 20{program}\n{body}"
            )
            no_traceback_of_ours(run)
            assert run.stdout in {"", "1\n"}
            assert (run.status == "ok") == bool(run.stdout), run
            worked += [seconds] * bool(run.stdout)
    assert {0, 1, LIMIT // 2 - 10**6} <= set(worked), worked
    assert not {2**63 - 1, 2**64, 10**30} & set(worked), worked
    victim.check()


@pytest.mark.parametrize("body", ["", " bash"], ids=["python", "program"])
def test_a_fork_bomb_in_a_limit(body: str, victim: Victim) -> None:
    if not victim.place.has_groups:
        pytest.skip("no cgroup can be made here by this user")
    bomb = "bomb() { bomb & bomb & }; bomb; sleep 1000"
    if not body:
        bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    run = victim.attack(f"%%cgroup pids=40\n%%unshare --uts{body}\n{bomb}", after=1.5)
    assert run.status == "error"
    victim.check(run)
