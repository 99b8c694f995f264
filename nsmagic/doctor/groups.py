"""Cgroups: for each controller a group is made, limited, filled, ended and removed."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from nsmagic.doctor.checks import CGROUPS
from nsmagic.doctor.verdict import Verdict
from nsmagic.linux import syscalls
from nsmagic.linux.cgroups.group import Cgroup, make_group, named_group
from nsmagic.linux.cgroups.hierarchies import read_hierarchies, words
from nsmagic.linux.cgroups.places import Place, Places
from nsmagic.run.ledger import Noted
from nsmagic.wish.errors import CgroupError
from nsmagic.wish.limits import BY_KEY, Row, parse_limits
from nsmagic.wish.limits.names import group_name

# How the lines of cgroups' hints begin that say what to do.
_DO: Final = (
    "Start ", "As root", "Root can", "Make it", "In a ", "%pip ", "systemd gives ", "It belongs ",
    "Whoever ",
)  # fmt: skip
Trial = Callable[[Cgroup], None]


@dataclass(frozen=True, kw_only=True)
class Controller:
    """One row: what is tried in a group that can have the limit `key` ("": any group)."""

    name: str
    tries: str
    key: str = ""
    trial: Trial = lambda _: None

    @property
    def rows(self) -> tuple[Row, ...]:
        """The limit, as a group is asked for."""
        return (BY_KEY[self.key],) if self.key else ()


def _limited(line: str) -> Trial:
    def trial(group: Cgroup) -> None:
        for reading in group.set(parse_limits([line])):
            if reading.is_default:
                raise CgroupError(f"{line} was taken and changed nothing")

    return trial


def _on_one_cpu(group: Cgroup) -> None:
    _limited(f"cpus={min(os.sched_getaffinity(0))}")(group)


def _frozen(group: Cgroup) -> None:
    group.freeze()
    group.thaw()


CONTROLLERS: Final[tuple[Controller, ...]] = (
    Controller(name="cgroup", tries="a group, and its end at one blow"),
    Controller(name="freezer", tries="to freeze and thaw a group", trial=_frozen),
    Controller(name="memory", tries="a limit of memory", key="mem", trial=_limited("mem=64M")),
    Controller(name="cpu", tries="a limit of CPU time", key="cpu", trial=_limited("cpu=50%")),
    Controller(name="pids", tries="a limit of processes", key="pids", trial=_limited("pids=20")),
    Controller(name="cpuset", tries="a choice of CPUs", key="cpus", trial=_on_one_cpu),
    Controller(name="io", tries="limits of block devices", key="io"),
)  # fmt: skip


def examine_groups(names: frozenset[str] = frozenset()) -> Iterator[Verdict]:
    """Yield the verdicts; whatever is changed for them is put back.

    Where no group at all can be made, and the remedy is the same, that is said of controllers too.
    """
    if not Path("/proc/self").exists():  # said once, by all other checks
        return
    places = Places()
    reasons: dict[str, str] = {}
    with switches_kept():
        try:
            for row in CONTROLLERS:
                if not names or row.name in names:
                    found = _try(row, places)
                    if not row.key and found.fix:
                        reasons.setdefault(found.fix, found.why)
                    yield replace(found, why=reasons.get(found.fix, found.why))
        finally:
            places.close()


def _try(row: Controller, places: Places) -> Verdict:
    verdict = Verdict(name=row.name, group=CGROUPS, way="plain", tries=row.tries, state="works")
    begun = time.monotonic()
    try:
        place = places.find(row.rows)
        with _group(place, row) as group, _process() as pid:
            group.add(pid)
            row.trial(group)
            group.kill()
        verdict = replace(verdict, detail=_where(group, row))
    except CgroupError as error:
        why, fix = _split(error)
        verdict = replace(verdict, state="refused", errno=_errno(row), why=why, fix=fix)
    except OSError as error:
        why = f"{error.filename}: {error.strerror}"
        verdict = replace(verdict, state="refused", errno=_name(error.errno), why=why)
    return replace(verdict, milliseconds=(time.monotonic() - begun) * 1e3)


def _split(error: CgroupError) -> tuple[str, str]:
    """Return why and what to type: the hint says why at each place, then what to do."""
    lines = error.hint.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith(_DO)), len(lines))
    return ".  ".join([str(error), *lines[:start]]) + ".", "   ".join(lines[start:])


def _errno(row: Controller) -> str:
    """Try mkdir(2) in our own group after all, and return what Linux says."""
    found = read_hierarchies()
    side = row.rows[0].v1 or row.rows[0].v2 if row.rows else None
    place = (found.where(side.controller) if side else None) or found.v2
    if place is None or place.own is None:
        return ""
    path = place.own / group_name(os.getpid(), "doctor-try")
    with Noted("cgroup", path):
        try:
            path.mkdir()
            path.rmdir()
        except OSError as error:
            return _name(error.errno)
    return ""


def _name(number: int | None) -> str:
    return errno.errorcode.get(number or 0, "")


@contextmanager
def _group(place: Place, row: Controller) -> Generator[Cgroup]:
    """Make a group that is gone afterwards; the ledger knows of it in case we are killed."""
    name = f"doctor-{row.name}"
    planned = named_group(place, os.getpid(), name, row.rows)
    with Noted("cgroup", *planned.directories):
        group = make_group(place, os.getpid(), name, row.rows)
        try:
            yield group
        finally:
            group.remove()


@contextmanager
def _process() -> Generator[int]:
    """Have a process that does nothing."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        syscalls.die_with_parent()
        while os.getppid() == parent:
            signal.pause()
        os._exit(0)
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _where(group: Cgroup, row: Controller) -> str:
    if not row.rows:
        path = group.directories[0]
        return f"cgroup v{1 if group.v2 is None else 2}, in {path.parent}"
    for version, side in ((1, row.rows[0].v1), (2, row.rows[0].v2)):
        found = None if side is None else group.directory(side.controller)
        if found is not None and (version == 2) == (found == group.v2):
            return f"cgroup v{version}, in {found.parent}"
    return ""


@contextmanager
def switches_kept() -> Generator[None]:
    """Switch off again what was switched on for groups below those above us, cgroup v2."""
    v2 = read_hierarchies().v2
    above = [] if v2 is None or v2.own is None else [v2.own, *v2.own.parents]
    files = [path / "cgroup.subtree_control" for path in above]
    before = {file: words(file) for file in files if file.exists()}
    try:
        yield
    finally:
        for file, on in before.items():
            for word in words(file) - on:
                with suppress(OSError):  # another one's group uses it by now
                    file.write_text(f"-{word}")
