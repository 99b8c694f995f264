"""Where groups are made: the first place, in the documented order, that has what it takes.

1. NSMAGIC_CGROUP=PATH[:PATH...]
2. cgroup v2: the nearest ancestor of the kernel's group that we may write and that holds no
   processes: the new group is a sibling, nothing is moved
3. systemd's user manager: one delegated scope per kernel
4. the kernel's own group, when all processes in it are the kernel's: they move to a leaf (Docker)
5. cgroup v1: children of the kernel's own group, in each controller
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from nsmagic.linux.cgroups import candidates, systemd
from nsmagic.linux.cgroups.candidates import POPULATED, SYSTEMD, Candidate
from nsmagic.linux.cgroups.hierarchies import Hierarchies, read_hierarchies
from nsmagic.linux.cgroups.leaf import leaf_note, move_to_leaf
from nsmagic.linux.cgroups.remedies import missing_controller, no_place
from nsmagic.linux.noting import Noting, unnoted
from nsmagic.linux.processes import descendants, read_processes
from nsmagic.wish.errors import CgroupError
from nsmagic.wish.limits import Row

VARIABLE: Final = "NSMAGIC_CGROUP"
_MOVES: Final = (SYSTEMD, POPULATED)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where groups are made.  `v2` is the directory on cgroup v2, `v1` those by controller.

    `controllers` tells, for each that groups here can have, the version it lives on; `missing`
    tells, for the others, why not.  `note` is what the person should know, empty if nothing.
    """

    kind: str
    v2: Path | None
    v1: Mapping[str, Path]
    controllers: Mapping[str, int]
    missing: Mapping[str, str]
    note: str = ""

    def has(self, row: Row) -> bool:
        """Whether groups here can have this limit."""
        return any(
            side is not None and self.controllers.get(side.controller) == version
            for version, side in ((2, row.v2), (1, row.v1))
        )


class Places:
    """The places of one kernel.  What was changed to have them is undone by `close`."""

    def __init__(self, root_pid: int | None = None, *, noted: Noting = unnoted) -> None:
        """`noted` hears of what is made outside of processes, see `move_to_leaf`."""
        self._noted = noted
        self._pid = root_pid or os.getpid()
        self._undo = ExitStack()
        self._known: dict[tuple[bytes, str, frozenset[str]], Place] = {}

    def find(self, rows: Iterable[Row] = (), *, prepare: bool = True) -> Place:
        """Return, prepared, where groups with these limits can be made; CgroupError if nowhere.

        Without rows any place will do, also one where groups have no controllers.  Without
        `prepare` nothing is changed: it is the place that would be taken.
        """
        wanted = tuple(rows)
        key = (
            _own_groups(), os.environ.get(VARIABLE, ""),
            frozenset(row.key for row in wanted),
        )  # fmt: skip
        if key in self._known:
            return self._known[key]
        place = self._find(wanted, prepare=prepare)
        if prepare:
            self._known[key] = place
        return place

    def close(self) -> None:
        """Put back what was moved."""
        self._known.clear()
        self._undo.close()

    def _find(self, rows: tuple[Row, ...], *, prepare: bool) -> Place:
        hierarchies = read_hierarchies()
        paths = named_paths(hierarchies)
        v1, missing = _v1(hierarchies, paths)
        needed = frozenset(filter(None, (_needed(row, v1, missing, hierarchies) for row in rows)))
        tried: list[Candidate] = []
        for candidate in survey(hierarchies, self._pid):
            if not candidate.refusal and needed <= candidate.controllers:
                if not needed and candidate.kind in _MOVES:
                    continue  # nothing is moved for a group that needs no controller
                if not prepare:
                    return _place(candidate, candidate.controllers, v1, missing, hierarchies)
                try:
                    return self._take(candidate, needed, v1, missing, hierarchies)
                except CgroupError as error:
                    if candidate.kind not in _MOVES:
                        raise
                    candidate = replace(candidate, refusal=str(error))
            tried.append(candidate)
        if v1 and not needed:
            return _place(None, frozenset(), v1, missing, hierarchies)
        raise no_place(rows, needed, hierarchies, tried, missing)

    def _take(
        self, found: Candidate, needed: frozenset[str], v1: Mapping[str, Path],
        missing: Mapping[str, str], hierarchies: Hierarchies,
    ) -> Place:  # fmt: skip
        note = ""
        if found.kind == SYSTEMD:
            found = replace(self._scope(hierarchies), kind=SYSTEMD)
        enabled = found.enabled
        if found.kind in _MOVES:
            leaf = move_to_leaf(found, self._undo, self._noted)
            note = systemd.moved(leaf) if found.kind == SYSTEMD else leaf_note(leaf)
        if found.addable and (needed - enabled or found.kind in _MOVES):
            enabled |= _enable(found.directory, found.addable, needed)
        return _place(found, enabled, v1, missing, hierarchies, note)

    def _scope(self, hierarchies: Hierarchies) -> Candidate:
        """Have the kernel and what is its in the group moved to a scope; return that, delegated."""
        v2 = hierarchies.v2
        assert v2 is not None
        assert v2.own is not None
        ours = descendants(self._pid, read_processes())
        systemd.start_scope(systemd.processes_of_group(v2.own, ours))
        now = read_hierarchies().v2
        assert now is not None
        return next(candidates.own_group(now, self._pid))


