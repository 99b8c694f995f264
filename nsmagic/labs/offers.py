"""What `%lab` offers to complete: labs, exercises, questions, and what the learner left running."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping

from nsmagic.labs.catalogue import LABS, load
from nsmagic.labs.exercises import EXERCISES, QUESTIONS
from nsmagic.notebook.jobs import Job

Offers = Iterator[tuple[str, str]]


def offered(
    source: str, start: str, lab: str, boxes: Mapping[int, str], variables: Mapping[str, object]
) -> Offers:
    """Yield what begins with `start`, and what it is; those of the lab that was started first.

    Of `guess` the choices of the question `start`.
    """
    load()
    if source == "guess":
        asked = QUESTIONS.get(start)
        return ((choice, asked.text) for choice in asked.choices) if asked else iter(())
    found = {
        "lab": lambda: {lab.name: lab.title for lab in LABS},
        "exercise": lambda: {
            each.id: f"{each.lab}: {each.title}"
            for each in sorted(EXERCISES.values(), key=lambda each: each.lab != lab)
        },
        "question": lambda: {
            each.id: each.text
            for each in sorted(QUESTIONS.values(), key=lambda each: each.lab != lab)
        },
        "running": lambda: _running(boxes, variables),
    }[source]()
    return ((name, what) for name, what in found.items() if name.startswith(start))


def _running(boxes: Mapping[int, str], variables: Mapping[str, object]) -> dict[str, str]:
    """Return boxes, and variables that stand for a process: whom a check can be about."""
    found = {name: f"box, PID {pid}" for pid, name in boxes.items()}
    for name, value in variables.items():
        if isinstance(value, Job | subprocess.Popen) and not name.startswith("_"):
            found[name] = f"process {value.pid}"
    return found
