"""Rows of `nsmagic.wish.hints` about namespaces and their maps, and those that go before all."""

from __future__ import annotations

from nsmagic.wish.refusal import ADD_USER, FIRST, Hint, hint
from nsmagic.wish.steps import MapIds, MapIdsByHelper, MapIdsOutside, SetClock, SetGroups, Unshare

_EVERYWHERE = (
    hint(
        (FIRST, SetGroups, MapIds, SetClock), "ENOENT",
        "Nothing is mounted on /proc here, and Linux is asked through files there.",
        "As root: mount -t proc proc /proc",
        when=lambda r: not r.facts.proc,
    ),
    hint(
        (), "EMFILE",
        "The notebook has as many files open as it may ({f.files}).",
        "Close some, or: import resource; n = resource.getrlimit(resource.RLIMIT_NOFILE)[1]; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))",
    ),
    hint(
        (), "EPERM EACCES",
        "AppArmor takes the capabilities of user namespaces from ordinary users here (Ubuntu 23.10 "
        "and later: kernel.apparmor_restrict_unprivileged_userns is 1).",
        "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        when=lambda r: (
            r.facts.apparmor and r.facts.lacks("CAP_SYS_ADMIN") and "user" in r.types
            and not r.place.closed
        ),
    ),
)  # fmt: skip

_NAMESPACES = (
    hint(
        (Unshare,), "EPERM ENOSYS",
        "A seccomp filter on this process forbids new namespaces, as Docker's default one does.",
        "{f.start}",
        when=lambda r: r.facts.unshare_filtered,
    ),
    hint(
        (Unshare,), "EPERM",
        "This Debian lets only root make user namespaces (kernel.unprivileged_userns_clone is 0).",
        "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        when=lambda r: (
            r.facts.user_namespaces_off and "user" in r.types and r.facts.lacks("CAP_SYS_ADMIN")
        ),
    ),
    hint(
        (Unshare,), "EPERM",
        "The notebook runs in a chroot, where Linux makes no user namespaces (unshare(2)).",
        "Start the notebook outside of it, or enter that root with pivot_root(2) in place of "
        "chroot(2).",
        when=lambda r: "user" in r.types and r.facts.chrooted,
    ),
    hint(
        (Unshare,), "EPERM",
        "Your uid {f.uid} or your gid has no place in the notebook's own user namespace, so it "
        "cannot own a new one.",
        "Start the notebook as an id that /proc/self/uid_map and gid_map list.",
        when=lambda r: "user" in r.types and not r.facts.ids_mapped,
    ),
    hint(
        (Unshare,), "EPERM",
        "All namespaces but the user one need CAP_SYS_ADMIN, which this notebook lacks.",
        ADD_USER,
        when=lambda r: "user" not in r.types and r.facts.lacks("CAP_SYS_ADMIN"),
    ),
    hint(
        (Unshare,), "EPERM ENOSYS",
        "A seccomp filter is on this process, most probably it forbids these namespaces (systemd's "
        "RestrictNamespaces=, Flatpak and snap set such filters).",
        "{f.start}",
        when=lambda r: r.facts.seccomp,
    ),
    hint(
        (Unshare,), "EPERM",
        "No filter and no setting that can be seen forbids it, so the notebook most probably runs "
        "in a chroot, where Linux makes no user namespaces; or a security module forbids them.",
        "Start the notebook outside of the chroot, or enter that root with pivot_root(2).",
        when=lambda r: "user" in r.types and r.facts.proc,
    ),
    hint(
        (Unshare,), "ENOSPC",
        "No namespaces of this type are allowed here: the limit in /proc/sys/user is 0.",
        "As root: sysctl -w {r.settings}",
        when=lambda r: bool(r.full),
    ),
    hint(
        (Unshare,), "ENOSPC EUSERS",
        "The notebook is {f.pid_levels} PID namespaces deep, and Linux nests them at most 32 below "
        "the first.",
        "Start it further out.",
        when=lambda r: "pid" in r.types and r.facts.pid_levels > 32,
    ),
    hint(
        (Unshare,), "ENOSPC EUSERS",
        "Either user or PID namespaces are nested too deep (32 below the first), or as many exist "
        "as /proc/sys/user allows, here or in a user namespace above.",
        "Close what holds namespaces: lsns shows them.",
    ),
    hint(
        (Unshare,), "EINVAL",
        "This Linux ({f.linux[0]}.{f.linux[1]}) was built without the namespaces: {r.unknown}.",
        "namespaces(7) says which version and which CONFIG_*_NS brings them.",
        when=lambda r: bool(r.unknown),
    ),
    hint(
        (Unshare,), "EINVAL ENOSYS",
        "WSL 1 translates system calls to Windows and has next to no namespaces.",
        "In PowerShell: wsl --set-version NAME 2",
        when=lambda r: r.facts.container == "wsl1",
    ),
)  # fmt: skip

