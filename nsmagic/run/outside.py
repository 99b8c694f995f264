"""Doing the steps that are not the child's own: ahead of it, or on its behalf from outside."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING

from nsmagic.linux import syscalls
from nsmagic.run.acts import write_file
from nsmagic.run.channel import Frame
from nsmagic.run.ledger import ledger
from nsmagic.run.perform import perform
from nsmagic.wish import steps
from nsmagic.wish.errors import StepError
from nsmagic.wish.plan import Plan
from nsmagic.wish.steps import Step

if TYPE_CHECKING:
    from nsmagic.wish.circumstances import Circumstances

ReadFacts = Callable[[Plan, Step], "Circumstances"]


def perform_ahead(plan: Plan, spent: list[float]) -> None:
    """Do the steps that come before there is a process; add to `spent` the milliseconds of each.

    StepError if Linux refuses one.
    """
    for index, step in enumerate(plan.steps):
        if step.ahead:
            start = time.monotonic()
            try:
                perform(step)
            except OSError as error:
                raise refusal(plan, index, error) from None
            spent.append((time.monotonic() - start) * 1e3)


def read_facts(plan: Plan, step: Step) -> Circumstances:
    """Return what may explain that Linux refused a step."""
    from nsmagic.linux.circumstances import read_circumstances

    return read_circumstances(plan, step)


def refusal(plan: Plan, index: int, error: OSError, facts: ReadFacts = read_facts) -> StepError:
    """Return what to raise for a step that Linux refused, with the reason and what to type."""
    from nsmagic.wish.hints import hint_for  # nothing of it is needed until Linux refuses something

    step, number = plan.steps[index], error.errno or 0
    hint = hint_for(step, number, facts(plan, step))
    path = None if error.filename is None else os.fsdecode(error.filename)
    return StepError(step, number, error.strerror or "", path, hint)


def refusal_told(plan: Plan, frame: Frame, facts: ReadFacts = read_facts) -> StepError:
    """Return the same for a step that the child did: it says so in a frame `failed`."""
    number = frame.data["errno"]
    text = frame.data["text"] or os.strerror(number)  # the launcher says none
    return refusal(plan, frame.data["index"], OSError(number, text, frame.data["path"]), facts)


def try_outside(
    step: Step, pid: int, undo: list[Callable[[], None]]
) -> dict[str, int | str | bytes | None]:
    """Do one `outside` step; return the answer for the child, add to `undo` what undoes it."""
    try:
        undone = perform_outside(step, pid)
    except OSError as error:
        return {"errno": error.errno, "text": error.strerror, "path": error.filename}
    if undone is not None:
        undo.append(undone)
    return {"errno": 0, "text": "", "path": None}


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
