"""Kernelspecs in a data directory of the test's own, and the kernels that they start."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsmagic.notebook.boxing import MODULE, Boxing
from nsmagic.notebook.kernelspecs import Installed, Place, isolate
from tests.support.kernel_driver import KernelDriver

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HERE", "MODULE", "PROJECT", "WALLS"]
PROJECT = Path(__file__).resolve().parents[2]
WALLS = "--user --map-root-user --pid --mount-proc --net"
HERE = Place(user=True)


def write_spec(folder: Path, name: str, spec: dict[str, Any]) -> Path:
    """Put a kernel.json into a data directory."""
    directory = folder / "kernels" / name
    directory.mkdir(parents=True)
    (directory / "kernel.json").write_text(json.dumps(spec))
    return directory


def bash_spec(home: Path) -> dict[str, Any]:
    """What bash_kernel's installer writes; with a home where no ~/.bashrc takes its time."""
    argv = [sys.executable, "-m", "bash_kernel", "-f", "{connection_file}"]
    return {
        "argv": argv,
        "display_name": "Bash",
        "language": "bash",
        "env": {"PS1": "$", "HOME": str(home)},
    }


def box(name: str, unshare: str = WALLS, *, base: str = "python3", **options: Any) -> Installed:
    """Isolate a kernel in the user's data directory, which is the test's."""
    return isolate(base, Boxing(name=name, unshare=unshare), HERE, **options)


@contextlib.contextmanager
def running(name: str, **options: Any) -> Iterator[KernelDriver]:
    """Start a kernel by its kernelspec and wait until it answers; nothing is loaded in it.

    Afterwards its spawner, which outlives it a little to clean up, has ended too.
    """
    below: dict[int, str] = {}
    with KernelDriver(kernel_name=name, setup=options.pop("setup", ""), **options) as driver:
        yield driver
        if driver.manager.is_alive():
            below = descendants(driver.pid)
    for pid in below:
        wait_for_end(pid)


def descendants(pid: int) -> dict[int, str]:
    """The living processes below `pid`, each with its command line."""
    found: dict[int, str] = {}
    for child in Path(f"/proc/{pid}/task").glob("*/children"):
        for number in map(int, child.read_text().split()):
            line = Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            found |= {number: line, **descendants(number)}
    return found


def wait_for_end(pid: int, seconds: float = 30) -> bool:
    """Whether a process ends within `seconds`."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    ended = bool(poll.poll(seconds * 1000))
    os.close(descriptor)
    return ended
