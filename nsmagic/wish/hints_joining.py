"""Rows of `nsmagic.wish.hints` about what is entered: processes, boxes, namespace files."""

from __future__ import annotations

from typing import Final

from nsmagic.wish.refusal import Hint, Refusal, hint
from nsmagic.wish.steps import (
    DropGroups,
    Hold,
    Join,
    JoinRoot,
    JoinWd,
    KeepBox,
    Return,
    Step,
    TakeEnvironment,
    TakeIds,
)


def _enters_user(refusal: Refusal) -> bool:
    return isinstance(refusal.step, Join) and "user" in refusal.step.entered


JOINING_HINTS: tuple[Hint, ...] = (
    hint(
        (Join,), "ESRCH",
        "PID {s.pid} has ended, and with the last process the namespaces ended too.",
        "%box and %lsns show who is there now.",
    ),
    hint(
        (Join, Hold), "ENOENT ENOTDIR",
        "There is no {p.missing}.{r.near}",
        "ls -l /run/netns   shows what `ip netns add` made; %lsns shows namespaces bound to files.",
        when=lambda r: bool(r.place.missing),
    ),
    hint(
        (Join,), "EINVAL",
        "No namespace is bound to {f.no_namespace}: it is a file like any other.  A bind is "
        "gone after umount(8) and after a reboot, its file is not.",
        "%lsns shows the namespaces that are bound to files.",
        when=lambda r: bool(r.facts.no_namespace),
    ),
    hint(
        (Join,), "EINVAL",
        "The file is a namespace of another type than the option says: {f.wrong_type}.",
        when=lambda r: bool(r.facts.wrong_type),
    ),
    hint(
        (Join,), "EINVAL",
        "Linux lets nobody enter the user namespace again that he is in, setns(2).",
        "Leave --user out, or take -a, which enters only what is not the notebook's own.",
        when=_enters_user,
    ),
    hint(
        (Join,), "EINVAL",
        "A PID namespace can be entered only from itself or from one above it, setns(2).",
        when=lambda r: isinstance(r.step, Join) and "pid" in r.step.entered,
    ),
    hint(
        (Join,), "EPERM ENOSYS",
        "A seccomp filter is on this process, most probably it forbids setns(2), as Docker's "
        "default one does.",
        "{f.start}",
        when=lambda r: r.facts.unshare_filtered,
    ),
    hint(
        (Join,), "EPERM EACCES",
        "Entering needs CAP_SYS_ADMIN in the user namespace that owns the namespace, which you "
        "have in those that you made yourself, once you are in them.",
        "Enter the user namespace too: add --user (-U), or take -a.",
        when=lambda r: r.facts.lacks("CAP_SYS_ADMIN") and not _enters_user(r),
    ),
    hint(
        (Join,), "EPERM EACCES",
        "Only who made a user namespace, or has CAP_SYS_ADMIN above it, may enter it.",
        "Enter a box or a process of your own.",
        when=lambda r: r.facts.lacks("CAP_SYS_ADMIN"),
    ),
    hint(
        (TakeIds, DropGroups), "EPERM",
        "nsenter(1) empties the list of groups where it enters a user namespace, and this one "
        "denies setgroups(2), as a map of one's own group demands.",
        "Add --preserve-credentials.  A box entered by its name alone needs no option.",
    ),
    hint(
        (TakeIds,), "EINVAL",
        "This id does not exist in the user namespace that is entered.",
        "cat /proc/PID/uid_map /proc/PID/gid_map   shows which do.",
    ),
    hint(
        (JoinRoot,), "EPERM",
        "chroot(2) needs CAP_SYS_CHROOT in the user namespace that one is in.",
        "Enter the user namespace too: add --user (-U), or take -a.",
    ),
    hint(
        (Hold,), "EACCES EPERM",
        "Linux shows {s.path} only to who may trace that process, ptrace(2).",
        "Enter a box or a process of your own.",
        when=lambda r: isinstance(r.step, Hold) and r.step.path.startswith("/proc/"),
    ),
)  # fmt: skip

JOINING_MANUALS: Final[dict[type[Step | None], str]] = {
    Join: "setns(2)", Hold: "open(2)", JoinRoot: "chroot(2)", JoinWd: "fchdir(2)",
    TakeIds: "setuid(2)", DropGroups: "setgroups(2)", KeepBox: "signal(7)", Return: "chdir(2)",
    TakeEnvironment: "proc_pid_environ(5)",
}  # fmt: skip
