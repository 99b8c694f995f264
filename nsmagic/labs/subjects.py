"""Whom a check is about: a PID, a box, or a variable of the notebook that stands for a process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from nsmagic.labs.exercises import LEAVE, NotYet
from nsmagic.labs.process import Gone
from nsmagic.labs.watched import Watched
from nsmagic.notebook.jobs import Job

_BEGINS: Final = 10.0  # s
_BETWEEN: Final = 0.02


def find(word: str, variables: Mapping[str, object], boxes: Mapping[int, str]) -> Watched:
    """Return the process that a word means.  Raises NotYet where there is none.

    A variable may hold a PID, or anything with a `pid`: a job, a Popen, a process of psutil.
    """
    pid = _pid(word, variables, boxes)
    if pid <= 0:
        raise NotYet(f"{word} has ended: {LEAVE}")
    try:
        return Watched(pid, word)
    except Gone:
        raise NotYet(f"there is no process {pid} ({word}): {LEAVE}") from None


def _pid(word: str, variables: Mapping[str, object], boxes: Mapping[int, str]) -> int:
    if word.isdecimal():
        return int(word)
    for pid, name in boxes.items():
        if name == word:
            return pid
    if word not in variables:
        raise NotYet(f"there is no box and no variable called {word} yet: {LEAVE}")
    value = variables[word]
    number = _begun(value) if isinstance(value, Job) else getattr(value, "pid", value)
    if isinstance(number, bool) or not isinstance(number, int):
        raise NotYet(f"the variable {word} holds {type(value).__name__}, which is no process")
    if getattr(value, "returncode", None) is not None:
        return 0
    return number


def _begun(job: Job) -> int:
    """Return the PID of a job, which comes a moment after `--bg`; 0 where it ended."""
    end = time.monotonic() + _BEGINS
    while not job.pid and job.result is None and time.monotonic() < end:
        time.sleep(_BETWEEN)
    return job.pid
