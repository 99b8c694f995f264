"""Reads what a plan must know of the process that is entered."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from nsmagic.linux.cgroups import own_group
from nsmagic.linux.namespaces import TYPES, Links, read_links
from nsmagic.linux.processes import life_of
from nsmagic.linux.rooted import working_directory
from nsmagic.linux.subjects import find_pid, links_of
from nsmagic.wish.errors import WishError
from nsmagic.wish.isolation import Enter
from nsmagic.wish.target import Target


def read_target(enter: Enter, boxes: Mapping[int, str], proc: str = "/proc") -> Target | None:
    """Return the facts about the target; `boxes` names PIDs; None where only files are entered.

    WishError if there is no such process, NsmagicError if this user may not look at it.
    """
    if enter.target is None:
        return None
    pid = find_pid(enter.target, boxes, proc)
    try:
        start, alive = life_of(pid, proc)
    except (FileNotFoundError, ProcessLookupError):
        start, alive = 0, False
    if not alive:
        raise WishError(f"there is no process {pid}")
    own, theirs = read_links(f"{proc}/self"), links_of(pid, proc)
    target = Target(
        pid=pid, start=start, box="" if enter.target.isdecimal() else enter.target,
        differs=_different(own, theirs), cgroup=_cgroup(proc, pid),
        rooted=not Path(f"{proc}/{pid}/root/").samefile("/"),
    )  # fmt: skip
    return _with_ids(target, proc)


def _different(own: Links, theirs: Links) -> frozenset[str]:
    return frozenset(name for name in TYPES if name in theirs and theirs[name] != own.get(name))


def _cgroup(proc: str, pid: int) -> str | None:
    with suppress(OSError):
        group = own_group(Path(f"{proc}/{pid}"))
        return None if group is None else str(group)
    return None


def _with_ids(target: Target, proc: str) -> Target:
    """Add whom the target runs as, as we number users and as its own user namespace does."""
    fields = {}
    with open(f"{proc}/{target.pid}/status", encoding="utf-8", errors="replace") as status:
        for line in status:
            name, _, value = line.partition(":")
            if name in {"Uid", "Gid"}:
                fields[name.lower()] = int(value.split()[1])
    inner = {
        f"inner_{kind}": inner_id(number, Path(f"{proc}/{target.pid}/{kind}_map"))
        for kind, number in fields.items()
    }
    return replace(target, **fields, **inner)  # type: ignore[arg-type]


def inner_id(outer: int, map_file: Path) -> int | None:
    """Return how an id of ours is numbered in the user namespace that has this map."""
    with suppress(OSError):
        for line in map_file.read_text().splitlines():
            first, start, count = map(int, line.split())
            if start <= outer < start + count:
                return first + outer - start
    return None


def box_to_be(name: str, types: frozenset[str], *, rooted: bool) -> Target:
    """Return what is known of a box before it exists, for --dry-run."""
    return Target(
        box=name, differs=types, inner_uid=0, inner_gid=0, rooted=rooted, wd=working_directory()
    )
