"""The dead that somebody traces: gone for their parent only when the tracer takes note, ptrace(2).

A tracer that never does is not ours to end.  So a cell that was killed does not wait for it: what
is then left of the cell is looked after when the next ones start.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from nsmagic.linux.processes import read_status
from nsmagic.run.keeper import family

# With the process in which each may be called: a forked copy of the kernel has nothing to do.
_waiting: Final[list[tuple[int, Callable[[], bool]]]] = []


def tracer_of_dead(root: int) -> int:
    """Return who traces a dead thread of `root` or of its descendants; 0 if nobody does."""
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        members = {root} | family(root, proc)[0]
    finally:
        os.close(proc)
    return next(filter(None, map(_tracer, members)), 0)


def _tracer(pid: int) -> int:
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            said = read_status(str(task))
            if said["State"].split()[0] in {"Z", "X"} and int(said["TracerPid"]):
                return int(said["TracerPid"])
    return 0


def until_over(over: Callable[[], bool]) -> None:
    """Call it now, and again whenever a cell starts, until it returns True."""
    if not over():
        _waiting.append((os.getpid(), over))


def look_again() -> None:
    """Call what was not over."""
    for each in list(_waiting):
        if each[0] != os.getpid() or each[1]():
            _waiting.remove(each)
