"""Wish -> plan: pure code that turns an Isolation into steps, in the order that Linux demands.

First the cgroup, then what is entered; then the order is the one of unshare(1): owner, unshare,
maps, clocks, fork, files that keep namespaces, propagation, root, working directory, mounts, ids,
capabilities, environment, body.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nsmagic.wish import steps
from nsmagic.wish.accounts import NOBODY, Account
from nsmagic.wish.errors import WishError
from nsmagic.wish.groups import CellGroup
from nsmagic.wish.hardening import after_ids, before_ids
from nsmagic.wish.idmaps import Ids
from nsmagic.wish.inside import inside
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.mapping import map_steps
from nsmagic.wish.namespaces import NAMESPACES
from nsmagic.wish.steps import Step
from nsmagic.wish.target import Entering
from nsmagic.wish.unshare import settle

# The paths that the cell itself follows, before any other root is in force.
OWN_PATHS = ("root", "wd", "mount_proc")


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What the plan must know of this machine and process, read by `nsmagic.linux.situation`.

    `sys_admin`: CAP_SYS_ADMIN is effective; `sys_chroot`: CAP_SYS_CHROOT.  `old_root`: the root
    wished for is the one that we have.  `outside`: whom --userspec and --groups mean here.
    `cgroup`: directory of the cgroup v2 that the cell is born in, or None where none can be made.
    `group`: the group that limits were asked for, whose v2 directory is that one; None where a
    group only ends the cell's processes.  `own_paths`: what the paths below /proc/self stand for in
    this process, because the cell is another one.  `entering`: what the wish enters, with the facts
    about it; `box_groups`: cgroup v1 directories of the box that is entered.  `kept`: directories
    that a profile must not hide, `wd` the working directory; `machine`: as uname(2) calls it.
    """

    uids: Ids
    gids: Ids
    sys_admin: bool
    sys_chroot: bool = True
    old_root: bool = False
    outside: Account = NOBODY
    cgroup: str | None = None
    group: CellGroup | None = None
    own_paths: Mapping[str, str] = field(default_factory=dict)
    entering: Entering | None = None
    box_groups: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    wd: str = "/"
    machine: str = "x86_64"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The steps, and in `notes` what was added to the wish, one sentence each."""

    isolation: Isolation
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()


def make_plan(
    wish: Isolation, situation: Situation, body: Step, *, strict: bool = False, init: bool = False
) -> Plan:
    """Return the plan for `wish`; `strict` switches off what nsmagic implies.

    With `init` an init of ours is PID 1 and the cell its child.  Raises WishError where the wish
    contradicts itself.
    """
    _refuse_nonsense(wish, situation, init=init)
    isolation = _with_own_paths(settle(wish), situation.own_paths)
    if isinstance(body, steps.KeepBox) and isolation.namespaces & {"pid", "time"}:
        isolation = replace(isolation, fork=True)  # its init must live in them
    notes: list[str] = []
    if not strict:
        situation, notes = _imply_user(situation)
        isolation, more = _imply(isolation, situation)
        notes += more
    elif "pid" in isolation.namespaces and not isolation.fork:
        notes.append(_without_fork(body))
    if situation.group is not None and situation.group.implied:
        notes.append("mem= forbids swap too (swap=0): give swap=, or --strict to leave it alone")
    listed = (
        *(() if situation.group is None else situation.group.steps()),
        *_enter_groups(isolation, situation),
        *_up_to_fork(isolation, situation, body),
        *(steps.EnterCgroup(cgroup=each, file="tasks") for each in _late(isolation, situation)),
        *_persist(isolation),
        *inside(
            isolation, situation.outside, (*before_ids(isolation, situation.kept, situation.wd),)
        ),
        *after_ids(isolation, situation.machine, body),
        *([steps.Init()] if init else []),
        body,
    )
    return Plan(isolation=isolation, steps=listed, notes=tuple(notes))


def _without_fork(body: Step) -> str:
    more = "; no thread can be started" if isinstance(body, steps.RunPython) else ""
    return (
        "without --fork the cell's first child is PID 1 of the new namespace: "
        f"once that has ended, fork(2) gives ENOMEM{more}"
    )


def _refuse_nonsense(wish: Isolation, situation: Situation, *, init: bool) -> None:
    if wish.skip_chdir and not situation.old_root:
        raise WishError(
            f"chroot: --skip-chdir is permitted only where the new root is the old /: {wish.root}",
            hint="Leave it out: a working directory outside of the new root is a way out of it.",
        )
    entering = situation.entering
    if wish.enter is not None and entering is None:
        raise ValueError("a plan that enters something needs to know it")
    if entering is not None and "pid" in entering.entered and "pid" in wish.namespaces:
        raise WishError(
            "a new PID namespace needs a fork of its own after the PID namespace that is entered",
            hint="Leave --pid out and let the cell's program make it: unshare --pid --fork ...",
        )
    if init and "pid" not in wish.namespaces:
        raise WishError("--init needs a new PID namespace", hint="Add --pid (-p).")


def _with_own_paths(wish: Isolation, paths: Mapping[str, str]) -> Isolation:
    named = {name: getattr(wish, name) for name in OWN_PATHS}
    changes: dict[str, Any] = {name: paths[path] for name, path in named.items() if path in paths}
    return replace(wish, **changes)


def _imply_user(situation: Situation) -> tuple[Situation, list[str]]:
    entering = situation.entering
    if entering is None:
        return situation, []
    implied = entering.implied(sys_admin=situation.sys_admin)
    note = "added --user --preserve-credentials: entering needs CAP_SYS_ADMIN, which you lack here"
    return replace(situation, entering=implied), [note] if implied != entering else []


def _imply(wish: Isolation, situation: Situation) -> tuple[Isolation, list[str]]:
    notes = []
    if wish.namespaces & {"pid", "time"}:
        wish = replace(wish, fork=True)
    entered = frozenset() if situation.entering is None else situation.entering.entered
    lacked = "" if "user" in wish.namespaces | entered else _lacked_capability(wish, situation)
    if lacked:
        wish = replace(wish, namespaces=wish.namespaces | {"user"}, map_root_user=True)
        notes.append(f"added --user --map-root-user: this needs {lacked}, which you lack here")
    if "pid" in wish.namespaces and wish.mount_proc is None:
        notes.append("/proc still shows the outside: add --mount-proc")
    return wish, notes


def _lacked_capability(wish: Isolation, situation: Situation) -> str:
    """Return the capability that the wish needs and that is not there, or ""."""
    if wish.namespaces - {"user"} and not situation.sys_admin:
        return "CAP_SYS_ADMIN"
    return "CAP_SYS_CHROOT" if wish.root is not None and not situation.sys_chroot else ""


def _enter_groups(wish: Isolation, situation: Situation) -> Iterator[Step]:
    if situation.group is not None:
        for directory in situation.group.others:
            if directory not in _late(wish, situation):
                yield steps.EnterCgroup(cgroup=directory, file="tasks")
    for directory in situation.box_groups:
        yield steps.EnterCgroup(cgroup=directory, file="tasks")
    if situation.cgroup is not None and _enters_first(wish, situation):
        yield steps.EnterCgroup(cgroup=situation.cgroup)


def _late(wish: Isolation, situation: Situation) -> tuple[str, ...]:
    """Return the group of cgroup v1's pids, which is entered after the fork.

    Before it, the process that forks would be counted too, and pids=1 leave no room for the cell.
    """
    if situation.group is None or situation.entering or _enters_first(wish, situation):
        return ()
    return situation.group.alone("pids")


def _enters_first(wish: Isolation, situation: Situation) -> bool:
    """Whether the cell must be in its group before anything else is done.

    An --owner may not write there, and a new cgroup namespace has for its root the group in which
    the process is that makes it, cgroup_namespaces(7): that shall be the one asked for.  In a
    joined one, no process can be moved that is outside of it (mount option nsdelegate).
    """
    entered = frozenset() if situation.entering is None else situation.entering.entered
    if wish.owner is not None or "cgroup" in entered:
        return True
    return wish.cgroup and "cgroup" in wish.namespaces


def _up_to_fork(wish: Isolation, situation: Situation, body: Step) -> Iterator[Step]:
    entering = situation.entering
    fork = tuple(_fork(wish, situation, body))
    if entering is None:
        yield from (*_before_fork(wish, situation), *fork)
        return
    if entering.enter.no_fork and not wish.namespaces:
        yield from (*fork, *entering.steps(), *entering.credentials())
        return
    held = [step.cgroup for step in fork if isinstance(step, steps.Fork) and step.cgroup]
    if any(isinstance(step, steps.Fork) and step.keep for step in fork):
        held.append("/proc")  # by which the keeper finds what it must end
    yield from entering.steps(held=tuple(held))
    # As `nsenter ... unshare ...` has them; else after the fork, which may need more than they do.
    credentials = tuple(entering.credentials())
    if wish.namespaces:
        yield from (*credentials, *_before_fork(wish, situation), *fork)
    else:
        yield from (*fork, *credentials)


def _before_fork(wish: Isolation, situation: Situation) -> Iterator[Step]:
    if _body_must_not_fork(wish) and situation.cgroup is None:
        yield steps.Fork(keep=True, share_memory=False)  # now: afterwards, its child is PID 1
    if wish.owner is not None:
        yield steps.SetOwner(uid=wish.owner[0], gid=wish.owner[1])
    if wish.namespaces:
        types = tuple(row.name for row in NAMESPACES if row.name in wish.namespaces)
        yield steps.Unshare(types=types, fork=wish.fork)
    if "user" in wish.namespaces:
        yield from map_steps(wish, situation.uids, situation.gids)
    elif wish.setgroups is not None:  # unshare(1) tries it on the user namespace that it is in
        yield steps.SetGroups(policy=wish.setgroups)
    if wish.boottime is not None:
        yield steps.SetClock(clock="boottime", seconds=wish.boottime)
    if wish.monotonic is not None:
        yield steps.SetClock(clock="monotonic", seconds=wish.monotonic)


def _body_must_not_fork(wish: Isolation) -> bool:
    """Whether the first child of the cell itself is to be PID 1 (`--strict --pid`)."""
    return bool(wish.namespaces & {"pid", "time"}) and not wish.fork


def _fork(wish: Isolation, situation: Situation, body: Step) -> Iterator[Step]:
    entered = _enters_first(wish, situation) and situation.cgroup is not None
    cgroup = None if entered else situation.cgroup
    # What becomes a program has little memory: a copy of it costs nothing.
    share_memory = "time" not in wish.namespaces and not isinstance(body, steps.Exec)
    if _body_must_not_fork(wish):
        if cgroup is not None:
            yield steps.EnterCgroup(cgroup=cgroup)
    elif cgroup is not None:
        yield steps.Fork(cgroup=cgroup, share_memory=share_memory)
    elif "pid" in wish.namespaces or entered:
        yield steps.Fork(share_memory=share_memory)
    elif isinstance(body, steps.KeepBox):  # the spawner, its parent, ends what is in it
        if "time" in wish.namespaces or (situation.entering and situation.entering.forks):
            yield steps.Fork(share_memory=share_memory)
    else:
        yield steps.Fork(keep=True, share_memory=False)


def _persist(wish: Isolation) -> Iterator[Step]:
    for row in NAMESPACES:
        for name, file in wish.persist:
            if name == row.name:
                link = row.name if wish.fork else row.for_children or row.name
                yield steps.Persist(link=link, file=file)
