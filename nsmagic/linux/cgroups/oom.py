"""Who died of what: the counters of memory, before and after, and what Linux wrote in its log."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nsmagic.linux.cgroups.kmsg import KMSG, read_log
from nsmagic.linux.cgroups.sampling import Sampler
from nsmagic.wish.limits import METRIC

if TYPE_CHECKING:
    from nsmagic.linux.cgroups.group import Cgroup

_STOCK: Final = 64 * 4096  # bytes, MEMCG_CHARGE_BATCH pages
# As mm/oom_kill.c of Linux prints them, dump_oom_victim and __oom_kill_process.
_SUMMARY: Final = re.compile(
    r"oom-kill:constraint=(?P<constraint>\w+),.*?(?:oom_memcg=(?P<limit>[^,]*),)?"
    r"task_memcg=(?P<group>.*),task=(?P<name>.*),pid=(?P<pid>\d+),uid=(?P<uid>\d+)"
)
_KILLED: Final = re.compile(
    r"Killed process (?P<pid>\d+) \((?P<name>.*)\),? (?:UID \d+, )?total-vm:(?P<vm>\d+)kB, "
    r"anon-rss:(?P<anon>\d+)kB, file-rss:(?P<file>\d+)kB, shmem-rss:(?P<shmem>\d+)kB"
)


@dataclass(frozen=True, kw_only=True)
class Victim:
    """A process that the OOM killer killed, as Linux's log tells it; sizes in bytes.

    `limit` is the group whose limit was hit, as a path in its hierarchy, empty when the whole
    machine was out of memory; `below` when that group lies below the one asked about.  `line` is
    Linux's own.
    """

    pid: int
    name: str
    limit: str
    below: bool = False
    anon: int
    file: int
    shmem: int
    line: str


@dataclass(frozen=True, kw_only=True)
class OomCounters:
    """What a group and those above it counted; None where this version does not count it.

    `kills` are processes of the group (and below) that were killed, `ooms` how often memory could
    not be had, `hits` how often the limit was reached.  `above` has the same hits of the groups
    above, so that one can see whose limit it was.  `at` is in seconds of CLOCK_MONOTONIC.
    """

    at: float
    kills: int | None
    ooms: int | None
    hits: int | None
    forks_refused: int | None
    above: tuple[tuple[Path, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class OomReport:
    """What happened to the memory of a group between two looks at its counters; sizes in bytes.

    `limit` and `holder` are the limit that was hit and the directory that has it; None when it was
    the machine's memory.  `anon`, `file` and `shmem` are the victim's where Linux's log may be
    read, else None.
    """

    before: OomCounters
    after: OomCounters
    kills: int
    limit: int | None
    holder: Path | None
    peak: int | None
    victims: tuple[Victim, ...]

    def may_have_killed(self, pid: int) -> bool:
        """Whether a process was killed, by its number in Linux's log; 0 for an unknown one."""
        all_named = len(self.victims) == self.kills
        if pid and all_named:
            return any(victim.pid == pid for victim in self.victims)
        return self.kills > 0

    @property
    def anon(self) -> int | None:
        """Memory of the victims' own: heaps and stacks."""
        return sum(victim.anon for victim in self.victims) if self.victims else None

    @property
    def file(self) -> int | None:
        """Mapped files of the victims."""
        return sum(victim.file for victim in self.victims) if self.victims else None

    @property
    def shmem(self) -> int | None:
        """Shared memory and tmpfs mapped by the victims."""
        return sum(victim.shmem for victim in self.victims) if self.victims else None


def read_counters(group: Cgroup) -> OomCounters:
    """Return the counters of now; all None where the group has no memory controller."""
    names = ("mem.oom_kills", "mem.oom", "mem.max_hits", "pids.max_hits")
    at = time.monotonic()
    with Sampler(group, [METRIC[name] for name in names]) as sampler:
        sample = sampler.sample()
    values = {} if sample is None else sample.values
    kills, ooms, hits, forks = (
        None if (v := values.get(name)) is None else int(v) for name in names
    )
    directory, files, hit_word = memory_of(group)
    return OomCounters(
        at=at, kills=kills, ooms=ooms, hits=hits, forks_refused=forks,
        above=() if directory is None else tuple(_hits_above(directory, files, hit_word)),
    )  # fmt: skip


