"""What a learner has done, kept in the user's state directory across kernels and restarts."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nsmagic.run.logs import state_dir


class Progress:
    """The file of one user.  `trouble` says in one line why something is not kept, or is "".

    Two notebooks may write at once: each change reads, changes and replaces the file under a lock.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.path = (directory or state_dir()) / "labs.json"
        self.trouble = ""

    def exercises(self) -> dict[str, dict[str, Any]]:
        """Return what is known of each exercise by id: `tries`, `hints`, `done` (a date)."""
        return self._read()["exercises"]

    def guesses(self) -> dict[str, dict[str, Any]]:
        """Return what was guessed by id of the question: `guess`, `answer`, `right`."""
        return self._read()["guesses"]

    def tried(self, exercise: str, *, done: bool) -> None:
        """Count a check; the first success gets today's date."""

        def change(entry: dict[str, Any]) -> None:
            entry["tries"] = entry.get("tries", 0) + 1
            if done and "done" not in entry:
                entry["done"] = time.strftime("%Y-%m-%d")

        self._change("exercises", exercise, change)

    def helped(self, exercise: str, grade: int) -> None:
        """Remember the strongest help that was looked at: 1 to 3 are hints, 4 is the solution."""

        def change(entry: dict[str, Any]) -> None:
            entry["hints"] = max(grade, entry.get("hints", 0))

        self._change("exercises", exercise, change)

    def guessed(self, question: str, guess: str, answer: str, *, right: bool) -> None:
        """Remember the first guess: later ones know the answer."""

        def change(entry: dict[str, Any]) -> None:
            if not entry:
                entry.update(guess=guess, answer=answer, right=right)

        self._change("guesses", question, change)

    def _change(self, part: str, id: str, change: Callable[[dict[str, Any]], None]) -> None:  # noqa: A002
        try:
            with self._locked():
                known = self._read()
                change(known[part].setdefault(id, {}))
                new = self.path.with_suffix(".new")
                fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with open(fd, "w", encoding="utf-8") as file:
                    json.dump(known, file, indent=1)
                new.replace(self.path)
        except OSError as error:
            self.trouble = f"progress is not kept: {error.filename}: {error.strerror}"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _read(self) -> dict[str, dict[str, dict[str, Any]]]:
        empty: dict[str, dict[str, dict[str, Any]]] = {"exercises": {}, "guesses": {}}
        try:
            known = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return empty
        except (OSError, ValueError) as error:
            self._set_aside(str(error))
            return empty
        parts = [known.get(part) for part in empty] if isinstance(known, dict) else [None]
        if not all(_is_part(part) for part in parts):
            self._set_aside("it is not what nsmagic writes")
            return empty
        return dict(known)

    def _set_aside(self, why: str) -> None:
        broken = self.path.with_suffix(".broken")
        with contextlib.suppress(OSError):
            self.path.replace(broken)
        self.trouble = f"progress could not be read ({why}) and begins anew; the old file: {broken}"


def _is_part(part: object) -> bool:
    return isinstance(part, dict) and all(isinstance(entry, dict) for entry in part.values())
