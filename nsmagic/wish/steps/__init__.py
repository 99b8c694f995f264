"""The steps that a plan is made of: frozen data that can describe itself, in shell and system call.

`nsmagic.run.perform` does them; `nsmagic.wish.hints` explains them when Linux says no;
`nsmagic.wish.paste` makes a script of their shell lines.
"""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

from nsmagic.wish.accounts import Account
from nsmagic.wish.isolation import IdMap
from nsmagic.wish.steps.accounts import (
    AccountStep,
    FindAccounts,
    TakeGroup,
    TakeGroups,
    TakeUser,
)
from nsmagic.wish.steps.base import Step
from nsmagic.wish.steps.cgroups import EnterCgroup, MakeCgroup, SetLimit
from nsmagic.wish.steps.files import (
    Chdir,
    Chroot,
    LoadInterpreter,
    MountBinfmt,
    MountProc,
    Propagate,
)
from nsmagic.wish.steps.hardening import (
    BoundCapabilities,
    DropCapabilities,
    LinkUp,
    Mask,
    MountDevices,
    MountTmpfs,
    NewKeyring,
    NoNewPrivileges,
    ReadOnly,
    Seccomp,
)
from nsmagic.wish.steps.joining import (
    DropGroups,
    Hold,
    Join,
    JoinRoot,
    JoinWd,
    KeepBox,
    Return,
    TakeEnvironment,
    TakeIds,
)
from nsmagic.wish.steps.namespaces import (
    MapIds,
    MapIdsByHelper,
    MapIdsOutside,
    Persist,
    SetClock,
    SetGroups,
    SetOwner,
    Unshare,
)
from nsmagic.wish.steps.processes import (
    ClearEnvironment,
    Exec,
    Fork,
    Init,
    KeepCaps,
    RunPython,
    SetGid,
    SetUid,
)

__all__ = [
    "STEPS",
    "AccountStep",
    "BoundCapabilities",
    "Chdir",
    "Chroot",
    "ClearEnvironment",
    "DropCapabilities",
    "DropGroups",
    "EnterCgroup",
    "Exec",
    "FindAccounts",
    "Fork",
    "Hold",
    "Init",
    "Join",
    "JoinRoot",
    "JoinWd",
    "KeepBox",
    "KeepCaps",
    "LinkUp",
    "LoadInterpreter",
    "MakeCgroup",
    "MapIds",
    "MapIdsByHelper",
    "MapIdsOutside",
    "Mask",
    "MountBinfmt",
    "MountDevices",
    "MountProc",
    "MountTmpfs",
    "NewKeyring",
    "NoNewPrivileges",
    "Persist",
    "Propagate",
    "ReadOnly",
    "Return",
    "RunPython",
    "Seccomp",
    "SetClock",
    "SetGid",
    "SetGroups",
    "SetLimit",
    "SetOwner",
    "SetUid",
    "Step",
    "TakeEnvironment",
    "TakeGroup",
    "TakeGroups",
    "TakeIds",
    "TakeUser",
    "Unshare",
    "from_json",
    "to_json",
]

STEPS: dict[str, type[Step]] = {
    cls.__name__: cls
    for cls in (
        MakeCgroup, SetLimit, EnterCgroup, SetOwner, Unshare, SetGroups, MapIds, MapIdsOutside,
        MapIdsByHelper, Persist, SetClock, Fork, Propagate, MountProc, MountBinfmt,
        LoadInterpreter, Chroot, Chdir, SetGid, SetUid, FindAccounts, TakeGroups, TakeGroup,
        TakeUser, KeepCaps, ClearEnvironment, Init, Exec, RunPython, Hold, Join, JoinRoot, JoinWd,
        Return, TakeEnvironment, DropGroups, TakeIds, KeepBox, MountTmpfs, MountDevices, LinkUp,
        ReadOnly, Mask, BoundCapabilities, NewKeyring, DropCapabilities, NoNewPrivileges, Seccomp,
    )
}  # fmt: skip


def to_json(step: Step) -> dict[str, Any]:
    """Return the step as plain data for the spawner's protocol."""
    return {"step": type(step).__name__, **{key: _plain(it) for key, it in vars(step).items()}}


def _plain(value: object) -> object:
    """Return what asdict() would, which takes 0.2 ms a plan because it copies in depth."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return vars(value) if is_dataclass(value) else value


def from_json(data: dict[str, Any]) -> Step:
    """Return the step that `to_json` described; KeyError or TypeError where it is none."""
    fields = {key: _frozen(value) for key, value in data.items() if key != "step"}
    if "maps" in fields:
        fields["maps"] = tuple(IdMap(**entry) for entry in data["maps"])
    if "before" in fields:
        groups = _frozen(data["before"]["groups"])
        fields["before"] = Account(**{**data["before"], "groups": groups})
    return STEPS[data["step"]](**fields)


def _frozen(value: object) -> object:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