def _own_groups() -> bytes:
    try:
        return Path("/proc/self/cgroup").read_bytes()
    except OSError:  # a root without /proc
        return b""


def _needed(
    row: Row, v1: Mapping[str, Path], missing: Mapping[str, str], hierarchies: Hierarchies
) -> str:
    """Return the controller of cgroup v2 that a limit needs; empty where v1 has it."""
    if row.v1 is not None and row.v1.controller in v1:
        return ""
    on_v1 = frozenset[str]().union(*(each.controllers for each in hierarchies.v1))
    if row.v2 is None or (row.v1 is None and row.v2.controller in on_v1):
        if row.emulated:
            return ""
        raise missing_controller(row, missing)
    return row.v2.controller


def _enable(directory: Path, addable: frozenset[str], needed: frozenset[str]) -> frozenset[str]:
    """Switch controllers on for the groups in a directory; CgroupError if a needed one will not."""
    done = set()
    for controller in sorted(addable):
        try:
            (directory / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError as error:
            if controller in needed:
                raise CgroupError(
                    f"{controller} cannot be switched on: writing +{controller} to "
                    f"{directory}/cgroup.subtree_control failed: {error.strerror}"
                ) from error
        else:
            done.add(controller)
    return frozenset(done)


def _place(
    found: Candidate | None, enabled: frozenset[str], v1: Mapping[str, Path],
    missing: Mapping[str, str], hierarchies: Hierarchies, note: str = "",
) -> Place:  # fmt: skip
    lacking = dict(missing)
    if hierarchies.v2 is not None:
        where = "no group of cgroup v2" if found is None else str(found.directory)
        for controller in hierarchies.v2.controllers - enabled:
            lacking[controller] = f"{where} does not have it switched on for its groups"
    return Place(
        kind="v1" if found is None else found.kind,
        v2=None if found is None else found.directory,
        v1=v1,
        controllers=dict.fromkeys(enabled, 2) | dict.fromkeys(v1, 1),
        missing=lacking, note=note,
    )  # fmt: skip


def survey(hierarchies: Hierarchies, pid: int) -> Iterator[Candidate]:
    """Return the places on cgroup v2 in the order in which they are tried; nothing is changed.

    CgroupError where NSMAGIC_CGROUP names what cannot be used.
    """
    v2, paths = hierarchies.v2, named_paths(hierarchies)
    if v2 is None:
        return
    if paths:
        if v2.point in paths:
            yield candidates.named(paths[v2.point])
        return
    yield from candidates.ancestors(v2)
    if (scope := systemd.scope(v2, os.geteuid())) is not None:
        yield scope
    yield from candidates.own_group(v2, pid)


def _v1(
    hierarchies: Hierarchies, paths: Mapping[Path, Path]
) -> tuple[dict[str, Path], dict[str, str]]:
    """Return directories for new groups by controller of v1, and why others have none."""
    found, missing = {}, {}
    for hierarchy in hierarchies.v1:
        directory = paths.get(hierarchy.point, hierarchy.own)
        for controller in hierarchy.controllers:
            if paths and hierarchy.point not in paths:
                missing[controller] = f"{VARIABLE} names no directory below {hierarchy.point}"
            elif directory is None:
                missing[controller] = hierarchy.hidden
            elif hierarchy.readonly or os.statvfs(directory).f_flag & os.ST_RDONLY:
                missing[controller] = f"{hierarchy.point} is mounted read-only"
            elif not os.access(directory, os.W_OK, effective_ids=True):
                missing[controller] = f"{directory} may not be written by uid {os.geteuid()}"
            else:
                found[controller] = directory
    for controller in hierarchies.unmounted:
        missing[controller] = "Linux has it, and it is not mounted"
    return found, missing


def named_paths(hierarchies: Hierarchies) -> dict[Path, Path]:
    """Return the directories of NSMAGIC_CGROUP by mount point; CgroupError if one is unusable."""
    found = {}
    for text in filter(None, os.environ.get(VARIABLE, "").split(":")):
        path = Path(os.path.realpath(text))
        mounts = [each for each in (*hierarchies.v1, hierarchies.v2) if each is not None]
        inside = [each for each in mounts if path.is_relative_to(each.point)]
        if not inside or not text.startswith("/") or not (path / "cgroup.procs").exists():
            raise CgroupError(
                f"{VARIABLE} names {text}, which is no cgroup here",
                hint=f"Make it first: mkdir {text}   (or unset {VARIABLE})",
            )
        mount = max(inside, key=lambda each: len(each.point.parts))
        found[mount.point] = path
        if mount.version == 2 and (refusal := candidates.named(path).refusal):
            raise CgroupError(f"{VARIABLE}={text} cannot be used: {refusal}")
    return found
