"""Cgroup: one cgroup as a person thinks of it, which may be a directory in several hierarchies."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nsmagic.linux.cgroups import freezing, limiting
from nsmagic.linux.cgroups.hierarchies import words
from nsmagic.linux.cgroups.limiting import Reading
from nsmagic.linux.cgroups.places import Place
from nsmagic.linux.cgroups.sampling import Sampler
from nsmagic.linux.cgroups.walking import processes_below
from nsmagic.wish.errors import CgroupError, WishError
from nsmagic.wish.limits import LIMITS, METRICS, Limit, Metric, Row, Sample
from nsmagic.wish.limits.names import PREFIX, group_name

# Of v1: what limits and graphs use; the others are made where a limit asks for them.
_ALWAYS: Final = ("memory", "cpu", "cpuacct", "pids", "blkio")
_FREEZER: Final = "freezer"
_INHERITED: Final = ("cpuset.cpus", "cpuset.mems")  # v1 takes no process before they are set


@dataclass(frozen=True, kw_only=True)
class Entrance:
    """How a process gets in before its first instruction.

    A child writes "0" to each of `write` (cgroup.procs of v1) and is made by clone3(2) with
    CLONE_INTO_CGROUP and a descriptor of `clone` (v2; None where there is none), or writes there
    too.
    """

    write: tuple[Path, ...]
    clone: Path | None

    @property
    def files(self) -> tuple[Path, ...]:
        """All files to write "0" to, where clone3(2) is not used."""
        return self.write + (() if self.clone is None else (self.clone / "cgroup.procs",))


@dataclass(frozen=True, kw_only=True)
class Cgroup:
    """A group.  `v1` has its directory by controller; several controllers may share one.

    `missing` says of controllers that it has not got, why.  What changes it raises CgroupError,
    with what to type, where Linux refuses or the group is gone; what reads it, OSError.
    """

    name: str
    v2: Path | None
    v1: Mapping[str, Path] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def directories(self) -> tuple[Path, ...]:
        """All its directories, v2 first."""
        both = () if self.v2 is None else (self.v2,)
        return both + tuple(dict.fromkeys(self.v1.values()))

    @property
    def entrance(self) -> Entrance:
        """How a new process gets in."""
        files = dict.fromkeys(path / "cgroup.procs" for path in self.v1.values())
        return Entrance(write=tuple(files), clone=self.v2)

    def exists(self) -> bool:
        """Whether any of it is still there."""
        return any(path.is_dir() for path in self.directories)

    def directory(self, controller: str) -> Path | None:
        """Return the directory whose files are those of a controller; None where there is none."""
        if controller in self.v1:
            return self.v1[controller]
        if self.v2 is not None and (
            controller in words(self.v2 / "cgroup.controllers") or controller == "cgroup"
        ):
            return self.v2
        return None

    def add(self, pid: int) -> None:
        """Move a process here, without what it has in memory; OSError where Linux refuses."""
        for file in self.entrance.files:
            file.write_text(str(pid))

    def set(self, limits: Sequence[Limit]) -> tuple[Reading, ...]:
        """Write limits, also while processes run in it, and return what Linux made of them."""
        with self._there():
            return limiting.set_limits(self, limits)

    def limits(self, rows: Iterable[Row] = LIMITS) -> tuple[Reading, ...]:
        """Return limits as Linux has them, the group's own and the effective one."""
        return limiting.read_limits(self, rows)

    def sample(self) -> Sample | None:
        """Return all METRICS of now, in their units; None when the group is gone."""
        with self.sampler() as sampler:
            return sampler.sample()

    def sampler(self, metrics: Iterable[Metric] = METRICS) -> Sampler:
        """Return what samples it many times, cheaply; to be closed."""
        return Sampler(self, metrics)

    def freeze(self) -> None:
        """Stop every process where it stands."""
        with self._there():
            freezing.freeze(self)

    def thaw(self) -> None:
        """Let the processes go on."""
        with self._there():
            freezing.thaw(self)

    def is_frozen(self) -> bool:
        """Whether it, or a group above it, was frozen."""
        return freezing.is_frozen(self)

    def kill(self) -> int:
        """Kill every process, frozen or not, and wait for the end; return how many there were."""
        with self._there():
            return freezing.kill(self)

    def remove(self) -> int:
        """Kill what is in it and remove it, with the groups in it; return how many were killed."""
        return freezing.remove(self)

    def processes(self) -> frozenset[int]:
        """Return all processes, also those in groups below."""
        return frozenset(pid for path in self.directories for pid in processes_below(path))

    @contextmanager
    def _there(self) -> Generator[None]:
        """Raise CgroupError if it is gone before or meanwhile: its cell or box may end any time."""
        gone = CgroupError(f"the group {self.name} is gone")
        if not self.exists():
            raise gone
        try:
            yield
        except OSError:
            if self.exists():
                raise
            raise gone from None


def make_group(place: Place, kernel: int, name: str, rows: Iterable[Row] = ()) -> Cgroup:
    """Make a group for these limits at a place; what was made is gone again if that fails.

    Raises WishError for a name that is none, CgroupError where it exists or Linux refuses.
    """
    group = named_group(place, kernel, name, rows)
    made: list[Path] = []
    try:
        for path in group.directories:
            path.mkdir()
            made.append(path)
        _inherit(group)
    except OSError as error:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir()
        raise CgroupError(
            f"the group {group.name} cannot be made: mkdir({error.filename}): {error.strerror}",
            hint="It exists already: %cgroup rm removes it."
            if isinstance(error, FileExistsError) else "%cgroup controllers shows what works here.",
        ) from error  # fmt: skip
    return group


def named_group(place: Place, kernel: int, name: str, rows: Iterable[Row] = ()) -> Cgroup:
    """Return the group as it is or would be made, touching nothing."""
    folder = group_name(kernel, name)
    wanted = {row.v1.controller for row in rows if row.v1 is not None}
    wanted |= {*_ALWAYS, *(() if place.v2 is not None else (_FREEZER,))}
    return Cgroup(
        name=name,
        v2=None if place.v2 is None else place.v2 / folder,
        v1={c: path / folder for c, path in place.v1.items() if c in wanted},
        missing=place.missing,
    )


def found_group(place: Place, folder: str) -> Cgroup:
    """Return an existing group by the name of its directory, from the directories that are there.

    Raises WishError where it is none of ours, CgroupError where there is none.
    """
    kernel, _, name = folder.removeprefix(PREFIX).partition("-")
    if not folder.startswith(PREFIX) or not kernel.isdecimal():
        raise WishError(f"{folder!r} is not the name of a group of nsmagic")
    group_name(int(kernel), name)
    v2 = None if place.v2 is None else place.v2 / folder
    group = Cgroup(
        name=name,
        v2=v2 if v2 is not None and v2.is_dir() else None,
        v1={c: path / folder for c, path in place.v1.items() if (path / folder).is_dir()},
        missing=place.missing,
    )
    if not group.directories:
        raise CgroupError(f"there is no group {folder}")
    return group


def _inherit(group: Cgroup) -> None:
    """Give a group of v1's cpuset the CPUs and memory nodes of its parent, as v2 does by itself."""
    path = group.v1.get("cpuset")
    for file in _INHERITED if path is not None else ():
        if path is not None and not (path / file).read_text().strip():
            (path / file).write_text((path.parent / file).read_text())
