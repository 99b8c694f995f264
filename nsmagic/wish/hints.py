"""What to say when Linux refuses a step: one table by step, errno and circumstance."""

from __future__ import annotations

import errno

from nsmagic.wish import steps
from nsmagic.wish.circumstances import Circumstances
from nsmagic.wish.hints_cgroups import CGROUP_HINTS
from nsmagic.wish.hints_files import FILE_HINTS
from nsmagic.wish.hints_joining import JOINING_HINTS, JOINING_MANUALS
from nsmagic.wish.hints_namespaces import NAMESPACE_HINTS
from nsmagic.wish.hints_processes import PROCESS_HINTS
from nsmagic.wish.refusal import Hint, Refusal
from nsmagic.wish.steps import Step

# The first row that fits is taken, so the more telling circumstance stands above.
HINTS: tuple[Hint, ...] = (
    *NAMESPACE_HINTS, *JOINING_HINTS, *CGROUP_HINTS, *PROCESS_HINTS, *FILE_HINTS,
)  # fmt: skip

_MANUALS: dict[type[Step | None], str] = {
    type(None): "fork(2)",
    steps.SetOwner: "setuid(2)",
    steps.Unshare: "unshare(2)",
    steps.SetGroups: "user_namespaces(7)",
    steps.MapIds: "user_namespaces(7)",
    steps.MapIdsOutside: "user_namespaces(7)",
    steps.MapIdsByHelper: "newuidmap(1)",
    steps.Persist: "mount(2)",
    steps.SetClock: "time_namespaces(7)",
    steps.MakeCgroup: "cgroups(7)",
    steps.SetLimit: "Linux's admin-guide/cgroup-v2 (or cgroup-v1)",
    steps.EnterCgroup: "cgroups(7)",
    steps.Fork: "clone(2)",
    steps.Propagate: "mount(2)",
    steps.MountProc: "mount(2)",
    steps.MountBinfmt: "mount(2)",
    steps.LoadInterpreter: "Linux's admin-guide/binfmt-misc",
    steps.Chroot: "chroot(2)",
    steps.Chdir: "chdir(2)",
    steps.SetGid: "setgid(2)",
    steps.SetUid: "setuid(2)",
    steps.FindAccounts: "passwd(5)",
    steps.TakeGroups: "setgroups(2)",
    steps.TakeGroup: "setgid(2)",
    steps.TakeUser: "setuid(2)",
    steps.KeepCaps: "capabilities(7)",
    steps.MountTmpfs: "mount(2)",
    steps.MountDevices: "mount(2)",
    steps.LinkUp: "netdevice(7)",
    steps.ReadOnly: "mount_setattr(2)",
    steps.Mask: "mount(2)",
    steps.BoundCapabilities: "capabilities(7)",
    steps.NewKeyring: "keyctl(2)",
    steps.DropCapabilities: "capabilities(7)",
    steps.NoNewPrivileges: "PR_SET_NO_NEW_PRIVS(2const)",
    steps.Seccomp: "seccomp(2)",
    steps.Init: "clone(2)",
    steps.Exec: "execve(2)",
    **JOINING_MANUALS,
}


def hint_for(step: Step | None, number: int, circumstances: Circumstances) -> str:
    """Return why `step` fails with errno `number` here and, on the next line, what to type.

    `step` is None where the cell's first process could not be made.
    """
    refusal = Refusal(step=step, number=number, facts=circumstances)
    for row in HINTS:
        if row.fits(refusal):
            return row.text(refusal)
    name = errno.errorcode.get(number, str(number))
    manual = _MANUALS.get(type(step))
    where = f"{manual} lists what {name} can mean" if manual else "errno(3) lists what it can mean"
    return f"Linux gave no further reason; {where}."
