"""Steps that take away: what of the machine is seen, and what may be done about it."""
# ruff: noqa: D102  (what shell() and syscalls() return is said once, in Step)

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import ClassVar

from nsmagic.wish.seccomp import Instruction
from nsmagic.wish.steps.base import Step, quoted

_QUIET = "MS_NOSUID|MS_NODEV"


def _bind(source: str, target: str, flags: str = "MS_BIND") -> str:
    return f"mount({quoted(source)}, {quoted(target)}, NULL, {flags}, NULL)"


def _each(paths: tuple[str, ...], command: str) -> str:
    """Return a loop over those of the paths that there are."""
    return f"for p in {shlex.join(paths)}; do [ ! -e $p ] || {command}; done"


@dataclass(frozen=True, kw_only=True)
class MountTmpfs(Step):
    """Mount an empty file system of one's own, in which the directories `kept` stay visible.

    Nothing is done where `target` is no directory.
    """

    name: ClassVar[str] = "tmpfs"
    target: str
    kept: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """With the directory."""
        return f"own {self.target}"

    def shell(self) -> str:
        target = shlex.quote(self.target)
        lines = [f"mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs {target}"]
        for fd, path in enumerate(map(shlex.quote, self.kept), start=10):
            lines.insert(0, f"exec {fd}<{path}")
            # -c: else mount(8) would look for the name that the descriptor had.
            lines += [f"mkdir -p {path}", f"mount -c --rbind /proc/$$/fd/{fd} {path}"]
            lines.append(f"exec {fd}<&-")
        return " && ".join(lines)

    def syscalls(self) -> tuple[str, ...]:
        binds = (
            _bind("/proc/self/fd/FD", path, "MS_BIND|MS_REC") for path in self.kept
        )  # the name that it had stands for another directory now
        target = quoted(self.target)
        return (f'mount("tmpfs", {target}, "tmpfs", {_QUIET}, "mode=1777")', *binds)


@dataclass(frozen=True, kw_only=True)
class MountDevices(Step):
    """Mount a /dev with these nodes of the old one, and terminals and shared memory of its own."""

    name: ClassVar[str] = "dev"
    devices: tuple[str, ...]
    target: str = "/dev"

    @property
    def label(self) -> str:
        """With the directory."""
        return "own /dev"

    def shell(self) -> str:
        return (
            "d=$(mktemp -d) && mount -t tmpfs -o nosuid,noexec,mode=755 tmpfs $d && "
            f"for n in {' '.join(self.devices)}; do touch $d/$n; mount --bind /dev/$n $d/$n; done "
            "&& mkdir $d/pts $d/shm && mount -t devpts -o newinstance,ptmxmode=0666 devpts $d/pts "
            "&& mount -t tmpfs -o nosuid,nodev,noexec,mode=1777 shm $d/shm && "
            "ln -s pts/ptmx $d/ptmx && ln -s /proc/self/fd $d/fd && "
            "ln -s fd/0 $d/stdin && ln -s fd/1 $d/stdout && ln -s fd/2 $d/stderr && "
            f"mount --move $d {shlex.quote(self.target)} && rmdir $d"
        )

    def syscalls(self) -> tuple[str, ...]:
        dev, quiet = self.target, "MS_NOSUID|MS_NOEXEC"
        pts, shm = quoted(f"{dev}/pts"), quoted(f"{dev}/shm")
        return (
            f'mount("tmpfs", {quoted(dev)}, "tmpfs", {quiet}, "mode=755")',
            *(_bind("/proc/self/fd/FD", f"{dev}/{name}") for name in self.devices),
            f'mount("devpts", {pts}, "devpts", {quiet}, "newinstance,ptmxmode=0666")',
            f'mount("shm", {shm}, "tmpfs", {_QUIET}|MS_NOEXEC, "mode=1777")',
        )


@dataclass(frozen=True, kw_only=True)
class LinkUp(Step):
    """Bring up a link of the new network namespace, netdevice(7)."""

    name: ClassVar[str] = "link"
    link: str

    @property
    def label(self) -> str:
        """With the link's name."""
        return f"{self.link} up"

    def shell(self) -> str:
        return f"ip link set {shlex.quote(self.link)} up"

    def syscalls(self) -> tuple[str, ...]:
        flags = f"{{ifr_name={quoted(self.link)}, ifr_flags=IFF_UP}}"
        return (f"ioctl(FD, SIOCSIFFLAGS, {flags})",)


