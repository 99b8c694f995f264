"""A cell whose tracer, somebody else, takes no note of anything: it can be stopped all the same."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.torture.scale import SCALE
from tests.torture.victim import Victim, no_traceback_of_ours

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet


pytestmark = [pytest.mark.torture, pytest.mark.timeout(SCALE.seconds)]

SECONDS = 20.0  # until a cell that was stopped is given up, on a machine that does much else
SEIZE = 0x4206
TRACER = f"""
import ctypes, sys, time
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace({SEIZE}, int(sys.argv[1]), None, None):
    sys.exit(f"ptrace: errno {{ctypes.get_errno()}}")
print("traces", flush=True)
time.sleep(1000)
"""
# Each says the PID of the process that is then traced.
SLEEPS = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(1000)"
CELLS = {
    "Python": f"%%unshare --uts\n{SLEEPS}",
    "a program": "%%unshare --uts bash\necho $$; exec sleep 1000",
    "its child": "%%unshare --uts bash\nsleep 1000 & echo $!; wait",
    "Python in a PID namespace": f"%%unshare --pid --mount-proc\n{SLEEPS}",
    "a program in a PID namespace": "%%unshare --pid --mount-proc bash\necho $$; sleep 1000; true",
    "its child in a PID namespace": "%%unshare --pid --mount-proc bash\nsleep 1000 & echo $!; wait",
}


@contextlib.contextmanager
def traced(victim: Victim, pid: int) -> Iterator[int]:
    """Trace a process from outside of the kernel, as its user; yield the PID of who does."""
    account = victim.place.account
    argv = ["/usr/bin/python3", "-c", TRACER, str(pid)]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, text=True, **(account.popen if account else {})
    ) as tracer:
        try:
            assert tracer.stdout is not None
            assert tracer.stdout.readline() == "traces\n"
            yield tracer.pid
        finally:
            tracer.kill()


def outside(said: int, processes: AbstractSet[int]) -> int:
    """The PID here of the one that has the PID `said` in its own namespace."""
    found = []
    for pid in processes:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/status").read_text()
            numbers = text.partition("NSpid:")[2].splitlines()[0].split()
            found += [pid] * (int(numbers[-1]) == said)
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("title", CELLS)
def test_a_cell_that_is_traced(title: str, victim: Victim) -> None:
    before = set(victim.remains.look())
    run = victim.kernel.start(CELLS[title])
    victim.kernel.wait(run, until=lambda run: run.stdout.endswith("\n"))
    pid = outside(int(run.stdout), set(victim.remains.look()) - before)
    with traced(victim, pid) as tracer:
        victim.kernel.interrupt()
        victim.kernel.wait(run, timeout=SECONDS)
        no_traceback_of_ours(run)
        assert run.status == "error"
        if "PID namespace" in title:
            assert f"PID {tracer} traces" in run.displays[-1]["text/plain"], run
        for cell in ("%unshare --uts echo 1", "%%unshare --uts\nprint(1)"):
            assert victim.kernel.run(cell).stdout == "1\n"
    victim.kernel.run("%unshare --uts true")  # now what it left is looked after
    victim.check(run)
