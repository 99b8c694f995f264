"""`--explain` and `--dry-run`: the plan as a table, filled in as its steps are done."""

from __future__ import annotations

import errno
import os
import shlex
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nsmagic.notebook.tables import Cell, Column, Table, Tone
from nsmagic.run.result import Result
from nsmagic.wish.errors import StepError
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.paste import shell_lines, unshare_command
from nsmagic.wish.plan import Plan
from nsmagic.wish.steps import Step
from nsmagic.wish.unshare import settle, to_argv

if TYPE_CHECKING:  # the command line shows tables too, and waits for no Jupyter
    from nsmagic.notebook.publishers import Publisher

_WHAT: Final = (
    Column(title="#", numeric=True, copied=False),
    Column(title="step", copied=False),
    Column(title="paste into a root shell", mono=True),
    Column(title="system call", mono=True, copied=False),
)
_HOW: Final = (
    Column(title="result", copied=False),
    Column(title="ms", numeric=True, copied=False),
)
_PENDING: Final = Cell(text="…", tone="dim")
_NOT_REACHED: Final = Cell(text="not reached", tone="dim")
# Spelled as in the texts of `nsmagic.wish.steps`.
_PLACEHOLDERS: Final = {
    "FD": ("FD<", "=FD"), "PID": ("/PID/", '"PID"'), "ENV": ("], ENV)",),
    "UID": ("setuid(UID)",), "GID": ("setgid(GID)",), "COUNT": ("setgroups(COUNT",),
    "GIDS": ("GIDS)",),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a step went, for its last two columns."""

    result: Cell
    milliseconds: str = ""


def explain_table(
    plan: Plan,
    result: Result | None = None,
    refused: StepError | None = None,
    *,
    asked: Isolation | None = None,
    dry_run: bool = False,
) -> Table:
    """Return the plan as a table.

    Without `result` and `refused` its steps are still to come; a Result whose `seconds` are 0 is
    that of a cell whose body runs now.  `asked` is the wish as typed: what the plan has beyond it
    is named.  `dry_run` leaves out the columns that only a run can fill.
    """
    return Table(
        columns=_WHAT if dry_run else _WHAT + _HOW,
        rows=tuple(_rows(plan, None if dry_run else _outcomes(plan, result, refused))),
        above=tuple(_above(plan, asked)),
    )


class ExplainView:
    """The table of one cell: shown before the body's output, then brought up to date in place."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._display_id = uuid.uuid4().hex
        self._plan: Plan | None = None
        self._asked: Isolation | None = None

    def show(self, plan: Plan, *, asked: Isolation | None = None, dry_run: bool = False) -> None:
        """Show the plan before it is run; with `dry_run` this is all."""
        self._plan, self._asked = plan, asked
        table = explain_table(plan, asked=asked, dry_run=dry_run)
        self._publish(table, update=False, settled=dry_run)

    def update(self, result: Result | None = None, refused: StepError | None = None) -> None:
        """Fill in what is known: when the steps are done or one was refused, and at the end."""
        if self._plan is None:
            raise ValueError("update() before show()")
        table = explain_table(self._plan, result, refused, asked=self._asked)
        self._publish(table, update=True, settled=True)

    def _publish(self, table: Table, *, update: bool, settled: bool) -> None:
        bundle = table.bundle(self._publisher.columns)
        self._publisher.bundle(bundle, self._display_id, update=update, settled=settled)


def _above(plan: Plan, asked: Isolation | None) -> Iterable[Cell | str]:
    command = unshare_command(plan)
    if command:
        yield Cell(text=f"{command}   # all of it at once", mono=True)
    before = [] if asked is None else to_argv(settle(asked))
    added = [word for word in to_argv(plan.isolation) if word not in before]
    if asked is not None and added:
        yield Cell(text=f"Added by nsmagic: {shlex.join(added)}", tone="dim")
    for note in plan.notes:
        if not note.startswith("added "):  # which the line above says
            yield Cell(text=note, tone="dim")
    calls = "\n".join(step.syscall() for step in plan.steps)
    used = [name for name, signs in _PLACEHOLDERS.items() if any(sign in calls for sign in signs)]
    if used:
        yield Cell(text=f"{', '.join(used)}: known only when it runs", tone="dim")


def _rows(plan: Plan, outcomes: list[Outcome] | None) -> Iterable[tuple[Cell | str, ...]]:
    for index, (step, line) in enumerate(zip(plan.steps, shell_lines(plan), strict=True)):
        row = (str(index + 1), step.label, _shell_cell(line), _call_cell(step))
        if outcomes is None:
            yield row
        else:
            yield (*row, outcomes[index].result, outcomes[index].milliseconds)


def _shell_cell(line: str) -> Cell:
    return Cell(text=line, tone="dim" if line.startswith("#") else "plain")


def _call_cell(step: Step) -> Cell:
    calls = step.syscalls()
    return Cell(text="\n".join(calls), tone="dim" if calls[0].startswith("(") else "plain")


def _outcomes(plan: Plan, result: Result | None, refused: StepError | None) -> list[Outcome]:
    count = len(plan.steps)
    if refused is not None:
        failed = plan.steps.index(refused.step)
        times = [] if result is None else [f"{taken:.2f}" for taken in result.spent]
        done = [
            Outcome(result=Cell(text="ok", tone="good"), milliseconds=times[index])
            if index < len(times)
            else Outcome(result=Cell(text="ok", tone="good"))
            for index in range(failed)
        ]
        left = [Outcome(result=_NOT_REACHED)] * (count - failed - 1)
        return [*done, Outcome(result=_refusal(refused)), *left]
    if result is None:
        return [Outcome(result=_PENDING)] * count
    if not result.spent and count > 1:  # it was ended before it could report
        return [Outcome(result=Cell(text="no report", tone="bad"))] * count
    spent = [
        Outcome(result=Cell(text="ok", tone="good"), milliseconds=f"{taken:.2f}")
        for taken in result.spent
    ]
    return [*spent, _body(result)]


def _refusal(refused: StepError) -> Cell:
    name = errno.errorcode.get(refused.number, str(refused.number))
    return Cell(text=f"{name}\n{os.strerror(refused.number)}", tone="bad", tip=str(refused))


def _body(result: Result) -> Outcome:
    if not result.seconds:
        return Outcome(result=Cell(text="running", tone="dim"))
    taken = f"{max(0.0, result.seconds * 1e3 - sum(result.spent)):.2f}"
    if result.stopped:
        ending = Cell(text=result.stopped, tone="bad")
    elif result.killed_by:
        ending = Cell(text=result.killed_by, tone="bad")
    else:
        tone: Tone = "good" if result.ok else "bad"
        ending = Cell(text=f"status {result.exit_code}", tone=tone)
    return Outcome(result=ending, milliseconds=taken)