def memory_of(group: Cgroup) -> tuple[Path | None, tuple[str, ...], str]:
    """Return the directory with the memory controller, and the files and field of its own hits."""
    if "memory" in group.v1:
        return group.v1["memory"], ("memory.failcnt", "memory.memsw.failcnt"), ""
    if group.v2 is not None and (group.v2 / "memory.events").exists():
        # Linux 5.2; memory.events counts below too.  `max` also counts what reclaim could mend.
        return group.v2, ("memory.events.local",), "oom"
    return None, (), ""


def _hits_above(directory: Path, files: tuple[str, ...], field: str) -> list[tuple[Path, int]]:
    found = []
    for above in (directory, *directory.parents):
        numbers = [number for file in files if (number := _field(above / file, field)) is not None]
        if not numbers:
            break
        found.append((above, sum(numbers)))
    return found


def _field(file: Path, field: str) -> int | None:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    if not field:
        return int(lines[0])
    return next((int(line.split()[1]) for line in lines if line.split()[0] == field), None)


def report(group: Cgroup, before: OomCounters, *, kmsg: Path = KMSG) -> OomReport:
    """Return what happened since `before`; ask while the group still exists."""
    after = read_counters(group)
    kills = (after.kills or 0) - (before.kills or 0)
    listed = read_victims(group, since=before.at, kmsg=kmsg) if kills else ()
    victims = tuple(victim for victim in listed if not victim.below)
    with Sampler(group, [METRIC["mem.peak"]]) as sampler:
        sample = sampler.sample()
    peak = None if sample is None else sample["mem.peak"]
    holder = _holder(before, after, victims)
    if "memory" not in group.v1:  # v2 counts the kills of groups below too
        kills -= len(listed) - len(victims)
        if not listed and holder is None and (after.ooms or 0) > (before.ooms or 0):
            kills = 0  # no log to read, but somebody's limit, and none of those from here up
    return OomReport(
        before=before, after=after, kills=kills, victims=victims, holder=holder,
        limit=_limit(holder), peak=None if peak is None else int(peak),
    )  # fmt: skip


def _holder(before: OomCounters, after: OomCounters, victims: tuple[Victim, ...]) -> Path | None:
    """Return the group whose limit was hit: as Linux's log says, else the nearest that was hit."""
    for victim in victims:
        for path, _ in after.above:
            if victim.limit and path.as_posix().endswith(victim.limit):
                return path
    then = dict(before.above)
    for path, hits in after.above:
        if hits > then.get(path, 0):
            return path
    # v1 does not count a hit of memory and swap together everywhere, but keeps the peak.
    killed = (after.kills or 0) > (before.kills or 0)
    return next((path for path, _ in after.above if killed and _is_full(path)), None)


def _is_full(directory: Path) -> bool:
    """Whether a group of v1 once was at its limit, give or take what every CPU keeps in stock."""
    try:
        limit = int((directory / "memory.limit_in_bytes").read_text())
        peak = int((directory / "memory.max_usage_in_bytes").read_text())
    except (OSError, ValueError):
        return False
    return peak >= limit - _STOCK * (os.cpu_count() or 1)


def _limit(holder: Path | None) -> int | None:
    """Return the limit that was hit; none where `holder` has lost it meanwhile ("max")."""
    if holder is not None:
        for file in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):
                return int((holder / file).read_text())
    return None


def read_victims(group: Cgroup, *, since: float, kmsg: Path = KMSG) -> tuple[Victim, ...]:
    """Return the processes of a group killed since a moment, from Linux's log where it is readable.

    An ordinary user mostly may not read it (kernel.dmesg_restrict): nothing is returned then.
    """
    folders = {path.name for path in group.directories}
    limit: str | None = None
    found: dict[int, Victim] = {}
    for line in read_log(since, kmsg):
        if summary := _SUMMARY.search(line):
            ours = folders & set(summary["group"].split("/"))
            limit = (summary["limit"] or "") if ours else None
        elif limit is not None and (killed := _KILLED.search(line)):
            # With memory.oom.group more follow, the first once more if it has not ended yet.
            anon, file, shmem = (int(killed[name]) * 1024 for name in ("anon", "file", "shmem"))
            victim = Victim(
                pid=int(killed["pid"]), name=killed["name"], limit=limit, line=line,
                below=bool(folders & set(limit.split("/")[:-1])),
                anon=anon, file=file, shmem=shmem,
            )  # fmt: skip
            found.setdefault(victim.pid, victim)
    return tuple(found.values())
