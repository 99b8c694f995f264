"""Doing the steps that only a process outside the new namespaces can do, on the child's behalf."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from functools import singledispatch
from pathlib import Path

from nsmagic.linux import syscalls
from nsmagic.run.ledger import ledger
from nsmagic.run.perform import write_file
from nsmagic.wish import steps
from nsmagic.wish.steps import Step


@singledispatch
def perform_outside(step: Step, pid: int) -> Callable[[], None] | None:  # noqa: ARG001
    """Do one `outside` step in the parent, on behalf of the child `pid`.

    Returns what undoes it, where it outlives the child.
    """
    raise TypeError(f"no way to do {type(step).__name__} from outside")


@perform_outside.register
def _(step: steps.MapIdsOutside, pid: int) -> None:
    write_file(f"/proc/{pid}/{step.kind}_map", step.text)


@perform_outside.register
def _(step: steps.MapIdsByHelper, pid: int) -> None:
    argv = step.argv(pid)
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(1, done.stderr.strip().removeprefix(f"{argv[0]}: "), argv[0])


@perform_outside.register
def _(step: steps.Persist, pid: int) -> Callable[[], None]:
    made = _make_file(step.file)
    file = Path(step.file).resolve()
    try:
        syscalls.mount(f"/proc/{pid}/ns/{step.link}", step.file, None, syscalls.MS_BIND)
    except OSError:
        if made:
            file.unlink()
        raise
    ledger().note("namespace", str(file))  # the user's: it stays, and `nsmagic clean` lists it

    def undo() -> None:
        syscalls.umount2(str(file), syscalls.MNT_DETACH)
        ledger().forget("namespace", str(file))
        if made:
            file.unlink()

    return undo


def _make_file(path: str) -> bool:
    """Make an empty file; False where there is something by that name already."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    except FileExistsError:
        return False
    return True
