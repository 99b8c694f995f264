"""The tables that %lab shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nsmagic.labs.catalogue import LABS, Step
from nsmagic.labs.exercises import EXERCISES, GRADES, QUESTIONS, Exercise
from nsmagic.labs.progress import Progress
from nsmagic.labs.session import Session
from nsmagic.notebook.tables import Cell, Column, Table


def overview() -> Table:
    """Return all labs."""
    rows = tuple(
        (Cell(text=f"%lab start {lab.name}", mono=True), lab.title, str(lab.minutes))
        for lab in LABS
    )
    columns = (Column(title="type"), Column(title="lab"), Column(title="minutes", numeric=True))
    return Table(columns=columns, rows=rows)


def started(session: Session, tried: Mapping[str, str]) -> Table:
    """Return what is ready, and for each step of the lab whether it can be done here.

    `tried` says of each need why it is not met, or "".
    """
    above: list[Cell | str] = [
        f"{session.lab.name}: {session.lab.title} (about {session.lab.minutes} minutes)",
        f"your word: {session.word} (also in the variable `word`)",
        f"your playground: {session.playground} (also in `playground`; you are there now)",
    ]
    if any(tried.values()):
        above.append(Cell(text="%nsmagic doctor says what to type, where something can be done"))
    rows = []
    for step in session.lab.steps:
        refused = [said for need in step.needs if (said := tried[need])]
        rows.append((step.title, _here(step, refused)))
    columns = (Column(title="step"), Column(title="on this machine"))
    return Table(columns=columns, rows=tuple(rows), above=tuple(above))


def _here(step: Step, refused: Sequence[str]) -> Cell:
    if not refused:
        return Cell(text="works", tone="good")
    return Cell(text=f"SKIP: {'; '.join(refused)}", tone="bad", tip=", ".join(step.needs))


def hints(exercise: Exercise, grade: int) -> Table:
    """Return the hints up to a grade."""
    rows = tuple(zip(GRADES[:grade], exercise.hints, strict=False))
    left = len(GRADES) - grade
    more = f"%lab hint {exercise.id} gives the next one" if left else "that was the last hint"
    if not left:
        more += f"; there is %lab solution {exercise.id}"
    columns = (Column(title="hint"), Column(title=f"for {exercise.id}"))
    return Table(columns=columns, rows=rows, above=(Cell(text=more, tone="dim"),))


def solution(exercise: Exercise) -> Table:
    """Return the reference solution, a cell to copy."""
    above = (f"One solution of {exercise.id} ({exercise.title}): copy it into a cell.",)
    rows = ((Cell(text=exercise.solution, mono=True),),)
    return Table(columns=(Column(title="a cell", mono=True),), rows=rows, above=above)


def written(folder: Path, names: Sequence[str], kept: Sequence[str]) -> Table:
    """Return which notebooks with solutions are in a folder now."""
    rows = [(Cell(text=name, mono=True), "written") for name in names]
    rows += [(Cell(text=name, mono=True), "was there, and is another: kept") for name in kept]
    above = (
        f"The notebooks with the solutions of all exercises are in {folder}.",
        Cell(text="Open one in the file browser on the left and choose Run, Run All Cells.",
             tone="dim"),
    )  # fmt: skip
    columns = (Column(title="notebook", mono=True), Column(title=""))
    return Table(columns=columns, rows=tuple(rows), above=above)


def progress(known: Progress) -> Table:
    """Return what was done, tried and guessed."""
    exercises, guesses = known.exercises(), known.guesses()
    rows: list[tuple[Cell | str, ...]] = []
    for each in EXERCISES.values():
        entry = exercises.get(each.id, {})
        done = entry.get("done")
        state = Cell(text=f"done {done}", tone="good") if done else Cell(text="open", tone="dim")
        rows.append((each.lab, f"{each.id}: {each.title}", state, str(entry.get("tries", 0)),
                     _helped(entry.get("hints", 0))))  # fmt: skip
    asked = [guesses[name] for name in QUESTIONS if name in guesses]
    right = sum(bool(guess.get("right")) for guess in asked)
    above: list[Cell | str] = [f"guessed {len(asked)} of {len(QUESTIONS)} questions, {right} right"]
    if known.trouble:
        above.append(Cell(text=known.trouble, tone="bad"))
    columns = ("lab", "exercise", "state", "checks", "help")
    return Table(
        columns=tuple(Column(title=title, numeric=title == "checks") for title in columns),
        rows=tuple(rows), above=tuple(above),
    )  # fmt: skip


def _helped(grade: int) -> str:
    if not grade:
        return "none"
    return GRADES[grade - 1] if grade <= len(GRADES) else "the solution"


def removed(things: Sequence[str]) -> Table:
    """Return what a reset removed."""
    rows = tuple((Cell(text=thing, mono=True),) for thing in things) or (("nothing",),)
    return Table(columns=(Column(title="removed"),), rows=rows)