@dataclass(frozen=True, kw_only=True)
class ReadOnly(Step):
    """Make these paths, as far as there are such, and all mounts below them read-only."""

    name: ClassVar[str] = "read-only"
    paths: tuple[str, ...]

    def shell(self) -> str:
        # mount(8) knows ro=recursive since 2.39 only.
        below = "for m in $(findmnt -Rno TARGET --list $p); do mount -o remount,bind,ro $m; done"
        return _each(self.paths, f"{{ mount --rbind $p $p && {below}; }}")

    def syscalls(self) -> tuple[str, ...]:
        calls: list[str] = []
        for path in self.paths:
            calls.append(_bind(path, path, "MS_BIND|MS_REC"))
            calls.append(
                f"mount_setattr(AT_FDCWD, {quoted(path)}, AT_RECURSIVE, "
                "{attr_set=MOUNT_ATTR_RDONLY}, 32)"
            )
        return tuple(calls)


@dataclass(frozen=True, kw_only=True)
class Mask(Step):
    """Have nothing be seen of these files and directories, as far as there are such."""

    name: ClassVar[str] = "mask"
    files: tuple[str, ...]
    directories: tuple[str, ...]

    def shell(self) -> str:
        files = _each(self.files, "mount --bind /dev/null $p")
        return f"{files}; {_each(self.directories, 'mount -t tmpfs -o ro tmpfs $p')}"

    def syscalls(self) -> tuple[str, ...]:
        files = (_bind("/dev/null", path) for path in self.files)
        directories = (
            f'mount("tmpfs", {quoted(path)}, "tmpfs", MS_RDONLY, NULL)' for path in self.directories
        )
        return (*files, *directories)


@dataclass(frozen=True, kw_only=True)
class NewKeyring(Step):
    """Leave the session keyring for an empty one, session-keyring(7).

    Nothing is done where Linux has no keyrings.
    """

    name: ClassVar[str] = "keyring"

    def shell(self) -> str:
        return "keyctl session - bash"

    def syscalls(self) -> tuple[str, ...]:
        return ("keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)",)


@dataclass(frozen=True, kw_only=True)
class NoNewPrivileges(Step):
    """Gain nothing any more by executing a program, PR_SET_NO_NEW_PRIVS of prctl(2)."""

    name: ClassVar[str] = "no-new-privs"

    def shell(self) -> str:
        return "exec setpriv --no-new-privs bash"

    def syscalls(self) -> tuple[str, ...]:
        return ("prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)",)


@dataclass(frozen=True, kw_only=True)
class BoundCapabilities(Step):
    """Empty the bounding set, so that no program gives back what is dropped, capabilities(7)."""

    name: ClassVar[str] = "cap-bound"

    def shell(self) -> str:
        # By itself it takes from bash, by execve(2), what the steps to come need.
        return "# on the line with cap-drop"

    def syscalls(self) -> tuple[str, ...]:
        return ("prctl(PR_CAPBSET_DROP, ...)",)


@dataclass(frozen=True, kw_only=True)
class DropCapabilities(Step):
    """Empty every other set of capabilities, capabilities(7)."""

    name: ClassVar[str] = "cap-drop"

    def shell(self) -> str:
        return "exec setpriv --bounding-set -all --ambient-caps -all --inh-caps -all bash"

    def syscalls(self) -> tuple[str, ...]:
        version = "version=_LINUX_CAPABILITY_VERSION_3"
        return (
            "prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)",
            f"capset({{{version}, pid=0}}, {{effective=0, permitted=0, inheritable=0}})",
        )


@dataclass(frozen=True, kw_only=True)
class Seccomp(Step):
    """Let a filter refuse system calls from now on, in this process and its children, seccomp(2).

    `refused` are their names, for whoever reads it, `program` is the filter itself.
    """

    name: ClassVar[str] = "seccomp"
    refused: tuple[str, ...]
    program: tuple[Instruction, ...]

    def shell(self) -> str:
        return (
            "# setpriv --seccomp-filter FILE, where util-linux is new enough, with a filter that "
            f"refuses {' '.join(self.refused)}"
        )

    def syscalls(self) -> tuple[str, ...]:
        size = f"len={len(self.program)}"
        return (f"prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, {{{size}, filter=...}})",)
