"""What each verb of %lab does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nsmagic.labs import catalogue, guard, predict, session, shown, solutions, subjects
from nsmagic.labs.exercises import EXERCISES, GRADES, Exercise
from nsmagic.labs.needs import explained, why_not
from nsmagic.labs.progress import Progress
from nsmagic.labs.skips import Skips
from nsmagic.labs.verdict import Verdict, judge
from nsmagic.notebook.jobs import Job
from nsmagic.notebook.tables import Table
from nsmagic.wish.errors import CheckFailed, NsmagicError, WishError
from nsmagic.wish.lab import LabWish
from nsmagic.wish.spelling import or_nearest


class Desk:
    """The teacher's desk of one kernel: the lab that was started, and the learner's progress."""

    def __init__(
        self,
        variables: MutableMapping[str, Any],
        boxes: Callable[[], Mapping[int, str]],
        skips: Skips,
    ) -> None:
        catalogue.load()
        self._variables, self._boxes, self._skips = variables, boxes, skips
        self._session: session.Session | None = None
        self._refused: Mapping[str, str] = {}
        self._progress = Progress()

    def do(self, wish: LabWish) -> object:
        """Do what the line says; the result is what the cell shows.  Raises NsmagicError."""
        verbs: dict[str, Callable[[LabWish], object]] = {
            "": lambda _: shown.overview(),
            "start": self._start, "check": self._check, "hint": self._hint,
            "solution": self._solution, "predict": self._predict, "guard": self._guard,
            "progress": lambda _: shown.progress(self._progress), "reset": self._reset,
        }  # fmt: skip
        return verbs[wish.verb](wish)

    @property
    def lab_name(self) -> str:
        """The lab that was started, "" if none was."""
        return self._session.lab.name if self._session else ""

    def _start(self, wish: LabWish) -> Table:
        lab = catalogue.find_lab(wish.name)
        if self._session is not None:
            session.end(self._session)
        self._session = session.start(lab)
        self._variables["word"] = self._session.word
        self._variables["playground"] = self._session.playground
        tried = explained({need: why_not(need) for need in catalogue.needs_of(lab)})
        self._refused = {need: said for need, said in tried.items() if said}
        self._skips.begin(self._refused)
        return shown.started(self._session, tried)

    def _check(self, wish: LabWish) -> Verdict:
        exercise, started = self._exercise(wish.name), self._started()
        who = wish.on or exercise.on
        verdict = judge(
            exercise, lambda: subjects.find(who, self._variables, self._boxes()), started.here
        )
        lacking = [self._refused[need] for need in exercise.needs if need in self._refused]
        if verdict.ending == "not done yet" and lacking:
            verdict = replace(verdict, ending="cannot be checked here", reason="; ".join(lacking))
        if verdict.ending != "cannot be checked here":
            self._progress.tried(exercise.id, done=bool(verdict))
        started.last = exercise.id
        if wish.strict and not verdict:
            raise CheckFailed(f"{exercise.id}: {verdict}", hint=verdict.advice)
        return verdict

    def _hint(self, wish: LabWish) -> Table:
        exercise = self._exercise(wish.name)
        seen = self._progress.exercises().get(exercise.id, {}).get("hints", 0)
        grade = min(seen + 1, len(GRADES))
        self._progress.helped(exercise.id, grade)
        return shown.hints(exercise, grade)

    def _solution(self, wish: LabWish) -> Table:
        if wish.all:
            return self._solutions(wish.name)
        exercise = self._exercise(wish.name)
        self._progress.helped(exercise.id, len(GRADES) + 1)
        return shown.solution(exercise)

    def _solutions(self, name: str) -> Table:
        origin = Path(self._session.origin) if self._session else Path.cwd()
        folder = origin / (name or solutions.FOLDER)
        written, kept = solutions.write_all(folder)
        for each in EXERCISES:
            self._progress.helped(each, len(GRADES) + 1)
        return shown.written(folder, written, kept)

    def _predict(self, wish: LabWish) -> Table:
        return predict.predict(wish.name, wish.guess, self._started().here, self._progress)

    def _guard(self, _: LabWish) -> guard.Report:
        return guard.compare(self._started().before)

    def _reset(self, _: LabWish) -> Table:
        removed = [*self._end_jobs(self._started())]
        removed += [f"box {name}" for name in self._remove_boxes(self._started())]
        removed += session.end(self._started())
        self._session, self._refused = None, {}
        self._skips.begin({})
        return shown.removed(removed)

    def _end_jobs(self, started: session.Session) -> Iterator[str]:
        """Stop cells that run in the background, so that they say they were stopped."""
        older = {each.pid for each in started.older}
        for value in self._variables.values():
            if isinstance(value, Job) and not value.ended and value.pid not in older:
                yield f"cell {value.name}"
                value.kill()

    def _remove_boxes(self, started: session.Session) -> Iterator[str]:
        older = {each.pid for each in started.older}
        for pid, name in self._boxes().items():
            if pid not in older:
                # Imported now: there is a box, so this is loaded already.
                from nsmagic.run.boxes import boxes

                boxes().remove(name)
                yield name

    def _started(self) -> session.Session:
        if self._session is None:
            raise NsmagicError(
                "no lab was started in this kernel",
                hint="Type %lab start and its name, for example %lab start 01-processes.",
            )
        return self._session

    def _exercise(self, name: str) -> Exercise:
        if not name:
            return self._current()
        if name not in EXERCISES:
            near = or_nearest(name, EXERCISES, f"; there are {', '.join(EXERCISES)}")
            raise WishError(f"lab: there is no exercise called {name!r}{near}")
        return EXERCISES[name]

    def _current(self) -> Exercise:
        started = self._started()
        if started.last:
            return EXERCISES[started.last]
        done = self._progress.exercises()
        mine = [each for each in EXERCISES.values() if each.lab == started.lab.name]
        if not mine:
            raise WishError(f"lab: {started.lab.name} has no exercise")
        return next((each for each in mine if "done" not in done.get(each.id, {})), mine[0])
