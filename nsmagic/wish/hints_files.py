"""Rows of `nsmagic.wish.hints` about files: mounts, roots, directories, programs."""

from __future__ import annotations

from nsmagic.wish.limits import BY_NAME
from nsmagic.wish.refusal import ADD_USER, Hint, Refusal, hint
from nsmagic.wish.steps import (
    Chdir,
    Chroot,
    Exec,
    LoadInterpreter,
    Mask,
    MountBinfmt,
    MountDevices,
    MountProc,
    MountTmpfs,
    Persist,
    Propagate,
    ReadOnly,
)

_BINFMT_SINCE = (6, 7)
_OF_PROFILES = (MountTmpfs, MountDevices, ReadOnly, Mask)


def _unprivileged(r: Refusal) -> bool:
    return "user" not in r.types and r.facts.lacks("CAP_SYS_ADMIN")


def _old_binfmt(r: Refusal) -> bool:
    return (0, 0) < r.facts.linux < _BINFMT_SINCE


_MOUNTS = (
    hint(
        (MountProc, MountBinfmt, Propagate, *_OF_PROFILES), "EPERM",
        "Mounting needs CAP_SYS_ADMIN, which this notebook lacks.",
        ADD_USER,
        when=_unprivileged,
    ),
    hint(
        (MountProc,), "EPERM",
        "A fresh /proc shows the cell's PID namespace, which still is the notebook's own and does "
        "not belong to the cell's user namespace.",
        "Add --pid.",
        when=lambda r: ("user" in r.types or r.facts.pid_outer) and "pid" not in r.types,
    ),
    hint(
        (MountProc,), "EPERM",
        "Parts of /proc are covered here ({f.covers[0]}, ...), as in containers, and Linux mounts "
        "no fresh one that would show what the covers hide.",
        "{f.start}   Or leave out --mount-proc: /proc then shows the outside.",
        when=lambda r: bool(r.facts.covers),
    ),
    hint(
        (MountProc,), "EPERM",
        "No /proc is mounted here, and Linux gives a user namespace a fresh one only where the old "
        "one can be seen whole.",
        "As root, before the notebook starts: mount -t proc proc /proc",
        when=lambda r: not r.facts.proc,
    ),
    hint(
        (MountBinfmt, LoadInterpreter), "EPERM EACCES ENOENT",
        "Linux has a binfmt_misc for each user namespace since 6.7; this one is "
        "{f.linux[0]}.{f.linux[1]}.",
        "Leave out --load-interp and --mount-binfmt here.",
        when=_old_binfmt,
    ),
    hint(
        (MountBinfmt,), "ENODEV",
        "This Linux has no binfmt_misc, or its module is not loaded.",
        "sudo modprobe binfmt_misc",
    ),
    hint(
        (ReadOnly,), "ENOSYS",
        "mount_setattr(2), which makes a mount read-only with all below it, came with Linux 5.12; "
        "this one is {f.linux[0]}.{f.linux[1]}.",
        "Leave out --profile here.",
    ),
    hint(
        (LoadInterpreter,), "EINVAL",
        "The line must be :name:type:offset:magic:mask:interpreter:flags with type M (magic bytes) "
        "or E (file name extension), and the interpreter an absolute path.",
        "For example: --load-interp=:wine:E::exe::/usr/bin/wine:",
    ),
    hint(
        (MountProc, MountBinfmt, MountDevices), "ENOENT",
        "The mount point {p.missing} does not exist {r.where}.{r.near}",
        "mkdir -p {r.root}{p.path}",
        when=lambda r: bool(r.place.missing),
    ),
    hint(
        (MountProc, MountBinfmt), "ENOTDIR",
        "{p.path} is a file; a file system is mounted on a directory.",
        when=lambda r: not r.place.directory,
    ),
    hint(
        (Propagate,), "EINVAL",
        "/ is no mount point here (the notebook runs in a chroot), and only mounts have a "
        "propagation.",
        "Add --propagation=unchanged, or make it one before: mount --bind ROOT ROOT; chroot ROOT",
        when=lambda r: not r.facts.root_is_mount,
    ),
    hint(
        (MountProc, MountBinfmt, Propagate, *_OF_PROFILES), "EPERM EACCES",
        "A seccomp filter is on this process, most probably it forbids mount(2), as Docker's does.",
        "{f.start}",
        when=lambda r: r.facts.seccomp,
    ),
)  # fmt: skip

