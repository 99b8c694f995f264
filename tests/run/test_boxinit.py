"""The init of a box, as the small program and as the fork of the spawner that it replaces.

Whoever does the steps of the box, the launcher or a fork of the spawner, becomes that program.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nsmagic.linux import cgroups
from nsmagic.linux.ids import SystemNames
from nsmagic.linux.namespaces import read_links
from nsmagic.linux.situation import read_situation
from nsmagic.run.boxinit import SIGNALLED, TITLE, program_file
from nsmagic.run.boxsetup import Setup
from nsmagic.run.inherited import own_status, surroundings
from nsmagic.run.launchorder import launch_order
from nsmagic.run.launchorder import program_file as launcher_file
from nsmagic.run.spawning import close_spawner, spawner
from nsmagic.wish.boxes import box_part
from nsmagic.wish.plan import make_plan
from nsmagic.wish.steps import KeepBox
from nsmagic.wish.unshare import read_unshare
from tests.run.probe import STATUS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.linux

CODE = """
import os
from nsmagic.run.boxinit import begin_box, keep_box
print(os.getpid(), flush=True)
keep_box({program})
"""
USER = ["-Ur"] if os.geteuid() else []
RESERVED = 0b11 << 31  # the masks of signals 32 and 33, which the C library keeps to itself


@pytest.fixture(params=["program", "python"])
def init(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """PID 1 of a PID namespace, and its PID here."""
    if request.param == "program" and not program_file().exists():
        pytest.skip(f"no program for {platform.machine()}")
    code = CODE.format(program="begin_box()" if request.param == "program" else "-1")
    process = subprocess.Popen(
        ["unshare", *USER, "-fp", "--mount-proc", "--kill-child", sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    (pid,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    while any(Path(f"/proc/{pid}/fd").iterdir()):  # it closes everything
        assert process.poll() is None
    yield process, int(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(pid), signal.SIGKILL)
    process.communicate()


def inside(pid: int, script: str) -> subprocess.CompletedProcess[str]:
    words = ["-U", "--preserve-credentials"] if os.geteuid() else []
    return subprocess.run(
        ["nsenter", "-t", str(pid), *words, "-p", "-m", "sh", "-c", script],
        capture_output=True, text=True, check=True, timeout=20,
    )  # fmt: skip


def ended_by(process: subprocess.Popen[str]) -> int:
    """The signal that the init ended as by, of which unshare(1) tells."""
    return process.wait(10) - SIGNALLED


def test_it_reaps(init: tuple[subprocess.Popen[str], int]) -> None:
    orphans = "for i in 1 2 3 4 5; do (setsid sh -c 'exit 3' &); done; "
    wait = "while ps -e -o stat= | grep -q Z; do :; done; ps -e -o pid= | head -1"
    assert inside(init[1], orphans + wait).stdout.split() == ["1"]


def test_it_passes_the_end_on_and_ends(init: tuple[subprocess.Popen[str], int]) -> None:
    process, pid = init
    script = "trap 'echo told; exit' TERM; echo up; while :; do sleep 0.01; done"
    words = ["-U", "--preserve-credentials"] if os.geteuid() else []
    cell = subprocess.Popen(
        ["nsenter", "-t", str(pid), *words, "-p", "-m", "sh", "-c", script],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert cell.stdout is not None
    assert cell.stdout.readline() == "up\n"
    os.kill(pid, signal.SIGHUP)
    os.kill(pid, signal.SIGUSR1)
    assert process.poll() is None
    os.kill(pid, signal.SIGTERM)
    assert cell.communicate(timeout=10)[0] == "told\n"
    assert ended_by(process) == signal.SIGTERM


def test_it_ends_whoever_is_deaf(init: tuple[subprocess.Popen[str], int]) -> None:
    process, pid = init
    inside(pid, "trap '' TERM; sleep 1000 > /dev/null 2>&1 &")
    os.kill(pid, signal.SIGINT)
    assert ended_by(process) == signal.SIGINT


@pytest.mark.skipif(not program_file().exists(), reason="no program for this machine")
def test_the_program_is_small_and_goes_by_its_name() -> None:
    code = CODE.format(program="begin_box()")
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.read()
    proc = Path(f"/proc/{process.pid}")
    while TITLE not in os.readlink(proc / "exe"):
        assert process.poll() is None
    while (proc / "comm").read_text() != f"{TITLE}\n":
        assert process.poll() is None
    assert (proc / "cmdline").read_bytes() == TITLE.encode() + b"\0"
    assert list((proc / "fd").iterdir()) == []
    (pss,) = re.findall(r"^Pss: +(\d+) kB", (proc / "smaps_rollup").read_text(), re.MULTILINE)
    assert int(pss) < 100
    process.terminate()
    assert process.wait(10) == SIGNALLED + signal.SIGTERM
    process.stdout.close()


@pytest.fixture
def one_spawner() -> Iterator[None]:
    spawner()
    yield
    close_spawner()


def state(pid: int) -> dict[str, object]:
    """What Linux tells of an init that has begun to wait."""
    proc = Path(f"/proc/{pid}")
    status: dict[str, str] = {}
    while status.get("Name") != TITLE or not status["State"].startswith("S"):
        lines = (proc / "status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines)
    assert os.readlink(proc / "exe").startswith(f"/memfd:{TITLE}")
    assert list((proc / "fd").iterdir()) == []
    status["NSpid"] = str(len(status["NSpid"].split()))  # its number counts on
    # Inherited where make(1) started us by posix_spawn(3); the launcher mends it, Python cannot.
    status["SigIgn"] = f"{int(status['SigIgn'], 16) & ~RESERVED:016x}"
    session, group = os.getsid(pid) == pid, os.getpgid(pid) == pid
    return {
        **{name: status.get(name) for name in (*STATUS, "SigIgn", "SigCgt", "Seccomp", "Threads")},
        "nice": os.getpriority(os.PRIO_PROCESS, pid),
        "affinity": os.sched_getaffinity(pid),
        "limits": (proc / "limits").read_text(),
        "environment": sorted((proc / "environ").read_bytes().split(b"\0")),
        "own namespaces": {
            name for name, link in read_links(str(proc)).items()
            if link != read_links("/proc/self").get(name)
        },
        "cwd": os.readlink(proc / "cwd"),
        "root": os.readlink(proc / "root"),
        "leads": (session, group),
        "comm": (proc / "comm").read_text(),
        "cmdline": (proc / "cmdline").read_bytes(),
        "mounts": [line.split()[4] for line in (proc / "mountinfo").read_text().splitlines()],
        "maps": [(proc / f"{kind}_map").read_text() for kind in ("uid", "gid")],
    }  # fmt: skip


@pytest.mark.skipif(not launcher_file().exists(), reason="no launcher for this machine")
@pytest.mark.usefixtures("one_spawner")
@pytest.mark.parametrize("line", ["-Urfpmn --mount-proc", "-Uru", "-Urfpm -R / -w /usr", "-UrfT"])
def test_a_box_is_the_same_whoever_makes_it(line: str) -> None:
    wish = box_part(read_unshare(line, SystemNames())[0])
    found: list[dict[str, object]] = []
    for launches in (True, False):
        spawner().launches = launches
        number = f"box{len(found)}"
        place = cgroups.private_place()
        group = None if place is None else place / f"nsmagic-{os.getpid()}-{number}"
        situation = read_situation(wish, None if group is None else str(group))
        plan = make_plan(wish, situation, KeepBox(box=number))
        taken = surroundings(own_status())
        assert launch_order(plan.steps, taken, taken, tty=False) is not None
        setup = Setup(number, plan, group)
        setup.start()
        setup.settle()
        try:
            found.append(state(setup.pid))
        finally:
            setup.end()
    assert found[0] == found[1]
