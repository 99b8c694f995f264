"""The spawner: what it survives, what it refuses, what it does when its kernel dies."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nsmagic.linux import cgroups
from nsmagic.run.guards import Guard
from nsmagic.run.spawning import SpawnerClient, close_spawner, spawner
from tests.notebook.ending import message
from tests.run.direct import Cell
from tests.support.process import children, spawners
from tests.support.skips import NEEDS_ROOT, needs, probe
from tests.support.user import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kernel_driver import KernelDriver

pytestmark = pytest.mark.linux

# Dies as soon as it has asked its spawner, which is not even up, to guard a group and a process.
SHORT_LIVED = """
import os, signal, subprocess, sys
from pathlib import Path
from nsmagic.run.spawning import SpawnerClient
from nsmagic.run.tree import Tree
client = SpawnerClient()
group = Path(sys.argv[1])
tree = Tree(1, client, group if sys.argv[1] else None)
tree.begin()
sleeper = subprocess.Popen(["sleep", "1000"], start_new_session=True, stdout=subprocess.DEVNULL)
if sys.argv[1]:
    (group / "cgroup.procs").write_text(str(sleeper.pid))
else:
    tree.adopt(sleeper.pid, os.pidfd_open(sleeper.pid), guard=True)
print(sleeper.pid, client.process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@probe
def a_private_cgroup() -> str | None:
    if cgroups.private_place():
        return None
    return NEEDS_ROOT if os.geteuid() else "no cgroup can be made here"


@pytest.fixture(autouse=True)
def ending_spawner() -> Iterator[None]:
    yield
    close_spawner()


def wait_for(pidfd: int) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(10_000), "it did not end"
    os.close(pidfd)


def spare() -> int:
    """The helper that the spawner made beforehand."""
    end = time.monotonic() + 10
    while len(found := children(spawner().process.pid)) != 1:  # also what sweeps at the start
        assert time.monotonic() < end
    return found[0]


@pytest.mark.parametrize("held", ["process", pytest.param("group", marks=needs(a_private_cgroup))])
def test_a_kernel_that_dies_before_its_spawner_is_up(held: str) -> None:
    place = cgroups.private_place()
    group = ""
    if held == "group":
        assert place is not None
        group = str(place / f"nsmagic-{os.getpid()}-cell1")
    done = subprocess.run(
        [sys.executable, "-c", SHORT_LIVED, group],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    for pid in map(int, done.stdout.split()):
        with contextlib.suppress(ProcessLookupError):  # gone already
            wait_for(os.pidfd_open(pid))
    assert not (group and Path(group).exists())
    assert done.stderr == ""


def test_signals_for_the_kernel_are_not_for_it() -> None:
    assert Cell().program(["--uts", "echo", "up"]).out == "up\n"
    before = spawner()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        os.kill(before.process.pid, number)
    assert Cell().program(["--uts", "echo", "here"]).out == "here\n"
    assert spawner() is before


def test_it_is_in_a_session_of_its_own() -> None:
    pid = spawner().process.pid
    assert os.getsid(pid) == pid != os.getsid(0)


def test_the_spare_helper_is_killed() -> None:
    for _ in range(5):
        os.kill(spare(), signal.SIGKILL)
        ran = Cell().program(["--uts", "echo", "here"])
        # It may be asked before it knows; then the cell says what happened to its process.
        assert ran.out == "here\n" or ran.result.killed_by == "SIGKILL"
    assert Cell().program(["--uts", "echo", "here"]).out == "here\n"


def test_a_new_one_after_it_was_killed() -> None:
    first = spawner()
    first.process.kill()
    first.process.wait()
    assert spawner() is not first
    assert Cell().program(["--uts", "echo", "here"]).out == "here\n"


def test_a_forked_process_starts_its_own() -> None:
    spawner()
    child = os.fork()
    if child == 0:
        try:
            own = SpawnerClient() if not spawner().alive else spawner()
            own.close()
            os._exit(0 if own.owner == os.getpid() else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert spawner().alive
    assert Cell().program(["--uts", "echo", "here"]).out == "here\n"


def test_a_kernel_that_dies_while_it_parts_from_its_spawner() -> None:
    """Between the end of all and the end of its ledger."""
    script = """
import os, signal
from nsmagic.run import ledger, spawning
client = spawning.spawner()
print(client.process.pid, ledger.ledger().path, flush=True)
spawning.close_ledger = lambda: os.kill(os.getpid(), signal.SIGKILL)
client.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=False, timeout=30,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    pid, path = done.stdout.split()
    with contextlib.suppress(ProcessLookupError):  # gone already
        wait_for(os.pidfd_open(int(pid)))
    assert not Path(path).exists()


def test_programs_from_many_threads() -> None:
    outs: dict[int, tuple[str, int | None]] = {}

    def work(number: int) -> None:
        for turn in range(10):
            ran = Cell().program(["--uts", "sh", "-c", f"echo {number}.{turn}; exit {number}"])
            outs[number * 10 + turn] = ran.out, ran.result.exit_code

    spawner()
    threads = [threading.Thread(target=work, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outs == {n * 10 + turn: (f"{n}.{turn}\n", n) for n in range(6) for turn in range(10)}
    spare()
    assert len(children(spawner().process.pid)) == 1


def test_no_more_processes_allowed(user_kernel: KernelDriver) -> None:
    """RLIMIT_NPROC, which Linux counts for ordinary users only."""
    assert user_kernel.run("%unshare --user echo 1").stdout == "1\n"
    (pid,) = spawners(user_kernel.pid)
    limit = "resource.prlimit({pid}, resource.RLIMIT_NPROC, {limits})"
    user_kernel.run(
        f"import resource\nsoft, hard = resource.prlimit({pid}, resource.RLIMIT_NPROC)\n"
        + limit.format(pid=pid, limits="(0, hard)"),
        raise_error=True,
    )
    try:
        for helper in children(pid):
            os.kill(helper, signal.SIGKILL)
        while children(pid):
            pass
        run = user_kernel.run("%unshare --user echo 2")
        assert "Resource temporarily unavailable (EAGAIN)" in message(run)
    finally:
        user_kernel.run(limit.format(pid=pid, limits="(soft, hard)"), raise_error=True)
    assert user_kernel.run("%unshare --user echo 3").stdout == "3\n"
    assert pid in children(user_kernel.pid), "it is still the same"


@needs(a_private_cgroup)
def test_the_end_of_a_box_spares_another_of_its_name() -> None:
    place = cgroups.private_place()
    assert place is not None
    group = place / f"nsmagic-{os.getpid()}-again"
    group.mkdir()
    guard = Guard()
    guard.cgroups = (group,)
    guard.hold()
    group.rmdir()
    group.mkdir()  # --replace
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        assert cat.stdin is not None
        assert cat.stdout is not None
        (group / "cgroup.procs").write_text(str(cat.pid))
        guard.kill()
        guard.close()
        cat.stdin.write(b"lives")
        cat.stdin.close()
        assert cat.stdout.read() == b"lives"
    cgroups.end(group)


def test_it_loads_nothing_that_only_a_kernel_needs() -> None:
    """Each fork of it copies the pages that its modules touch."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import nsmagic.run.spawner; "
    code += "print(*sys.modules, sep='\\n')"
    argv = [sys.executable, "-I", "-S", "-c", code, str(PROJECT)]
    loaded = set(subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split())
    assert "nsmagic.run.keeper" in loaded
    layers = {name.split(".")[1] for name in loaded if name.startswith("nsmagic.")}
    assert layers == {"wish", "linux", "run"}
    kernels = {"threading", "subprocess", "concurrent.futures", "multiprocessing", "asyncio"}
    assert loaded & (kernels | {"nsmagic.run.quiesce", "nsmagic.run.spawning"}) == set()
