"""The tables of `%cgroup`: groups with their usage, controllers, one group in full, the tree."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from nsmagic.linux.cgroups.group import Cgroup
from nsmagic.linux.cgroups.hierarchies import Hierarchies, Hierarchy, read_hierarchies
from nsmagic.linux.cgroups.limiting import Reading
from nsmagic.linux.cgroups.places import survey
from nsmagic.linux.cgroups.walking import below, processes_below
from nsmagic.notebook.tables import Cell, Column, Table, Tone
from nsmagic.run.groups import LiveGroup
from nsmagic.wish.limits import BY_KEY, METRICS, Metric, Sample, human_size, values_of

_BAR: Final = 10  # characters
_NUMBERS: Final = {"processes", "memory", "CPU time", "tasks", "now"}
_FULL: Final = 0.9  # of a limit, from where on a bar is red
Entry = Cell | str


def groups_table(live: Mapping[str, LiveGroup]) -> Table:
    """Return the groups of this notebook, usage against limit."""
    names = ("group", "state", "processes", "memory", "CPU time", "tasks", "limits")
    columns = tuple(Column(title=name, numeric=name in _NUMBERS) for name in names)
    rows = tuple(_group_row(name, group) for name, group in live.items())
    return Table(columns=columns, rows=rows)


def _group_row(name: str, live: LiveGroup) -> tuple[Entry, ...]:
    group = live.group
    sample = group.sample()
    if sample is None:
        return (name, Cell(text="gone", tone="dim"), "", "", "", "", "")
    rows = [BY_KEY[key] for key in ("mem", "pids")]
    limits = {reading.row.key: reading.effective for reading in group.limits(rows)}
    cpu = sample["cpu.usage"]
    return (
        name,
        Cell(text="frozen", tone="bad") if group.is_frozen() else "runs",
        str(len(group.processes())),
        _against(sample["mem.current"], limits.get("mem"), human_size),
        "" if cpu is None else f"{cpu:.2f} s",
        _against(sample["pids.current"], limits.get("pids"), lambda count: f"{count:.0f}"),
        " ".join(map(str, live.cell.limits)),
    )


def _against(used: float | None, limit: float | None, show: Callable[[float], str]) -> Entry:
    """Return `█████░░░░░ 32 MiB of 64 MiB`, or the usage alone where nothing limits it."""
    if used is None:
        return ""
    if limit is None:
        return show(used)
    part = used / limit if limit else 1.0
    filled = min(_BAR, round(part * _BAR))
    text = f"{'█' * filled}{'░' * (_BAR - filled)} {show(used)} of {show(limit)}"
    return Cell(text=text, tone="bad" if part >= _FULL else "plain")


def readings_table(readings: Sequence[Reading]) -> Table:
    """Return limits as Linux made them."""
    titles = ("limit", "is now", "file")
    return Table(
        columns=tuple(Column(title=title, mono=title == "file") for title in titles),
        rows=tuple(
            (
                reading.row.key,
                "\n".join(filter(None, (_shown(reading), _binds(reading)))),
                "\n".join(map(str, reading.files)) or reading.note,
            )
            for reading in readings
        ),
    )


def show_table(live: LiveGroup, keys: frozenset[str]) -> Table:
    """Return limits and readings of a group in the spellings of both versions: `keys`, or all."""
    group = live.group
    titles = ("", "now", "cgroup v2", "cgroup v1", "meaning")
    mono = {"cgroup v2", "cgroup v1"}
    return Table(
        columns=tuple(
            Column(title=title, mono=title in mono, numeric=title in _NUMBERS) for title in titles
        ),
        rows=(*_limit_rows(group, keys), *_metric_rows(group, keys)),
        above=tuple(Cell(text=str(path), mono=True) for path in group.directories),
    )


def _limit_rows(group: Cgroup, keys: frozenset[str]) -> Iterator[tuple[Entry, ...]]:
    readings = group.limits()
    others = values_of(reading.limit for reading in readings)
    for reading in readings:
        rare = reading.is_default and "." in reading.row.key  # and nobody set it
        if reading.row.key not in keys if keys else rare:
            continue
        tone: Tone = "dim" if reading.is_default else "plain"
        cells = (
            reading.row.key,
            "\n".join(filter(None, (_shown(reading), _binds(reading)))),
            "\n".join(reading.limit.spelled(2, others)) or "-",
            "\n".join(reading.limit.spelled(1, others)) or "-",
            reading.row.meaning,
        )
        yield tuple(Cell(text=text, tone=tone) for text in cells)


def _metric_rows(group: Cgroup, keys: frozenset[str]) -> Iterator[tuple[Entry, ...]]:
    sample = group.sample()
    for metric in METRICS if sample is not None else ():
        assert sample is not None
        if sample[metric.name] is not None and (not keys or metric.name in keys):
            v2, v1 = (
                "-" if source is None else f"{source.file} {source.field}".strip()
                for source in (metric.v2, metric.v1)
            )
            yield (metric.name, _reading(metric, sample), v2, v1, metric.meaning)


def _reading(metric: Metric, sample: Sample) -> str:
    value = sample[metric.name]
    if value is None:
        return ""
    if metric.unit == "bytes":
        return human_size(value)
    return f"{value:.3f} s" if metric.unit == "s" else f"{value:.0f}"


def _shown(reading: Reading) -> str:
    if reading.row.repeats:
        return "\n".join(map(reading.row.unit.show, reading.value)) or "max"
    return reading.row.unit.show(reading.value)


def _binds(reading: Reading) -> str:
    if reading.effective == reading.value or reading.row.repeats:
        return ""
    return f"(binding: {reading.row.unit.show(reading.effective)} of {reading.holder})"


def controllers_table() -> Table:
    """Return the controllers, on which version they are, and whether groups here can have them."""
    found = read_hierarchies()
    titles = ("controller", "version", "for cells", "this notebook's group")
    rows = [row for hierarchy in found.v1 for row in _v1_rows(hierarchy)]
    rows += [] if found.v2 is None else _v2_rows(found, found.v2)
    rows += [
        (name, "", Cell(text="no", tone="bad"), Cell(text="not mounted", tone="dim"))
        for name in sorted(found.unmounted)
    ]
    return Table(
        columns=tuple(Column(title=title, mono=title == titles[-1]) for title in titles),
        rows=tuple(sorted(rows, key=lambda row: str(row[0]))),
        above=tuple(_verdict(found)),
    )


_VERDICTS: Final = {
    "v2": "This machine has cgroup v2.",
    "v1": "This machine has cgroup v1: a tree of groups for each controller.",
    "hybrid": "This machine is hybrid: controllers on cgroup v1, and cgroup v2 beside it, by which "
    "groups are killed and frozen.",
    "none": "No cgroup file system is mounted here.",
}


def _verdict(found: Hierarchies) -> Iterator[Entry]:
    yield _VERDICTS[found.verdict]
    if found.v2 is not None:
        for candidate in survey(found, os.getpid()):
            why = candidate.refusal or "groups are made here"
            yield Cell(text=f"{candidate.directory} ({candidate.kind}): {why}", tone="dim")
            if not candidate.refusal:
                return


def _v1_rows(hierarchy: Hierarchy) -> Iterator[tuple[Entry, ...]]:
    own = hierarchy.own
    if own is None:
        answer = Cell(text=f"no: {hierarchy.hidden}", tone="bad")
    elif hierarchy.readonly:
        answer = Cell(text="no: mounted read-only", tone="bad")
    elif not os.access(own, os.W_OK, effective_ids=True):
        answer = Cell(text="no: it is not yours to write", tone="bad")
    else:
        answer = Cell(text="yes", tone="good")
    for name in sorted(hierarchy.controllers):
        yield (name, "v1", answer, str(own or hierarchy.point))


def _v2_rows(found: Hierarchies, v2: Hierarchy) -> Iterator[tuple[Entry, ...]]:
    places = [each for each in survey(found, os.getpid()) if not each.refusal]
    for name in sorted(v2.controllers):
        if any(name in place.enabled for place in places):
            answer = Cell(text="yes", tone="good")
        elif any(name in place.addable for place in places):
            answer = Cell(text="yes, switched on when a limit needs it", tone="good")
        else:
            answer = Cell(text="no: not switched on where you may make groups", tone="bad")
        yield (name, "v2", answer, str(v2.own or v2.hidden))


def tree_table() -> Table:
    """Return, for each hierarchy, the groups from its root to this notebook's and our own in it."""
    found = read_hierarchies()
    every = [*([] if found.v2 is None else [found.v2]), *found.v1]
    rows = [row for hierarchy in every for row in _tree_rows(hierarchy)]
    return Table(
        columns=(Column(title="group", mono=True), Column(title="processes", numeric=True),
                 Column(title="", copied=False)),
        rows=tuple(rows),
    )  # fmt: skip


