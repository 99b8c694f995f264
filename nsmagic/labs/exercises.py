"""What a teacher writes: exercises with their checks, and questions that Linux answers.

    @exercise(
        lab="03-namespaces", id="island", title="An island", on="island",
        task="Leave a process called `island` running whose host name is your word.",
        hints=("Which type of namespace?", "uts_namespaces(7)", "unshare --uts, then hostname"),
        solution="...", mistakes=(Mistake("...", because="it shares the host name"), ...),
    )
    def island(it: Watched, here: Here) -> Iterator[Fact]:
        yield Fact(not it.shares("uts", here.kernel), "a host name of its own", "it shares ours")
        yield Fact(it.hostname == here.word, "its name is right", f"it is still {it.hostname}")

A check asks for one fact after the other and stops at the first that is not true.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from nsmagic.labs.watched import Watched
from nsmagic.wish.errors import NsmagicError

LEAVE: Final = "make it, leave it running, and check again"
GRADES: Final = ("a nudge", "where to read", "almost the solution")


@dataclass(frozen=True)
class Fact:
    """Something about Linux that is so or not: what to say if it is, and what if it is not."""

    true: bool
    right: str
    wrong: str


class NotYet(Exception):
    """What a check raises when the learner has not begun: there is nothing to look at."""


@dataclass(frozen=True, kw_only=True)
class Here:
    """What a check knows besides the process: the learner's word, the playground, our kernel."""

    word: str
    playground: str
    kernel: Watched = field(default_factory=lambda: Watched(os.getpid(), "this notebook"))


@dataclass(frozen=True)
class Mistake:
    """A plausible wrong solution, and words of the reason for which it must be refused.

    It is wrong, except where it leaves nothing to look at (`ended`); `root`: only root can make it.
    """

    cell: str
    because: str
    ended: bool = False
    root: bool = False


Check = Callable[[Watched, Here], Iterator[Fact]]


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """One exercise.  `on` is the name that its process, job or box has unless told otherwise.

    `covers` are the numbers of items of the notes, `hints` one of each grade, `setup` a cell
    that makes what earlier parts of the notebook made.  Tests run `solution` and `mistakes`.
    """

    id: str
    lab: str
    title: str
    task: str
    on: str
    hints: tuple[str, str, str]
    solution: str
    mistakes: tuple[Mistake, ...]
    check: Check
    covers: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    setup: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What Linux answered just now, how it was asked, and what the answer teaches."""

    value: str
    how: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Question:
    """A guess to make before Linux answers.  With `choices` the guess is one of them."""

    id: str
    lab: str
    text: str
    ask: Callable[[Here], Answer]
    choices: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()


EXERCISES: dict[str, Exercise] = {}
QUESTIONS: dict[str, Question] = {}


def exercise(
    *, id: str, lab: str, title: str, task: str, on: str, hints: tuple[str, str, str],  # noqa: A002
    solution: str, mistakes: tuple[Mistake, ...] = (), covers: tuple[str, ...] = (),
    needs: tuple[str, ...] = (), setup: str = "",
) -> Callable[[Check], Check]:  # fmt: skip
    """Register a check under its id; NsmagicError if the id is another's."""

    def register(check: Check) -> Check:
        made = Exercise(
            id=id, lab=lab, title=title, task=task, on=on, hints=hints, solution=solution.strip(),
            mistakes=mistakes, check=check, covers=covers, needs=needs, setup=setup,
        )  # fmt: skip
        _only_once(id, EXERCISES.get(id) and EXERCISES[id].check, check)
        EXERCISES[id] = made
        return check

    return register


def question(
    *, id: str, lab: str, text: str, choices: tuple[str, ...] = (), covers: tuple[str, ...] = (),  # noqa: A002
) -> Callable[[Callable[[Here], Answer]], Callable[[Here], Answer]]:  # fmt: skip
    """Register what answers a question under its id; NsmagicError if the id is another's."""

    def register(ask: Callable[[Here], Answer]) -> Callable[[Here], Answer]:
        _only_once(id, QUESTIONS.get(id) and QUESTIONS[id].ask, ask)
        QUESTIONS[id] = Question(id=id, lab=lab, text=text, ask=ask, choices=choices, covers=covers)
        return ask

    return register


def _only_once(id: str, old: object, new: object) -> None:  # noqa: A002
    """A teacher runs the cell with a check again and again: only another module is an accident."""
    before, now = getattr(old, "__module__", None), getattr(new, "__module__", None)
    if before not in (None, now):
        raise NsmagicError(f"two checks are called {id}: one of {before}, one of {now}")
