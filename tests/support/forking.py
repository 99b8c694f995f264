"""Programs that fork with threads around, as we fork or as anybody would, and what comes of it."""

from __future__ import annotations

import os
import posix
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsmagic.run import quiesce

if TYPE_CHECKING:
    from collections.abc import Callable

HANG = "hang"
_PROJECT = Path(__file__).resolve().parents[2]


def fork(child: Callable[[], object], *, mend: bool, seconds: float = 2) -> str:
    """Fork and say what `child` returned there, what it raised, or `HANG` after `seconds`."""
    read, write = os.pipe()
    state: Any = quiesce.before_fork() if mend else None
    pid = posix.fork()
    if pid == 0:
        _report(child, write, (lambda: quiesce.after_fork_in_child(state)) if mend else None)
    os.close(write)
    if mend:
        quiesce.after_fork_in_parent(state)
    if not select.select([read], [], [], seconds)[0]:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    text = os.read(read, 4096).decode()
    os.close(read)
    return text or HANG


def _report(child: Callable[[], object], write: int, mend: Callable[[], None] | None) -> None:
    try:
        if mend:
            mend()
        os.write(write, str(child()).encode())
    except BaseException as error:  # noqa: BLE001 - nothing may leave this copy of the process
        os.write(write, repr(error).encode())
    finally:
        os._exit(0)


def run(program: str, *options: str, timeout: float = 30) -> str:
    """Output of a Python program, or `HANG` after `timeout` seconds; it may `import tests`."""
    paths = os.pathsep.join([str(_PROJECT), os.environ.get("PYTHONPATH", "")])
    try:
        done = subprocess.run(
            [sys.executable, *(options or ("-W", "ignore")), "-c", program],
            env=os.environ | {"PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return HANG
    return (done.stdout + done.stderr).strip()