def _tree_rows(hierarchy: Hierarchy) -> Iterator[tuple[Entry, ...]]:
    names = ", ".join(sorted(hierarchy.controllers)) or hierarchy.name
    title = f"cgroup v{hierarchy.version} {names}".rstrip()
    if hierarchy.own is None:
        yield (str(hierarchy.point), "", Cell(text=f"{title}: {hierarchy.hidden}", tone="dim"))
        return
    path = hierarchy.own.relative_to(hierarchy.point).parts
    chain = [hierarchy.point.joinpath(*path[:depth]) for depth in range(len(path) + 1)]
    for depth, group in enumerate(chain):
        name = str(group) if depth == 0 else f"{'  ' * depth}└ {group.name}"
        note = title if depth == 0 else ""
        if group == hierarchy.own:
            note += f"{': ' if note else ''}this notebook"
        yield (name, str(_count(group)), note)
        for ours in _ours_in(group):
            yield (
                f"{'  ' * (depth + 1)}└ {ours.name}",
                str(len(processes_below(ours))),
                "a cell or box",
            )


def _ours_in(group: Path) -> list[Path]:
    prefix = f"nsmagic-{os.getpid()}-"
    return [each for each in below(group) if each.parent == group and each.name.startswith(prefix)]


def _count(group: Path) -> int:
    try:
        return len((group / "cgroup.procs").read_text().split())
    except OSError:
        return 0
