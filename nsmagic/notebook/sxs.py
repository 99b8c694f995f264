"""What %sxs does: one command on two sides at the same moment, and their output side by side."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from nsmagic.notebook.jobs import Job
from nsmagic.notebook.request import Request, read_request
from nsmagic.notebook.stopping import StopButton
from nsmagic.notebook.tables import WIDTH, Cell, Column, Table, Tabled
from nsmagic.run.result import Result
from nsmagic.wish.errors import CellFailed, NsmagicError, WishError
from nsmagic.wish.lsns import HOST, SELF
from nsmagic.wish.sxs import Pair, SxsWish, compare

if TYPE_CHECKING:
    from nsmagic.notebook.runner import Runner

_MOST_LINES: Final = 400  # of each side: more is for a program, which finds it in the log
_COLOURS: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_SIGNS: Final = {"same": "", "differs": "≠", "left": "<", "right": ">"}


class Collected:
    """Stands in for a publisher: keeps what a side wrote, and what was said about it."""

    def __init__(self) -> None:
        self.output: list[str] = []
        self.notes: list[str] = []
        self._count = ""

    def text(self, _stream: str, text: str) -> None:
        """Take output; both streams are one, as on a terminal."""
        if self._count:
            self.output.append(f"… {self._count}\n")
            self._count = ""
        self.output.append(text)

    def counter(self, line: str, final: bool) -> None:
        """Take the line that tells how much is left out."""
        if final:
            self._count = line

    def note(self, line: str) -> None:
        """Take what nsmagic has to say about the side."""
        self.notes.append(line)

    @property
    def columns(self) -> int:
        """As many as a table of text has."""
        return WIDTH

    def display(self, *_: object) -> None:
        """Programs display nothing."""

    def bundle(self, *_: object, **__: object) -> None:
        """Nothing is explained."""


@dataclass(kw_only=True)
class Side:
    """One side: its name, all that it wrote (as far as it is shown), and how it ended."""

    name: str
    text: str = ""
    result: Result | None = None
    error: NsmagicError | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """What it wrote, line by line, without colours."""
        return [line.expandtabs() for line in _COLOURS.sub("", self.text).splitlines()]

    @property
    def ending(self) -> str:
        """How it ended, in words; "" if well."""
        if self.error is not None:
            return f"could not begin: {self.error}"
        return "" if self.result is None or self.result.ok else self.result.ending


class SideBySide(Tabled):
    """What both sides wrote; `comparison["web"].text` is one of them."""

    def __init__(self, left: Side, right: Side) -> None:
        self.left, self.right = left, right
        self.pairs: list[Pair] = compare(left.lines[:_MOST_LINES], right.lines[:_MOST_LINES])

    def __getitem__(self, name: str) -> Side:
        for side in (self.left, self.right):
            if side.name == name:
                return side
        raise KeyError(name)

    @property
    def same(self) -> bool:
        """Whether both wrote the same and ended alike."""
        return all(pair.mark == "same" for pair in self.pairs) and (
            self.left.ending == self.right.ending
        )

    def table(self) -> Table:
        """Return both columns with a sign between lines that differ."""
        columns = (
            Column(title=self.left.name, mono=True),
            Column(title="", copied=False),
            Column(title=self.right.name, mono=True),
        )
        return Table(columns=columns, rows=tuple(map(_row, self.pairs)), above=tuple(self._above()))

    def _above(self) -> Iterator[Cell]:
        for side in (self.left, self.right):
            if side.ending:
                yield Cell(text=f"{side.name} {side.ending}", tone="bad")
                if side.error is not None and side.error.hint:
                    yield Cell(text=side.error.hint)
            for note in side.notes:
                yield Cell(text=f"{side.name}: {note}", tone="dim")
        yield Cell(text=self._summary(), tone="dim")

    def _summary(self) -> str:
        apart = sum(pair.mark != "same" for pair in self.pairs)
        count = len(self.pairs)
        left_out = max(len(self.left.lines), len(self.right.lines)) - _MOST_LINES
        more = f"; not compared: {left_out} more lines" if left_out > 0 else ""
        if not count:
            return "neither wrote anything"
        if not apart:
            return f"all {count} lines are the same{more}" if count > 1 else f"the same{more}"
        signs = {_SIGNS[pair.mark] for pair in self.pairs}
        legend = {"≠": "≠ differs", "<": "< only left", ">": "> only right"}
        marks = ", ".join(text for sign, text in legend.items() if sign in signs)
        return f"{apart} of {count} lines differ ({marks}){more}"


def _row(pair: Pair) -> tuple[Cell | str, ...]:
    if pair.mark == "same":
        return pair.left or "", "", pair.right or ""
    sides = [Cell(text=text or "", tone="plain" if text is None else "changed")
             for text in (pair.left, pair.right)]  # fmt: skip
    return sides[0], Cell(text=_SIGNS[pair.mark], tone="changed"), sides[1]


def run_both(runner: Runner, wish: SxsWish, button: StopButton) -> SideBySide:
    """Start both sides, wait for both, and return what came out.

    A side that fails says so in the table; NsmagicError if neither could begin.
    """
    requests = [_request(name, wish) for name in wish.sides]
    collected = [Collected() for _ in requests]
    sides = [Side(name=name) for name in wish.sides]
    jobs: list[tuple[Side, Job, Collected]] = []
    for side, request, kept in zip(sides, requests, collected, strict=True):
        try:
            jobs.append((side, runner.run_aside(request, kept), kept))
        except WishError:  # a name that means nobody: then the other side is not run either
            for _, job, _ in jobs:
                job.kill()
            raise
        except NsmagicError as error:
            side.error = error
        side.notes, kept.notes = kept.notes, []  # what is said later, the ending says too
    button.aim(lambda: _stop(job for _, job, _ in jobs))
    for side, job, kept in jobs:
        try:
            side.result = job.wait()
        except CellFailed:  # by the timeout or the stop button, which the result tells
            side.result = job.result
        except NsmagicError as error:
            side.error = error
        side.text = "".join(kept.output)
    if sides[0].error is not None and sides[1].error is not None:
        raise sides[0].error
    return SideBySide(*sides)


def _stop(jobs: Iterable[Job]) -> None:
    for job in jobs:
        job.kill()


def _request(name: str, wish: SxsWish) -> Request:
    words = ["--bg", f"--timeout={Decimal(str(wish.timeout)):f}", "--no-raise-error"]
    if name in (HOST, SELF):
        magic = "unshare"
    else:
        magic = "nsenter"
        words += ["--target", name]
        if name.isdecimal():
            words.append("--all")
            # Without a privilege one cannot drop groups: then one enters as who one is.
            words += ["--preserve-credentials"] if os.geteuid() else []
    return read_request(magic, shlex.join([*words, "--", *wish.argv]), wish.script)
