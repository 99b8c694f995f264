"""The init of a box, as the small program and as the fork of the spawner that it replaces."""

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

from nsmagic.run.boxinit import SIGNALLED, TITLE, program_file

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
