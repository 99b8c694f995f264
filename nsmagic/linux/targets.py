"""Reads what a plan must know of the process that is entered."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from nsmagic.linux.cgroups import own_group
from nsmagic.linux.facts import Facts
from nsmagic.linux.idmaps import inner_id
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
        return _read(enter, enter.target, pid, proc)
    except (FileNotFoundError, ProcessLookupError):  # it may end while we look
        raise WishError(f"there is no process {pid}") from None


def _read(enter: Enter, word: str, pid: int, proc: str) -> Target:
    start, alive = life_of(pid, proc)
    if not alive:
        raise ProcessLookupError
    own, theirs = read_links(f"{proc}/self"), links_of(pid, proc)
    target = Target(
        pid=pid, start=start, box="" if word.isdecimal() else word,
        differs=_different(own, theirs), cgroup=_cgroup(proc, pid) if enter.join_cgroup else None,
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
    facts = Facts(target.pid, proc)
    status = facts.status()
    uid, gid = (int(status[name].split()[1]) for name in ("Uid", "Gid"))
    target = replace(target, uid=uid, gid=gid)
    with suppress(OSError):
        inner_uid, inner_gid = inner_id(uid, facts.uid_map()), inner_id(gid, facts.gid_map())
        return replace(target, inner_uid=inner_uid, inner_gid=inner_gid)
    return target


def box_to_be(name: str, types: frozenset[str], *, rooted: bool) -> Target:
    """Return what is known of a box before it exists, for --dry-run."""
    return Target(
        box=name, differs=types, inner_uid=0, inner_gid=0, rooted=rooted, wd=working_directory()
    )
