"""Stopping and ending the processes of a cell."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nsmagic.linux import cgroups
from nsmagic.run.spawning import SpawnerClient
from nsmagic.run.tree import GRACE_SECONDS, Tree
from tests.linux.making import AS_ROOT, unsharing
from tests.support.skips import NEEDS_ROOT, needs, probe
from tests.support.user import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.linux

# Two processes of one group; the first hears SIGINT and SIGTERM, the other SIGINT only.
LISTENER = """
import os, signal
name = "child" if os.fork() == 0 else "main"
def say(number, _):
    os.write(1, f"{name} {signal.Signals(number).name}\\n".encode())
signal.signal(signal.SIGINT, say)
signal.signal(signal.SIGTERM, say if name == "main" else signal.SIG_IGN)
os.write(1, f"{name} ready\\n".encode())
while True:
    signal.pause()
"""


@probe
def a_private_cgroup() -> str | None:
    if cgroups.private_place():
        return None
    return NEEDS_ROOT if os.geteuid() else "no cgroup can be made here"


@pytest.fixture
def guard() -> Iterator[SpawnerClient]:
    client = SpawnerClient()
    yield client
    client.close()


@contextlib.contextmanager
def start(text: str) -> Iterator[subprocess.Popen[str]]:
    """A leader of a session, as the main process of a cell is; its group is killed at the end."""
    argv = [sys.executable, "-c", text] if text.startswith("\n") else ["bash", "-c", text]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


FROM_INSIDE = """
import sys
from pathlib import Path
from nsmagic.linux import cgroups
group, home = map(Path, sys.argv[1:])
assert (group / "cgroup.procs").read_text() == "0\\n"
assert cgroups.kill_each([group]) == 0
cgroups.move(group, home)
print("alive, in", Path("/proc/self/cgroup").read_text().partition("0::")[2].strip())
"""


@needs(a_private_cgroup, unsharing)
def test_a_process_that_our_pid_namespace_has_not_is_left_alone() -> None:
    """Its number is 0 there: kill(2) takes that for our own process group, cgroup.procs for us."""
    place = cgroups.private_place()
    assert place is not None
    group, home = (place / f"nsmagic-{os.getpid()}-{name}" for name in ("zero", "home"))
    argv = ["unshare", *AS_ROOT, "--pid", "--fork", "--mount-proc", sys.executable, "-c",
            FROM_INSIDE, str(group), str(home)]  # fmt: skip
    for each in (group, home):
        each.mkdir()
    try:
        with subprocess.Popen(["sleep", "60"]) as outside:
            (group / "cgroup.procs").write_text(str(outside.pid))
            done = subprocess.run(
                argv, env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True,
                text=True, check=False, start_new_session=True, timeout=60,
            )  # fmt: skip
            assert (outside.poll(), done.returncode) == (None, 0), done.stderr
            assert done.stdout.startswith("alive")
            assert home.name not in done.stdout
            outside.kill()
    finally:
        for each in (group, home):
            cgroups.remove(each)


def adopt(tree: Tree, process: subprocess.Popen[str]) -> None:
    pidfd = os.pidfd_open(process.pid)
    tree.adopt(process.pid, pidfd, guard=True)
    os.close(pidfd)


def due(tree: Tree) -> float | None:
    return tree.deadline


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return sorted(process.stdout.readline().rstrip() for _ in range(count))


def test_int_then_term_then_kill(guard: SpawnerClient) -> None:
    """To the whole process group, as a terminal does; each `GRACE_SECONDS` after the one before."""
    tree = Tree(1, guard)
    with start(LISTENER) as process:
        adopt(tree, process)
        assert lines(process, 2) == ["child ready", "main ready"]
        assert due(tree) is None
        tree.stop(100.0)
        assert lines(process, 2) == ["child SIGINT", "main SIGINT"]
        assert due(tree) == 100.0 + GRACE_SECONDS
        tree.tick(100.0 + GRACE_SECONDS - 0.01)
        assert due(tree) == 100.0 + GRACE_SECONDS, "nothing was due"
        tree.tick(100.0 + GRACE_SECONDS)
        assert lines(process, 1) == ["main SIGTERM"]
        os.killpg(process.pid, 0)
        tree.tick(100.0 + 2 * GRACE_SECONDS)
        assert process.wait() == -signal.SIGKILL
        tree.tick(math.inf)
        assert tree.tracer == 0
    tree.clear()


def test_kill_ends_a_stop(guard: SpawnerClient) -> None:
    tree = Tree(1, guard)
    with start("trap '' INT; echo ready; sleep 1000 & wait; wait") as process:
        adopt(tree, process)
        assert lines(process, 1) == ["ready"]
        tree.stop(100.0)
        tree.kill()
        tree.tick(math.inf)
        assert tree.tracer == 0
        assert process.wait() == -signal.SIGKILL
    tree.clear()


def test_a_process_that_ended(guard: SpawnerClient) -> None:
    tree = Tree(1, guard)
    with start("exit 3") as process:
        adopt(tree, process)
        process.wait()
    tree.stop(100.0)
    tree.tick(200.0)
    tree.kill()
    assert tree.clear() == 0


def test_no_process_yet(guard: SpawnerClient) -> None:
    tree = Tree(1, guard)
    tree.stop(100.0)
    tree.tick(200.0)
    tree.kill()
    assert tree.clear() == 0


@needs(a_private_cgroup)
def test_a_cgroup_ends_daemons_too(guard: SpawnerClient) -> None:
    place = cgroups.private_place()
    assert place is not None
    group = place / f"nsmagic-{os.getpid()}-cell1"
    tree = Tree(1, guard, group)
    tree.begin()
    enter = f"echo 0 > {group}/cgroup.procs; (setsid sleep 1000 > /dev/null &); "
    with start(f"{enter} (setsid sleep 1000 > /dev/null &); echo ready; sleep 1000") as process:
        adopt(tree, process)
        assert lines(process, 1) == ["ready"]
        tree.kill()
        assert process.wait() == -signal.SIGKILL
    tree.clear()
    assert not group.exists()


@needs(a_private_cgroup)
def test_what_outlived_the_main_process_is_counted(guard: SpawnerClient) -> None:
    place = cgroups.private_place()
    assert place is not None
    group = place / f"nsmagic-{os.getpid()}-cell1"
    tree = Tree(1, guard, group)
    tree.begin()
    daemons = "setsid sleep 1000 > /dev/null & setsid sleep 1000 > /dev/null &"
    with start(f"echo 0 > {group}/cgroup.procs; {daemons}") as process:
        process.wait()
        assert tree.clear() == 2
    assert tree.clear() == 0, "a second time there is nothing"
    assert not group.exists()
