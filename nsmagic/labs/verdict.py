"""Runs a check and says how it went: done, not done yet, wrong and why, or not checkable here."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from nsmagic.labs.exercises import LEAVE, Exercise, Here, NotYet
from nsmagic.labs.process import Gone
from nsmagic.labs.watched import Watched
from nsmagic.notebook.tables import Cell, Column, Table, Tabled, Tone

Ending = Literal["done", "not done yet", "wrong", "cannot be checked here"]
# s: how old a process is when it must be where it was going, and how long we wait for it.
_YOUNG: Final = 10.0
_MOMENT: Final = 8.0
_BETWEEN: Final = 0.25
_TONES: dict[Ending, Tone] = {"done": "good", "wrong": "bad"}


@dataclass(frozen=True, kw_only=True, repr=False)
class Verdict(Tabled):
    """How one check ended: `facts` are those found true, `reason` says what was not, and `it`
    is the process.

    True in `if` when the exercise is done.
    """

    exercise: Exercise
    ending: Ending
    facts: tuple[str, ...] = ()
    reason: str = ""
    advice: str = ""
    it: Watched | None = None

    def __bool__(self) -> bool:
        return self.ending == "done"

    def __str__(self) -> str:
        return f"{self.ending}: {self.reason}" if self.reason else self.ending

    def table(self) -> Table:
        """Return the facts as a table for text and HTML."""
        rows: list[tuple[Cell | str, ...]] = [
            (Cell(text="✓", tone="good"), fact) for fact in self.facts
        ]
        if self.ending != "done":
            tone = _TONES.get(self.ending, "dim")
            mark = "✗" if self.ending == "wrong" else "…"
            rows.append((Cell(text=mark, tone=tone), Cell(text=str(self), tone=tone)))
        else:
            rows.append((Cell(text="✓", tone="good"), Cell(text="done", tone="good")))
        above: tuple[Cell, ...] = (Cell(text=f"{self.exercise.id}: {self.exercise.title}"),)
        if self.advice:
            above = (*above, Cell(text=self.advice, tone="dim"))
        return Table(
            columns=(Column(title=""), Column(title="what Linux says")), rows=tuple(rows),
            above=above,
        )  # fmt: skip


def judge(exercise: Exercise, find: Callable[[], Watched], here: Here) -> Verdict:
    """Look at the process that `find` returns and judge; nothing that Linux does raises here.

    One that began just now may not be where it is going: it gets a moment, and another look.
    """
    end = time.monotonic() + _MOMENT
    before: object = None
    while True:
        verdict = _look(exercise, find, here)
        it = verdict.it
        if verdict.ending != "wrong" or it is None or time.monotonic() > end or it.age > _YOUNG:
            return verdict
        now = it.activity()
        if now == before:  # nobody in it does anything any more: this is how it stays
            return verdict
        before = now
        time.sleep(_BETWEEN)


def _look(exercise: Exercise, find: Callable[[], Watched], here: Here) -> Verdict:
    facts: list[str] = []
    it: Watched | None = None

    def ended(ending: Ending, reason: str, advice: str = "") -> Verdict:
        return Verdict(
            exercise=exercise, ending=ending, facts=tuple(facts), reason=reason, advice=advice,
            it=it,
        )  # fmt: skip

    try:
        it = find()
        for fact in exercise.check(it, here):
            if not fact.true and it.state == "Z":  # a Popen that nobody waited for
                return ended("not done yet", f"{it.name} has ended: {LEAVE}")
            if not fact.true:
                return ended("wrong", fact.wrong, f"%lab hint {exercise.id} helps")
            facts.append(fact.right)
    except NotYet as missing:
        return ended("not done yet", str(missing))
    except Gone as gone:
        return ended("not done yet", f"{gone}: it must still run while it is checked")
    except PermissionError as refused:
        return ended(
            "cannot be checked here",
            f"{refused.filename or 'Linux'}: {refused.strerror or refused}",
            "Linux does not let this user look at that process, ptrace(2).",
        )
    except (OSError, subprocess.SubprocessError) as trouble:
        return ended("cannot be checked here", str(trouble))
    return ended("done", "")
