"""Guess first, then Linux answers: the answer is asked for now, on this machine."""

from __future__ import annotations

import subprocess

from nsmagic.labs.exercises import QUESTIONS, Here, Question
from nsmagic.labs.progress import Progress
from nsmagic.notebook.tables import Cell, Column, Table
from nsmagic.wish.errors import NsmagicError, WishError
from nsmagic.wish.spelling import or_nearest


def predict(name: str, guess: str, here: Here, progress: Progress) -> Table:
    """Show the question, or with a guess what Linux says to it.  Raises NsmagicError."""
    asked = _question(name)
    if not guess:
        choices = f" ({' | '.join(asked.choices)})" if asked.choices else ""
        return Table(
            columns=(Column(title="guess first, then Linux answers"),),
            rows=((f"{asked.text}{choices}",),
                  (Cell(text=f"%lab predict {asked.id} YOUR GUESS", mono=True),)),
        )  # fmt: skip
    if asked.choices and not any(_same(guess, choice) for choice in asked.choices):
        near = or_nearest(guess, asked.choices)
        raise WishError(f"lab: the guess is one of {', '.join(asked.choices)}{near}")
    try:
        answer = asked.ask(here)
    except (OSError, subprocess.SubprocessError) as trouble:
        raise NsmagicError(
            f"SKIP: Linux could not be asked {asked.id!r} here: {trouble}"
        ) from trouble
    right = _same(guess, answer.value)
    progress.guessed(asked.id, guess, answer.value, right=right)
    verdict = Cell(text="right" if right else "not so", tone="good" if right else "bad")
    return Table(
        columns=(Column(title="you"), Column(title="Linux, just now"), Column(title="")),
        rows=((guess, answer.value, verdict),),
        above=(asked.text, Cell(text=f"asked by: {answer.how}", tone="dim"), answer.why),
    )


def _question(name: str) -> Question:
    if name not in QUESTIONS:
        near = or_nearest(name, QUESTIONS, f"; there are {', '.join(QUESTIONS)}")
        raise WishError(f"lab: there is no question called {name!r}{near}")
    return QUESTIONS[name]


def _same(guess: str, answer: str) -> bool:
    return guess.strip().casefold() == answer.strip().casefold()
