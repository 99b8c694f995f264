"""Isolated cells in a row while another thread prints: nothing hangs, nothing grows."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.notebook.ending import children
from tests.support.kernel_driver import KernelDriver
from tests.support.process import descriptors, spawners, status
from tests.support.sandboxes import readonly_cgroup, sandboxes_work
from tests.support.skips import needs

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.linux, needs(sandboxes_work)]

GROWTH = 20 * 2**20  # bytes of resident memory that 2,000 cells may cost
CELLS = {  # each kind of body, in each way of holding its processes together
    "python, pid": "%%unshare --pid --net --mount --uts --ipc --mount-proc\nprint(os.getpid())",
    "python": "%%unshare --uts\nprint(1)",
    "program, pid": "%%unshare --pid --mount --mount-proc bash\necho $$",
    "program": "%unshare --uts echo 1",
}
PRINTER = """
import os, sys, threading, logging
stop = threading.Event()
def chatter():
    count = 0
    while not stop.wait(0.005):
        count += 1
        sys.stdout.write(f"chatter {count}\\n")
        if count % 10 == 0:
            sys.stdout.flush()
            logging.getLogger().warning("chatter %s", count)
thread = threading.Thread(target=chatter)
thread.start()
"""


@pytest.fixture(scope="module", params=["host", "keeper"])
def a_kernel(request: pytest.FixtureRequest) -> Iterator[KernelDriver]:
    """A kernel that can make cgroups, and one that cannot."""
    with KernelDriver(prefix=readonly_cgroup([]) if request.param == "keeper" else ()) as driver:
        yield driver


def groups_of(pid: int) -> list[str]:
    """Directories of a kernel's cgroups; those of others come and go while we look."""
    return sorted(
        str(Path(folder, name))
        for folder, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
        if name.startswith(f"nsmagic-{pid}-")
    )


def state(kernel: KernelDriver) -> dict[str, object]:
    """What must not grow, once the spawner has nothing to do: it forks a helper ahead then."""
    now, before = look(kernel), None
    while now != before:
        kernel.run("pass")
        now, before = look(kernel), now
    return now


def look(kernel: KernelDriver) -> dict[str, object]:
    (spawner,) = spawners(kernel.pid)
    helpers = Path(f"/proc/{spawner}/task/{spawner}/children")
    while not helpers.read_text():
        pass
    return {
        "threads": status(kernel.pid, "Threads"),
        "children": children(kernel.pid),
        "the spawner's descriptors": descriptors(spawner),
        "the spawner": spawner,
        "groups": groups_of(kernel.pid),
    }


def new_descriptors(kernel: KernelDriver, before: Counter[str]) -> int:
    """How many more there are; ipykernel has one for each thread that printed, until it tidies."""
    kernel.run("import gc; gc.collect()")
    return sum((descriptors(kernel.pid) - before).values())


@contextlib.contextmanager
def chatter(kernel: KernelDriver) -> Iterator[None]:
    """Another thread that prints and logs meanwhile."""
    kernel.run(PRINTER, raise_error=True)
    try:
        yield
    finally:
        kernel.run("stop.set(); thread.join()")


def run_all(kernel: KernelDriver) -> None:
    for name, cell in CELLS.items():
        run = kernel.run(cell, timeout=30)
        run.raise_error()
        lines = [line for line in run.stdout.splitlines() if "chatter" not in line]
        assert lines == ["1"], name


def run_many(kernel: KernelDriver, rounds: int) -> None:
    """Run each kind of cell `rounds` times; look at the state before and after."""
    with chatter(kernel):  # what is made once and stays
        run_all(kernel)
    before, opened = state(kernel), descriptors(kernel.pid)
    (spawner,) = spawners(kernel.pid)
    memory = {pid: status(pid, "VmRSS") for pid in (kernel.pid, spawner)}
    with chatter(kernel):
        for _ in range(rounds):
            run_all(kernel)
    assert kernel.run("6 * 7").result == {"text/plain": "42"}
    assert state(kernel) == before
    assert new_descriptors(kernel, opened) <= 2
    for pid, was in memory.items():
        assert (status(pid, "VmRSS") - was) * 1024 < GROWTH


def test_200_cells_in_a_row(a_kernel: KernelDriver) -> None:
    run_many(a_kernel, 200 // len(CELLS))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_2000_cells_in_a_row(a_kernel: KernelDriver) -> None:
    run_many(a_kernel, 2000 // len(CELLS))


def test_failing_cells_leave_as_little(a_kernel: KernelDriver) -> None:
    """Refused steps, missing programs, exceptions, exits, stops by time."""
    cells = [
        "%%unshare --uts --root /nonexistent\n1",
        "%unshare --uts --wd /nonexistent true",
        "%unshare --uts no-such-program",
        "%unshare --uts false",
        "%%unshare --uts\n1/0",
        "%%unshare --pid\nimport os; os._exit(3)",
        "%%unshare --uts\nimport os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "%%unshare --uts --timeout 0.05\nimport time; time.sleep(100)",
        "%unshare --uts --timeout 0.05 sleep 100",
        "%%unshare --uts --return x\nx = lambda: 1; x.lock = __import__('threading').Lock()",
        "%unshare --bogus",
    ]
    for cell in cells:
        a_kernel.run(cell)
    before, opened = state(a_kernel), descriptors(a_kernel.pid)
    for _ in range(3):
        for cell in cells:
            assert a_kernel.run(cell).status == "error", cell
    assert state(a_kernel) == before
    assert new_descriptors(a_kernel, opened) <= 2
