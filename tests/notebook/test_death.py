"""The kernel, the spawner or a cell dies, in any way: nothing of the cells is left."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.notebook.ending import (
    UNWILLING,
    WAYS,
    World,
    begin,
    called,
    children,
    fresh_name,
    message,
)
from tests.support.kernel_driver import KernelDriver
from tests.support.process import on_this_machine, spawners
from tests.support.sandboxes import readonly_cgroup, sandboxes_work
from tests.support.skips import needs, root_only

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.linux, needs(sandboxes_work)]

LIMIT = 1.0  # seconds after the kernel's end
OUTLIVING = {  # cells that leave a process behind which ignores all signals
    "python": UNWILLING["a daemon of Python"],
    "program": UNWILLING["daemons of bash"],
}


@pytest.fixture
def world() -> World:
    return World()


def start_kernel(way: str) -> KernelDriver:
    return KernelDriver(prefix=readonly_cgroup([]) if way == "keeper" else ())


def kill_spawner(kernel: KernelDriver) -> None:
    """Kill it, and return when it is dead."""
    (spawner,) = spawners(kernel.pid)
    pidfd = os.pidfd_open(spawner)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    select.select([pidfd], [], [])
    os.close(pidfd)


def in_background(cell: str) -> str:
    magic, _, body = cell.partition("\n")
    words = magic.split()
    return " ".join([words[0], "--bg --proc job", *words[1:]]) + "\n" + body


def begin_in_background(kernel: KernelDriver, cell: str) -> None:
    run = kernel.run(in_background(cell))
    run.raise_error()
    kernel.run(
        "while 'ready' not in job.log.read_text(): assert job.wait(0.05) is None", raise_error=True
    )


def kill(kernel: KernelDriver) -> None:
    os.kill(kernel.pid, signal.SIGKILL)


def terminate(kernel: KernelDriver) -> None:
    os.kill(kernel.pid, signal.SIGTERM)


def shut_down(kernel: KernelDriver) -> None:
    kernel.manager.shutdown_kernel()


@pytest.mark.parametrize("body", OUTLIVING)
@pytest.mark.parametrize("way", WAYS)
def test_the_kernel_is_killed_while_a_cell_runs(way: str, body: str, world: World) -> None:
    name = fresh_name()
    with start_kernel(way) as kernel:
        begin(kernel, OUTLIVING[body].cell(WAYS[way], name))
        processes = world.pids()
        assert set(called(name)) <= set(processes)
        assert len(called(name)) == OUTLIVING[body].processes
        kill(kernel)
        took = world.wait_for_end(processes, time.monotonic())
    assert called(name) == []
    assert took < on_this_machine(LIMIT)


@pytest.mark.parametrize("death", [kill, terminate, shut_down])
@pytest.mark.parametrize("way", WAYS)
def test_the_kernel_ends_while_cells_run_in_the_background(
    way: str, death: Callable[[KernelDriver], None], world: World
) -> None:
    name = fresh_name()
    with start_kernel(way) as kernel:
        for body in OUTLIVING.values():
            begin_in_background(kernel, body.cell(WAYS[way], name))
        processes = world.pids()
        assert len(called(name)) == sum(body.processes for body in OUTLIVING.values())
        assert "" not in children(kernel.pid), "a zombie, for which a shutdown would wait"
        death(kernel)
        took = world.wait_for_end(processes, time.monotonic())
    assert called(name) == []
    assert took < on_this_machine(LIMIT)


def test_os_exit_in_a_plain_cell(world: World) -> None:
    name = fresh_name()
    with start_kernel("cgroup") as kernel:
        begin_in_background(kernel, OUTLIVING["program"].cell("--uts", name))
        processes = world.pids()
        kernel.start("import os; os._exit(3)")
        os.waitid(os.P_PID, kernel.pid, os.WEXITED | os.WNOWAIT)
        assert world.wait_for_end(processes, time.monotonic()) < on_this_machine(LIMIT)


@pytest.mark.parametrize("now", [False, True])
def test_the_kernel_is_restarted(now: bool, world: World) -> None:
    name = fresh_name()
    with start_kernel("cgroup") as kernel:
        begin_in_background(kernel, OUTLIVING["program"].cell("--uts", name))
        begin_in_background(kernel, OUTLIVING["python"].cell("--pid", name))
        processes = world.pids()
        kernel.manager.restart_kernel(now=now)
        assert world.wait_for_end(processes, time.monotonic()) < on_this_machine(LIMIT)
        assert kernel.client is not None
        kernel.client.wait_for_ready(timeout=30)
        kernel.run("%load_ext nsmagic", raise_error=True)
        assert kernel.run("%unshare --uts echo again").stdout == "again\n"


def test_a_process_forked_by_the_user_keeps_the_sockets_open(world: World) -> None:
    """So that nobody hears an end-of-file when the kernel is killed."""
    name = fresh_name()
    with start_kernel("cgroup") as kernel:
        begin_in_background(kernel, OUTLIVING["program"].cell("--uts", name))
        begin_in_background(kernel, OUTLIVING["python"].cell("--pid", name))
        processes = world.pids()
        fork = "import os, signal\nif not (pid := os.fork()):\n    signal.pause()\nprint(pid)"
        holder = int(kernel.run(fork, raise_error=True).stdout)
        try:
            kill(kernel)
            assert world.wait_for_end(processes, time.monotonic()) < on_this_machine(LIMIT)
        finally:
            os.kill(holder, signal.SIGKILL)


@pytest.mark.parametrize("way", WAYS)
def test_the_spawner_is_killed(way: str, world: World) -> None:
    name = fresh_name()
    with start_kernel(way) as kernel:
        assert kernel.run("%unshare --uts echo once").stdout == "once\n"
        kill_spawner(kernel)
        assert kernel.run("%unshare --uts echo twice").stdout == "twice\n"
        run = begin(kernel, OUTLIVING["program"].cell(WAYS[way], name))
        kill_spawner(kernel)
        kernel.wait(run)
        assert message(run).startswith("NsmagicError: the spawner ended while the cell ran")
        assert run.stdout == "ready\n"
        run = begin(kernel, OUTLIVING["python"].cell(WAYS[way], name))
        kill_spawner(kernel)
        kernel.interrupt()
        assert message(kernel.wait(run)).endswith("Interrupted: the cell was stopped")
        assert called(name) == []
        assert kernel.run(f"%unshare {WAYS[way]} echo again").stdout == "again\n"
        processes = world.pids()
    world.wait_for_end(processes, time.monotonic())


@pytest.mark.parametrize("body", OUTLIVING)
@pytest.mark.parametrize("way", ["pid", "keeper"])
def test_kernel_and_spawner_are_killed_at_once(way: str, body: str, world: World) -> None:
    """Each process is tied to its parent as well (PR_SET_PDEATHSIG)."""
    name = fresh_name()
    with start_kernel(way) as kernel:
        begin(kernel, OUTLIVING[body].cell(WAYS[way], name))
        processes, (spawner,) = world.pids(), spawners(kernel.pid)
        for pid in (spawner, kernel.pid):
            os.kill(pid, signal.SIGSTOP)
        for pid in (spawner, kernel.pid):
            os.kill(pid, signal.SIGKILL)
        world.wait_for_end(processes, time.monotonic())
    assert called(name) == []


@pytest.mark.parametrize("body", ["time.sleep", "a sleep of bash"])
@pytest.mark.parametrize("way", WAYS)
def test_the_cell_is_killed_from_outside(way: str, body: str, world: World) -> None:
    name = fresh_name()
    with start_kernel(way) as kernel:
        run = begin(kernel, UNWILLING[body].cell(WAYS[way], name))
        (pid,) = called(name)
        if body == "a sleep of bash":
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(pid, signal.SIGKILL)
        kernel.wait(run)
        assert message(run).endswith("was killed by SIGKILL")
        assert run.stdout == "ready\n"
        assert called(name) == []
        assert kernel.run("6 * 7").result == {"text/plain": "42"}
        processes = world.pids()
    world.wait_for_end(processes, time.monotonic())


@pytest.mark.parametrize("body", OUTLIVING)
@pytest.mark.parametrize("way", WAYS)
def test_what_a_cell_leaves_behind_ends_with_it(way: str, body: str, world: World) -> None:
    name = fresh_name()
    cell = OUTLIVING[body].cell(f"{WAYS[way]} --proc result", name)
    cell = re.sub(r"\n(time\.sleep|while).*\Z", "\n", cell)
    with start_kernel(way) as kernel:
        assert kernel.run(cell, raise_error=True).stdout == "ready\n"
        assert called(name) == []
        left = int((kernel.run("result.left").result or {})["text/plain"])
        daemons = OUTLIVING[body].processes - (body == "python")
        assert left == (0 if way == "pid" else daemons), "Linux does not count with a PID namespace"
        processes = world.pids()
    world.wait_for_end(processes, time.monotonic())


@root_only
def test_namespace_files_and_logs_stay(world: World, tmp_path: Path) -> None:
    """They are the user's."""
    file = tmp_path / "net"
    with start_kernel("cgroup") as kernel:
        begin_in_background(kernel, f"%%unshare --net={file} bash\necho ready; sleep 1000")
        log = Path(kernel.run("print(job.log)").stdout.strip())
        processes = world.pids()
        kill(kernel)
        world.wait_for_end(processes, time.monotonic())
    try:
        entered = subprocess.run(
            ["nsenter", f"--net={file}", "ip", "-br", "link"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert entered.stdout.split()[0] == "lo"
        assert log.read_text() == "ready\n"
    finally:
        subprocess.run(["umount", file], check=True)