_KEEPERS = (
    hint(
        (Persist,), "ENOTDIR EISDIR",
        "{p.path} is a directory; a namespace is kept by a bind mount on a file.",
        "Name a file in it, such as {p.path}/{s.link}.",
        when=lambda r: r.place.directory,
    ),
    hint(
        (Persist,), "ENOENT",
        "The directory {p.missing} does not exist.{r.near}",
        "mkdir -p $(dirname {p.path})",
        when=lambda r: r.place.missing not in ("", r.place.path),
    ),
    hint(
        (Persist,), "EROFS",
        "{p.path} lies on {p.mount}, which is mounted read-only.",
        "Choose a file on /run or /tmp.",
    ),
    hint(
        (Persist,), "EPERM EACCES",
        "Keeping a namespace in a file is a mount outside of the cell, for which you need "
        "CAP_SYS_ADMIN there.",
        "--name NAME keeps it without privileges, as a box; %%nsenter -t NAME enters it.",
        when=lambda r: r.facts.lacks("CAP_SYS_ADMIN"),
    ),
    hint(
        (Persist,), "EINVAL",
        "{p.path} lies on {p.mount}, whose mounts are shared with other namespaces, and a mount "
        "namespace kept there would keep itself for ever.",
        "mkdir -p /run/ns; mount --bind /run/ns /run/ns; mount --make-private /run/ns   "
        "and choose a file there.",
        when=lambda r: getattr(r.step, "link", "") == "mnt" and r.place.shared,
    ),
)  # fmt: skip

_ROOTS = (
    hint(
        (Chroot, Chdir), "ENOENT",
        "~ and $NAME are not expanded in the line of a magic.",
        "Write the whole path; the body of the cell knows both.",
        when=lambda r: any(part[:1] in ("~", "$") for part in r.place.missing.split("/")),
    ),
    hint(
        (Chroot, Chdir), "ENOENT",
        "{p.missing} does not exist {r.where}.{r.near}",
        when=lambda r: bool(r.place.missing),
    ),
    hint((Chroot, Chdir), "ENOTDIR", "{p.path} is not a directory {r.where}."),
    hint(
        (Chroot, Chdir), "EACCES",
        "You may not enter {p.closed}: it lacks search permission (x) for you.",
        "ls -ld {p.closed}   shows whose it is.",
        when=lambda r: bool(r.place.closed),
    ),
    hint(
        (Chdir,), "EACCES",
        "{p.path} or a directory above it lacks search permission (x) for the ids of the cell, "
        "which may be others than the notebook's.",
        "ls -ld {r.root}{p.path}   shows whose it is.",
    ),
    hint(
        (Chroot,), "EPERM",
        "chroot(2) needs CAP_SYS_CHROOT, which this notebook lacks.",
        ADD_USER,
        when=lambda r: "user" not in r.types and r.facts.lacks("CAP_SYS_CHROOT"),
    ),
)  # fmt: skip

_PROGRAMS = (
    hint((Exec,), "ENOENT", "{r.lack}", when=lambda r: bool(r.place.lacks)),
    hint(
        (Exec,), "ENOENT",
        "There is no {p.missing} {r.where}.{r.near}",
        "{r.copy}",
        when=lambda r: r.place.missing.startswith("/"),
    ),
    hint(
        (Exec,), "ENOENT",
        "No directory of PATH has a program {p.missing} {r.where}.",
        "If it is a limit, attach its value with =, as in mem=64M.",
        when=lambda r: r.place.missing in BY_NAME,
    ),
    hint(
        (Exec,), "ENOENT",
        "No directory of PATH has a program {p.missing} {r.where}.{r.near}",
        "{r.copy}",
        when=lambda r: bool(r.place.missing),
    ),
    hint(
        (Exec,), "EACCES",
        "No directory of PATH that you may look into has a program {p.missing} {r.where}.{r.near}  "
        "({p.closed}, which leads to one of them, is closed to you.)",
        "{r.copy}",
        when=lambda r: bool(r.place.missing and r.place.closed),
    ),
    hint(
        (Exec,), "EACCES",
        "{p.path} is a directory, not a program.",
        "If it is an option's value, attach it with =, as in --mount-proc={p.path}.",
        when=lambda r: r.place.directory,
    ),
    hint(
        (Exec,), "EACCES",
        "{p.path} lies on {p.mount}, which is mounted noexec: no program runs from there.",
        when=lambda r: "noexec" in r.place.options,
    ),
    hint(
        (Exec,), "EACCES",
        "{p.path} is not marked as executable.",
        "If it is a program: chmod +x {r.root}{p.path}",
        when=lambda r: r.place.closed == r.root + r.place.path,
    ),
    hint(
        (Exec,), "EACCES",
        "You may not run or enter {p.closed}: it lacks permission (x) for you.",
        "ls -ld {p.closed}   shows whose it is.",
        when=lambda r: bool(r.place.closed),
    ),
    hint(
        (Exec,), "ENOEXEC",
        "{p.path} is a program for another machine ({p.foreign}) or is cut off.",
        "file {r.root}{p.path}   says what it is.",
        when=lambda r: bool(r.place.foreign),
    ),
    hint(
        (Exec,), "ENOEXEC",
        "{p.path} has no first line that says what runs it.",
        "Begin the file with #!/bin/sh, or name the shell: /bin/sh {p.path}",
    ),
    hint(
        (Exec,), "E2BIG",
        "Arguments and environment together are larger than execve(2) takes (a quarter of ulimit "
        "-s, 128 KiB each).",
        "--clear-env starts with an empty environment.",
    ),
)  # fmt: skip

FILE_HINTS: tuple[Hint, ...] = (*_MOUNTS, *_KEEPERS, *_ROOTS, *_PROGRAMS)
