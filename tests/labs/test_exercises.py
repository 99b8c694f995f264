"""Every exercise: its solution passes, each mistake is refused for the right reason."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from nsmagic.labs.catalogue import LABS, load
from nsmagic.labs.exercises import EXERCISES, QUESTIONS
from nsmagic.labs.needs import NEEDS, why_not

if TYPE_CHECKING:
    from nsmagic.labs.exercises import Exercise, Question
    from tests.support.kernel_driver import KernelDriver

load()
FEWEST_MISTAKES = 3


def do(cell: str, kernel: KernelDriver) -> None:
    """Run a cell; once more where a box is killed because one of its name was removed just now."""
    run = kernel.run(cell)
    if "--name" in cell and run.error and "was killed by SIGKILL" in run.error["evalue"]:
        run = kernel.run(cell)
    run.raise_error()


@pytest.mark.linux
@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=lambda each: each.id)
def test_right_passes_and_wrong_is_refused(exercise: Exercise, kernel: KernelDriver) -> None:
    for need in exercise.needs:
        if refused := why_not(need):
            pytest.skip(refused)
    kernel.run(f"%lab start {exercise.lab}", raise_error=True)
    begun = kernel.run(f"%lab check {exercise.id}")
    assert begun.result is not None
    assert "not done yet" in begun.result["text/plain"]
    kernel.run(exercise.setup, raise_error=True)
    do(exercise.solution, kernel)
    kernel.run(f"%lab check {exercise.id} --strict", raise_error=True)
    for mistake in exercise.mistakes:
        if mistake.root and os.geteuid():
            continue
        kernel.run("%box rm --all")
        kernel.run(f"{exercise.on}.kill()")  # where it is a job or a Popen
        do(mistake.cell, kernel)
        if mistake.ended:
            kernel.run(f"{exercise.on}.wait(20)")
        said = kernel.run(f"%lab check {exercise.id} --strict").error
        assert said is not None, mistake.cell
        assert ("not done yet: " if mistake.ended else "wrong: ") in said["evalue"], mistake.cell
        assert mistake.because in said["evalue"], mistake.cell
    kernel.run("%lab reset", raise_error=True)
    kernel.run(f"%reset_selective -f ^{exercise.on}$", raise_error=True)


@pytest.mark.linux
@pytest.mark.parametrize("lab", LABS, ids=lambda each: each.name)
def test_questions_are_answered_by_linux(lab: object, kernel: KernelDriver) -> None:
    kernel.run(f"%lab start {lab.name}", raise_error=True)  # type: ignore[attr-defined]
    for question in QUESTIONS.values():
        if question.lab != lab.name:  # type: ignore[attr-defined]
            continue
        asked = kernel.run(f"%lab predict {question.id}", raise_error=True).result
        assert asked is not None
        assert "Linux, just now" not in asked["text/plain"]
        guess = question.choices[0] if question.choices else "no-such-answer"
        told = kernel.run(f"%lab predict {question.id} {guess}")
        if told.error is not None:
            assert "SKIP" in told.error["evalue"]
        else:
            assert told.result is not None
            assert "Linux, just now" in told.result["text/plain"]
    kernel.run("%lab reset", raise_error=True)


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=lambda each: each.id)
def test_an_exercise_is_complete(exercise: Exercise) -> None:
    assert exercise.lab in {lab.name for lab in LABS}
    assert len(exercise.mistakes) >= FEWEST_MISTAKES
    assert len({mistake.cell for mistake in exercise.mistakes} | {exercise.solution}) == 1 + len(
        exercise.mistakes
    )
    assert all(exercise.hints)
    assert exercise.covers
    assert set(exercise.needs) <= set(NEEDS)


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=lambda each: each.id)
def test_a_question_is_complete(question: Question) -> None:
    assert question.lab in {lab.name for lab in LABS}
    assert question.covers
    assert len(set(question.choices)) != 1
