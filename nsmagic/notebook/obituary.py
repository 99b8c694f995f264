"""What is said of the limits of a cell: as Linux has them, and when one hit or ended the cell."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from nsmagic.linux.cgroups.oom import OomReport, Victim
from nsmagic.run.groups import LiveGroup
from nsmagic.run.result import Result
from nsmagic.wish.limits import human_size, show_size

_MOST: Final = 3  # victims that are named
_ROOMY: Final = 16 << 20  # bytes, in which a small Python cell runs


def of_memory(result: Result) -> str:
    """Return how the OOM killer ended the cell, to go on after "the cell "."""
    assert result.oom is not None
    report = result.oom
    return f"was killed by {_whose_limit(result, report)}{_peak(report)}"


def details(result: Result) -> str:
    """Return the lines below it: the victims, the counters, Linux's own words, what to type."""
    assert result.oom is not None
    return "\n".join(_details(result, result.oom))


def warnings(result: Result, error: str = "") -> Iterator[str]:
    """Yield a line for each limit that was hit and did not end the cell.

    `error` is the name of the exception that did.
    """
    report = result.oom
    if report is None:
        return
    if report.kills and not result.out_of_memory:
        when = "Before it was stopped," if result.stopped else "The cell went on, but"
        yield (
            f"{when} {_whose_limit(result, report)} killed {_named(report.victims)}"
            f"{_peak(report)} ({_counted(report)})"
        )
    elif error == "MemoryError":
        yield (
            "MemoryError is Python's own: Linux refused it address space (ulimit -v, overcommit). "
            f"The cgroup killed nothing{_peak(report)}"
        )
    if result.forks_refused:
        yield (
            f"{_which_pids(result)} was hit {_times(result.forks_refused)}: fork(2) and clone(2) "
            "failed inside with EAGAIN, Resource temporarily unavailable; outside nothing changed"
        )


def _which_pids(result: Result) -> str:
    reading = result.pids
    if reading is None or reading.effective is None:
        return "A limit on processes"
    if reading.effective == reading.value:
        return f"The limit {reading.limit}"
    return f"The limit pids={reading.effective} of the group {reading.holder}"


def _whose_limit(result: Result, report: OomReport) -> str:
    own = next((limit for limit in result.limits if limit.key == "mem"), None)
    if own is not None and own.value is not None and report.limit in {None, own.value}:
        return f"its memory limit of {human_size(own.value)} ({own})"
    if report.limit is not None:
        return f"the memory limit of {human_size(report.limit)} of the group {report.holder}"
    return "the OOM killer, because the whole machine was out of memory"


def _peak(report: OomReport) -> str:
    return "" if report.peak is None else f"; at its peak it used {human_size(report.peak)}"


def _details(result: Result, report: OomReport) -> Iterator[str]:
    for victim in report.victims[:_MOST]:
        yield (
            f"Killed: {victim.name} (PID {victim.pid}), resident with {human_size(victim.anon)} "
            f"anonymous (what a fork shares counts too), {human_size(victim.file)} of files, "
            f"{human_size(victim.shmem)} of shared memory."
        )
    if len(report.victims) > _MOST:
        yield f"... and {len(report.victims) - _MOST} more."
    if result.all_killed:
        yield "oomgroup=1: all other processes of the group were killed with it."
    yield f"Counters: {_counted(report)}."
    for victim in report.victims[:1]:
        yield f"Linux: {victim.line}"
    own = next((limit for limit in result.limits if limit.key == "mem"), None)
    if own is not None and own.value is not None and report.limit in {None, own.value}:
        more = show_size(max(own.value * 2, _ROOMY))
        yield f"Give it more, mem={more}, or hold less at a time."


def _counted(report: OomReport) -> str:
    pairs = {
        "oom_kill": (report.before.kills, report.after.kills),
        "limit hit": (report.before.hits, report.after.hits),
    }
    return ", ".join(f"{name} {a} -> {b}" for name, (a, b) in pairs.items() if a != b)


def _named(victims: tuple[Victim, ...]) -> str:
    if not victims:
        return "a process"
    shown = [f"{victim.name} (PID {victim.pid})" for victim in victims[:_MOST]]
    return ", ".join(shown) + (", ..." if len(victims) > _MOST else "")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def read_back(group: LiveGroup) -> str:
    """Return the limits of a group as Linux has them now, in one line; empty if it has none."""
    wished = {limit.key: limit for limit in group.cell.limits}
    shown = []
    for reading in group.group.limits([limit.row for limit in group.cell.limits]):
        text = str(reading.limit)
        if reading.effective != reading.value:
            bound = shlex.join(replace(reading.limit, value=reading.effective).words)
            text += f" (what binds is {bound} of {reading.holder})"
        shown.append(text)
    emulated = [str(wished[key]) for key in wished if wished[key].row.emulated and group.kills_all]
    return f"limits, read back: {', '.join([*shown, *emulated])}" if shown or emulated else ""