_MAPS = (
    hint(
        (MapIdsByHelper,), "ENOENT",
        "A map of more than your own id is written by new{s.kind}map(1), which is not installed.",
        "Debian, Ubuntu: sudo apt install uidmap   Fedora: sudo dnf install shadow-utils",
        when=lambda r: not r.facts.helper,
    ),
    hint(
        (MapIdsByHelper,), "EPERM EACCES",
        "no_new_privs is set on the notebook, so setuid programs such as new{s.kind}map gain "
        "nothing.",
        "Start the container without no-new-privileges (Kubernetes: allowPrivilegeEscalation), or "
        "map only yourself: --map-root-user",
        when=lambda r: r.facts.no_new_privs,
    ),
    hint(
        (MapIdsByHelper,), "EPERM EACCES",
        "{f.helper} is neither setuid root nor has it capabilities, so it can write no map either.",
        "sudo chmod u+s {f.helper}",
        when=lambda r: not r.facts.helper_privileged,
    ),
    hint(
        (MapIdsByHelper,), "EPERM EACCES",
        "/etc/sub{s.kind} grants you {r.granted}, and new{s.kind}map maps no others but your own.",
        "sudo usermod --add-sub{s.kind}s 100000-165535 $(id -un)",
    ),
    hint(
        (MapIds,), "EINVAL",
        'The lines "{r.lines[0]}" and "{r.lines[1]}" of the map share ids; every id may stand in '
        "one line only, on both sides.",
        when=lambda r: bool(r.lines),
    ),
    hint(
        (MapIdsOutside,), "EPERM",
        "Mapping uid 0 needs CAP_SETFCAP (Linux 5.12), mapping others CAP_SETUID and CAP_SETGID; "
        "this notebook lacks one of them.",
        "In Docker: docker run --cap-add SETFCAP --cap-add SETUID --cap-add SETGID ...",
        when=lambda r: r.facts.lacks("CAP_SETUID", "CAP_SETGID", "CAP_SETFCAP"),
    ),
    hint(
        (MapIds,), "EPERM",
        "The notebook is in a user namespace itself, and the outer ids of a map must exist there.",
        "cat /proc/self/{s.kind}_map shows which do: first column, count in the third.",
        when=lambda r: r.facts.nested,
    ),
    hint(
        (MapIds,), "EPERM",
        "Without privileges one may map only one's own id, and the group only after setgroups is "
        "denied (user_namespaces(7)).",
        "--map-root-user does both.",
    ),
    hint(
        (MapIds, SetGroups), "EACCES",
        "A process that changed its ids, as by os.setuid(), may not write to its own files in "
        "/proc until it says that it holds no secrets, PR_SET_DUMPABLE in prctl(2).",
        "import ctypes; ctypes.CDLL(None).prctl(4, 1)",
        when=lambda r: not r.facts.dumpable,
    ),
    hint(
        (SetGroups,), "EPERM",
        "Linux lets setgroups be denied only before gid_map is written, and never be allowed again "
        "below a namespace that denies it (user_namespaces(7)).",
        "Leave out --setgroups={s.policy}; --map-root-user and --map-group deny it in time.",
    ),
)  # fmt: skip

NAMESPACE_HINTS: tuple[Hint, ...] = (*_EVERYWHERE, *_NAMESPACES, *_MAPS)
