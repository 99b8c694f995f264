"""The doctor in a notebook: the command line's report, as a table in the colours of the front end.

The doctor forks for each check, so it runs as a program of its own and not in the kernel, which has
threads; what it finds is the same, because it inherits what the kernel may do.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import nsmagic
from nsmagic.doctor.report import LabVerdict, Report, from_json
from nsmagic.doctor.text import WORDS, Row, lines, rows, skipped, summary
from nsmagic.notebook.failures import NOT_SHOWN, one_line_if_stopped
from nsmagic.notebook.tables import Cell, Column, Table, Tone
from nsmagic.wish.errors import NsmagicError, WishError

_BOOT: Final = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from nsmagic.cli.main import main
sys.exit(main())
"""
_WITHIN: Final = 60.0  # s; it takes one
_TONES: Final[dict[str, Tone]] = {
    "works": "good", "refused": "bad", "untried": "dim", "full": "good", "partly": "bad",
}  # fmt: skip
_Line = tuple[str, Cell, Cell, str, str]
_COLUMNS: Final = (
    Column(title=""),
    Column(title=""),
    Column(title="what was tried", mono=True),
    Column(title="why, here"),
    Column(title="what to type", mono=True),
)


def doctor(words: Sequence[str]) -> DoctorCard:
    """Do `%nsmagic doctor`."""
    if words:
        raise WishError(f"nsmagic doctor: takes no words, but {words[0]!r} was given")
    return DoctorCard(examine_here())


def examine_here() -> Report:
    """Run the doctor as this kernel's child; NsmagicError where it ends without a report."""
    package = str(Path(nsmagic.__file__).parents[1])
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _BOOT, package, "doctor", "--json"],
            capture_output=True, text=True, check=False, timeout=_WITHIN, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return from_json(json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        raise NsmagicError(f"the doctor was still busy after {_WITHIN:g} s") from None
    except ValueError:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise NsmagicError(
            f"the doctor ended without a report: {last}", hint="In a terminal: nsmagic doctor"
        ) from None


def reasons_here() -> dict[str, str]:
    """Return by the name of a need of the labs why it is not met here; raises NsmagicError."""
    return {each.need: each.why for lab in examine_here().labs for each in lab.missing}


class DoctorCard:
    """A report as Jupyter displays it: the terminal's lines as text, a table as HTML."""

    def __init__(self, report: Report) -> None:
        self.report = report

    @one_line_if_stopped(NOT_SHOWN)
    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {
            "text/plain": "\n".join(lines(self.report)), "text/html": table(self.report).html()
        }  # fmt: skip


def table(report: Report) -> Table:
    """Return the report as a table."""
    tries = {each.name: each.tries for each in report.verdicts}
    found = [_line(row, tries) for row in rows(report.verdicts)]
    found += [_lab_line(lab, tries) for lab in report.labs]
    return Table(
        columns=_COLUMNS, rows=tuple(_once(found)),
        above=tuple(summary(report.system, report.version)),
    )  # fmt: skip


def _line(row: Row, tries: dict[str, str]) -> _Line:
    state = Cell(text=f"{WORDS[row.state]} {row.way}".strip(), tone=_TONES[row.state])
    errno = f"  {row.errno}" if row.errno else ""
    what = Cell(
        text=" ".join(row.names) + errno,
        tip="\n".join(f"{name}: {tries[name]}" for name in row.names),
    )  # fmt: skip
    return row.group, state, what, row.why, row.fix


def _lab_line(lab: LabVerdict, tries: dict[str, str]) -> _Line:
    state = Cell(text=lab.state, tone=_TONES[lab.state])
    steps = "; ".join(skipped(lab, tries))
    why = f"skipped: {steps}" if steps else ""
    return "Labs", state, Cell(text=lab.name, tip=lab.title), why, ""


def _once(
    found: list[_Line],
) -> Iterator[tuple[Cell | str, ...]]:
    """Yield the lines with a group, or a reason, only where it is another one than above."""
    group, said = "", ("", "")
    for of, state, what, why, fix in found:
        again = bool(why) and (why, fix) == said
        yield (
            "" if of == group else of, state, what, *(("as above", "") if again else (why, fix))
        )  # fmt: skip
        group, said = of, (why, fix) if why else said
