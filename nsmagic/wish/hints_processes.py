"""Rows of `nsmagic.wish.hints` about clocks, processes and ids."""

from __future__ import annotations

from nsmagic.wish.refusal import ADD_USER, FIRST, Hint, hint
from nsmagic.wish.steps import (
    AccountStep,
    FindAccounts,
    Fork,
    Init,
    NewKeyring,
    Seccomp,
    SetClock,
    SetGid,
    SetOwner,
    SetUid,
    TakeGroup,
    TakeGroups,
    TakeUser,
)

_CLOCKS = (
    hint(
        (SetClock,), "ERANGE",
        "The {s.clock} clock shows {r.clock} s now, and with the offset it must be from 0 to about "
        "146 years: --{s.clock} takes -{r.clock} to {r.latest} here.",
    ),
    hint(
        (SetClock,), "EPERM",
        "Setting the clocks of a time namespace needs CAP_SYS_TIME, which this notebook lacks.",
        ADD_USER,
        when=lambda r: r.facts.lacks("CAP_SYS_TIME"),
    ),
)  # fmt: skip

_FORKS = (
    hint(
        (Fork,), "ENOSYS",
        "A seccomp filter (as Docker's) hides clone3(2), which starts a process in a cgroup.",
        "{f.start}",
        when=lambda r: r.facts.seccomp,
    ),
    hint(
        (FIRST, Fork, Init), "ENOMEM",
        "The notebook's children go into a PID namespace of which PID 1 has ended, and there Linux "
        "makes no process any more.  Somebody called unshare(CLONE_NEWPID) in the notebook itself.",
        "Restart the notebook's kernel; %%unshare --pid leaves the notebook where it is.",
        when=lambda r: r.facts.pid_moved,
    ),
    hint(
        (FIRST, Fork, Init), "ENOMEM",
        "Memory for one more process is short on this machine or in its container.",
        "free -h and docker stats show how much is left.",
    ),
    hint(
        (FIRST,), "ECHILD",
        "SIGCHLD is ignored in this notebook, so Linux does not tell how its children ended "
        "(waitpid(2)).",
        "import signal; signal.signal(signal.SIGCHLD, signal.SIG_DFL)",
    ),
    hint(
        (FIRST, Fork, Init), "EAGAIN",
        "You have as many processes and threads as you may: ulimit -u is {f.processes}; a cgroup's "
        "pids.max (docker run --pids-limit) counts too.",
        "ps -eLf | wc -l   counts them; end some, or raise the limit.",
    ),
)  # fmt: skip

_IDS = (
    hint(
        (SetGid,), "EPERM",
        "--setgid first empties the list of groups, and this user namespace denies setgroups(2), "
        "as a map of one's own group demands.",
        "Leave out --setgid={s.gid}, or map with --map-groups=auto in place of "
        "--map-root-user (needs /etc/subgid and newgidmap).",
        when=lambda r: "user" in r.types,
    ),
    hint(
        (SetUid,), "EINVAL",
        "uid {s.uid} does not exist in the new user namespace; its map has: {r.uids}.",
        "Add --map-users={s.uid}:100000:1 or take an id that is mapped.",
        when=lambda r: "user" in r.types,
    ),
    hint(
        (SetGid,), "EINVAL",
        "gid {s.gid} does not exist in the new user namespace; its map has: {r.gids}.",
        "Add --map-groups={s.gid}:100000:1 or take an id that is mapped.",
        when=lambda r: "user" in r.types,
    ),
    hint(
        (FindAccounts,), "ENOENT",
        "chroot(1) looks users and groups up in the new root: the numbers there are what counts.",
        "Give numbers: --userspec=+1000:+1000 --groups=+1000; or copy the names:   "
        "%rootfs {r.root} --with /etc/passwd --with /etc/group",
    ),
    hint(
        (TakeGroups,), "EPERM",
        "This user namespace denies setgroups(2), as a map of one's own group demands.",
        "Map more ids: %%unshare --map-auto on a line above (needs /etc/subuid, /etc/subgid and "
        "newuidmap).",
        when=lambda r: "user" in r.types,
    ),
    hint(
        (TakeGroups, TakeGroup, TakeUser), "EINVAL",
        "That id does not exist in the new user namespace; its maps have the users {r.uids} and "
        "the groups {r.gids}.",
        "Map more ids: %%unshare --map-auto on a line above (needs /etc/subuid, /etc/subgid and "
        "newuidmap).",
        when=lambda r: "user" in r.types,
    ),
    hint(
        (SetUid, SetGid, SetOwner, AccountStep), "EINVAL",
        "This id does not exist in the notebook's own user namespace.",
        "cat /proc/self/uid_map /proc/self/gid_map   shows which do.",
        when=lambda r: r.facts.nested,
    ),
    hint(
        (SetUid, SetGid, SetOwner, AccountStep), "EPERM",
        "Becoming another user needs CAP_SETUID and CAP_SETGID, which this notebook lacks.",
        "Inside a user namespace you may become what it maps: add --user --map-root-user.",
        when=lambda r: r.facts.lacks("CAP_SETUID", "CAP_SETGID"),
    ),
)  # fmt: skip

_RIGHTS = (
    hint(
        (NewKeyring,), "EDQUOT",
        "You have as many keyrings as you may, /proc/sys/kernel/keys/maxkeys.",
        "cat /proc/key-users   counts them by user.",
    ),
    hint(
        (NewKeyring,), "EPERM",
        "A seccomp filter is on this process, most probably it forbids keyctl(2) as Docker's does.",
        "{f.start}",
        when=lambda r: r.facts.seccomp,
    ),
    hint((Seccomp,), "EINVAL", "This Linux has no seccomp filters (CONFIG_SECCOMP_FILTER)."),
)  # fmt: skip

PROCESS_HINTS: tuple[Hint, ...] = (*_CLOCKS, *_FORKS, *_IDS, *_RIGHTS)
