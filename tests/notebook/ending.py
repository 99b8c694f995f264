"""Cells that do not want to end, and whether they did: for tests of stop, time-out and death."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import select
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import leaks, process

if TYPE_CHECKING:
    from tests.support.cell_run import CellRun
    from tests.support.kernel_driver import KernelDriver

# What holds a cell's processes together: a PID namespace, a cgroup, or its parent (the keeper).
# The keeper is asked only where there is neither, so its kernel lives behind a read-only cgroupfs.
WAYS = {"pid": "--pid --mount --mount-proc", "cgroup": "--uts", "keeper": "--uts"}

_numbers = itertools.count(1)

# In Python, `name` is the name that a process and its children go by, `say` tells the test.
PYTHON = """\
import asyncio, ctypes, os, signal, subprocess, time
libc = ctypes.CDLL(None)
libc.prctl(15, b"{name}", 0, 0, 0)
def say():
    os.write(1, b"ready\\n")
def ignore_all():
    for number in set(signal.valid_signals()) - {{signal.SIGKILL, signal.SIGSTOP}}:
        signal.signal(number, signal.SIG_IGN)
def daemon():
    if os.fork():
        return os.wait()
    os.setsid()
    if os.fork():
        os._exit(0)
    ignore_all()
    while True:
        signal.pause()
"""
BASH = """\
called() {{ (exec -a {name} "$@"); }}
deaf() {{ trap '' HUP INT QUIT TERM USR1 USR2; }}
say_when() {{ until [ $(pgrep -c -f '^{name} ') -ge $1 ]; do :; done; echo ready; }}
"""


@dataclass(frozen=True, kw_only=True)
class Unwilling:
    """The text of a cell, and how many processes of its name there are once it said "ready"."""

    python: str = ""
    bash: str = ""
    processes: int = 1

    def cell(self, options: str, name: str) -> str:
        """The cell as a person types it."""
        if self.python:
            return f"%%unshare {options}\n{PYTHON.format(name=name)}{self.python}"
        return f"%%unshare {options} bash\n{(BASH + self.bash).format(name=name)}"


UNWILLING = {
    "a busy loop": Unwilling(python="say()\nwhile True: pass"),
    "time.sleep": Unwilling(python="say()\ntime.sleep(1000)"),
    "a subprocess": Unwilling(python="say()\nsubprocess.run(['sleep', '1000'])"),
    "asyncio": Unwilling(python="say()\nawait asyncio.sleep(1000)"),
    "a loop in C": Unwilling(python="say()\nwhile True: libc.sleep(1000)"),
    "Python that ignores all": Unwilling(python="ignore_all()\nsay()\nwhile True: signal.pause()"),
    "a daemon of Python": Unwilling(python="daemon()\nsay()\ntime.sleep(1000)", processes=2),
    "a sleep of bash": Unwilling(bash="say_when 1 &\ncalled sleep 1000"),
    "bash that ignores all": Unwilling(bash="deaf\nsay_when 1 &\nwhile :; do called sleep 1; done"),
    "a stopped child": Unwilling(
        bash="""bash -c 'exec -a {name} sleep 1000' &
until pgrep -f '^{name} '; do :; done > /dev/null
kill -STOP $!; echo ready; wait"""
    ),
    "daemons of bash": Unwilling(
        bash="""deaf
for i in 1 2 3; do (setsid bash -c 'exec -a {name} sleep 1000' > /dev/null 2>&1 &); done
say_when 3
while :; do sleep 1; done""",
        processes=3,
    ),
    "a fork bomb of sleeps": Unwilling(
        bash="""deaf
for i in {{1..150}}; do
  (while :; do called sleep 0.7; done) > /dev/null 2>&1 &
done
say_when 100
wait""",
        processes=50,
    ),
}


def fresh_name() -> str:
    """A name for processes that no other has; the kernel keeps 15 characters of it."""
    return f"nst{os.getpid()}x{next(_numbers)}"


def called(name: str) -> list[int]:
    """The living processes of that name."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ends while we look
                state = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
                command = (entry / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
                if name in {command, (entry / "comm").read_text().strip()} and state not in "ZX":
                    found.append(int(entry.name))
    return found


def message(run: CellRun) -> str:
    """What a failed cell shows where a traceback stands, without colours."""
    assert run.error is not None, run
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(run.error["traceback"]))


def begin(kernel: KernelDriver, cell: str, word: str = "ready") -> CellRun:
    """Start a cell and return when it has said `word`."""
    run = kernel.start(cell)
    kernel.wait(run, until=lambda run: word in run.stdout)
    assert run.reply is None, f"it ended: {run}"
    return run


def children(pid: int) -> list[str]:
    """Command lines of all direct children of a process, zombies included."""
    pids = process.children(pid)
    return [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in pids]


class World:
    """What exists now because of a kernel of the test's own."""

    def __init__(self) -> None:
        self._before = leaks.snapshot()

    def news(self) -> dict[str, list[str]]:
        """What is new since, but for the descriptors of this process."""
        news = leaks.snapshot().added(self._before)
        news.pop("descriptors", None)
        return news

    def wait_for_end(self, processes: list[int], since: float) -> float:
        """Wait until the processes ended and nothing else is left; how long that took."""
        poll = select.poll()
        with contextlib.ExitStack() as stack:
            waited = set()
            for pid in processes:
                with contextlib.suppress(ProcessLookupError):
                    waited.add(pidfd := os.pidfd_open(pid))
                    stack.callback(os.close, pidfd)
                    poll.register(pidfd, select.POLLIN)
            while waited and time.monotonic() < since + 60:
                for pidfd, _ in poll.poll(1000):
                    poll.unregister(pidfd)
                    waited.discard(pidfd)
        took = time.monotonic() - since
        assert not waited, f"still there: {self.news()}"
        return took

    def pids(self) -> list[int]:
        return [int(text.split()[0]) for text in self.news().get("processes", [])]
