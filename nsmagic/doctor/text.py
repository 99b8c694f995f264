"""The report as lines for a terminal, aligned; in colour if asked."""

from __future__ import annotations

import textwrap
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from nsmagic.doctor.report import LabVerdict, Missing, Report, System
from nsmagic.doctor.verdict import WAYS, State, Verdict

WORDS: Final[dict[State, str]] = {
    "works": "works", "refused": "fails", "untried": "not tried",
}  # fmt: skip
_COLOURS: Final = {
    "works": "32", "refused": "31", "untried": "2", "full": "32", "partly": "33", "bold": "1",
    "fix": "36",
}  # fmt: skip
_INDENT: Final = 24
_BOTH: Final = "either way"


@dataclass(frozen=True, kw_only=True)
class Row:
    """Verdicts of one group that say the same, together; `names` of the checks."""

    group: str
    state: State
    way: str
    names: tuple[str, ...]
    errno: str
    why: str
    fix: str


def rows(verdicts: tuple[Verdict, ...]) -> list[Row]:
    """Return the verdicts with those of a group that say the same in one row, in their order."""
    found: dict[Row, list[str]] = {}
    for each in verdicts:
        row = Row(group=each.group, state=each.state, way=WAYS[each.way], names=(),
                  errno=each.errno, why=each.why, fix=each.fix)  # fmt: skip
        found.setdefault(row, []).append(each.name)
    joined: dict[Row, str] = {}
    for row, names in found.items():
        whole = replace(row, way="", names=tuple(names))
        joined[whole] = _BOTH if whole in joined else row.way
    return [replace(row, way=way) for row, way in joined.items()]


def summary(system: System, version: str) -> list[str]:
    """Return where and as whom, in a few sentences."""
    who = "root (uid 0)" if system.uid == 0 else f"uid {system.uid}, an ordinary user"
    if system.lacking and len(system.lacking) <= 5:
        who += f" without {', '.join(system.lacking)}"
    elif system.lacking:
        who += f" without {len(system.lacking)} capabilities, CAP_SYS_ADMIN among them"
        who = who if "CAP_SYS_ADMIN" in system.lacking else who.partition(", CAP_SYS")[0]
    places = [f"{each.title} ({each.fact})" for each in system.environments]
    about = "; ".join([*places, *system.facts]) or "no container and no restriction seen"
    return [
        f"nsmagic {version}, Linux {system.linux}, {system.distribution}, Python {system.python}",
        f"You are {who}.",
        f"This is: {about}.",
    ]


def lines(report: Report, *, colour: bool = False, width: int = 100) -> Iterator[str]:
    """Yield the lines, each at most `width` characters, if no command in it is longer."""

    def dye(kind: str, text: str) -> str:
        return f"\x1b[{_COLOURS[kind]}m{text}\x1b[0m" if colour else text

    for sentence in summary(report.system, report.version):
        yield from textwrap.wrap(sentence, width)
    tries = {each.name: each.tries for each in report.verdicts}
    group, said = "", ""
    for row in rows(report.verdicts):
        if row.group != group:
            group = row.group
            yield ""
            yield dye("bold", group)
        state = dye(row.state, WORDS[row.state].ljust(11))
        errno = f" ({row.errno})" if row.errno else ""
        yield from _hang(f"  {state}{row.way:11}", _names(row, tries) + errno, width)
        if row.why and row.why + row.fix == said:
            yield f"{'':13}as above"
            continue
        if row.why:
            said = row.why + row.fix
            yield from _hang(f"{'':13}why: ", row.why, width, 18)
        if row.fix:  # in one line, to be copied
            yield f"{'':13}fix: {dye('fix', row.fix)}"
    if report.labs:
        yield ""
        yield dye("bold", "Labs")
        for lab in report.labs:
            yield from _lab(lab, tries, dye(lab.state, lab.state.ljust(11)), width)


def _names(row: Row, tries: dict[str, str]) -> str:
    """Return the names, and of a single one that does not work what it stands for."""
    if row.state == "works" or len(row.names) > 1:
        return " ".join(row.names)
    return f"{row.names[0]}, {tries[row.names[0]]}"


def _lab(lab: LabVerdict, tries: Container[str], state: str, width: int) -> Iterator[str]:
    yield f"  {state}{lab.name}: {lab.title}"
    for step in skipped(lab, tries):
        yield from _hang(f"{'':13}", f"skipped: {step}", width, 13)


def skipped(lab: LabVerdict, told: Container[str]) -> list[str]:
    """Return the steps of a lab that do not run here, those together that lack the same.

    Where what is lacking is not among the checks that are `told` above, the reason stands here.
    """
    lacks: dict[str, list[Missing]] = {}
    for each in lab.missing:
        lacks.setdefault(each.step, []).append(each)
    alike: dict[str, list[str]] = {}
    for step, missing in lacks.items():
        alike.setdefault(_lacking(missing, told), []).append(step)
    return [f"{' + '.join(steps)} ({why})" for why, steps in alike.items()]


def _lacking(missing: Sequence[Missing], told: Container[str]) -> str:
    names = ", ".join(each.need for each in missing if each.need in told)
    reasons = [each.why for each in missing if each.need not in told]
    return "; ".join([f"needs {names}", *reasons] if names else reasons)


def _hang(head: str, text: str, width: int, indent: int = _INDENT) -> list[str]:
    """Wrap `text` behind `head`, which may hold colours, so that it hangs at `indent`."""
    wrapped = textwrap.wrap(
        text, max(30, width - indent), break_long_words=False, break_on_hyphens=False
    )
    first, *more = wrapped or [""]
    return [head + first, *(" " * indent + line for line in more)]
