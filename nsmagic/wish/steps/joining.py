"""Steps that go into what exists: namespaces, root and working directory, ids, environment."""
# ruff: noqa: D102  (what shell() and syscalls() return is said once, in Step)

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nsmagic.wish.namespaces import BY_NAME, NAMESPACES
from nsmagic.wish.steps.base import Step, quoted

_BY_NSENTER = "# nsenter(1) does it"


@dataclass(frozen=True, kw_only=True)
class Hold(Step):
    """Open a file or directory while its path still means what it means outside."""

    name: ClassVar[str] = "open"
    path: str

    @property
    def label(self) -> str:
        """What is opened."""
        return f"open {self.path}"

    def shell(self) -> str:
        return _BY_NSENTER

    def syscalls(self) -> tuple[str, ...]:
        return (f"openat(AT_FDCWD, {quoted(self.path)}, O_RDONLY|O_CLOEXEC)",)


@dataclass(frozen=True, kw_only=True)
class Join(Step):
    """setns(2) into namespaces of the process `pid`, at once by pidfd (Linux 5.8), and of files.

    `start` is when that process started, proc_pid_stat(5): a later one with its PID is not entered.
    `words` are those of nsenter(1), `other_root` tells that the mount namespace has, or may have,
    another root than ours.  A PID of 0 is not known yet.
    """

    name: ClassVar[str] = "setns"
    pid: int = 0
    start: int = 0
    types: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    words: str = ""
    other_root: bool = False

    @property
    def entered(self) -> frozenset[str]:
        """The types of all namespaces that are joined."""
        return frozenset(self.types) | {name for name, _ in self.files}

    def shell(self) -> str:
        return f"nsenter {self.words} bash"

    def syscalls(self) -> tuple[str, ...]:
        calls = []
        if self.types:
            rows = sorted((BY_NAME[name] for name in self.types), key=lambda row: row.flag)
            flags = "|".join(row.clone_flag for row in rows)
            calls += [f"pidfd_open({self.pid or 'PID'}, 0)", f"setns(FD<pidfd>, {flags})"]
        for name, file in self.files:
            calls.append(f"setns(FD<{file}>, {BY_NAME[name].clone_flag})")
        return tuple(calls) or ("(none: no namespace is named)",)

    def in_two_passes(self) -> tuple[tuple[str, str], ...]:
        """Return type and file of each namespace, the user namespace last, as nsenter(1) tries."""
        paths = {name: f"/proc/{self.pid}/ns/{name}" for name in self.types} | dict(self.files)
        return tuple(
            (row.name, paths[row.name])
            for row in sorted(NAMESPACES, key=lambda row: row.name == "user")
            if row.name in paths
        )


@dataclass(frozen=True, kw_only=True)
class JoinRoot(Step):
    """Make a directory that was opened before the root, chroot(2); the working directory stays."""

    name: ClassVar[str] = "root"
    root: str
    keep_wd: bool = True

    def shell(self) -> str:
        return _BY_NSENTER

    def syscalls(self) -> tuple[str, ...]:
        calls = (f"fchdir(FD<{self.root}>)", 'chroot(".")')
        return (*calls, "fchdir(FD<.>)") if self.keep_wd else (*calls, 'chdir("/")')


@dataclass(frozen=True, kw_only=True)
class JoinWd(Step):
    """Change to a directory that was opened before."""

    name: ClassVar[str] = "wd"
    wd: str

    def shell(self) -> str:
        return _BY_NSENTER

    def syscalls(self) -> tuple[str, ...]:
        return (f"fchdir(FD<{self.wd}>)",)


@dataclass(frozen=True, kw_only=True)
class Return(Step):
    """Go back to the notebook's directory where there is one by that name, else stay in /.

    setns(2) of a mount namespace leaves one in its root directory.
    """

    name: ClassVar[str] = "chdir"
    wd: str

    def shell(self) -> str:
        return f"cd {quoted(self.wd)}"

    def syscalls(self) -> tuple[str, ...]:
        return (f"chdir({quoted(self.wd)})",)


@dataclass(frozen=True, kw_only=True)
class TakeEnvironment(Step):
    """Take the environment that another process was started with, proc_pid_environ(5)."""

    name: ClassVar[str] = "env"
    file: str

    def shell(self) -> str:
        return _BY_NSENTER

    def syscalls(self) -> tuple[str, ...]:
        return (f"read(FD<{self.file}>, ...)",)


@dataclass(frozen=True, kw_only=True)
class DropGroups(Step):
    """Leave all supplementary groups, before a user namespace that may forbid it."""

    name: ClassVar[str] = "setgroups"

    def shell(self) -> str:
        return _BY_NSENTER

    def syscalls(self) -> tuple[str, ...]:
        return ("setgroups(0, [])",)


@dataclass(frozen=True, kw_only=True)
class TakeIds(Step):
    """Become these ids as the joined user namespace numbers them; None leaves one as it is.

    `groups` says whether setgroups(2), which comes first with a gid, must work.
    """

    name: ClassVar[str] = "ids"
    uid: int | None = None
    gid: int | None = None
    groups: bool = True

    def shell(self) -> str:
        return _BY_NSENTER

    def syscalls(self) -> tuple[str, ...]:
        gid = () if self.gid is None else ("setgroups(0, [])", f"setgid({self.gid})")
        uid = () if self.uid is None else (f"setuid({self.uid})",)
        return (*gid, *uid)


@dataclass(frozen=True, kw_only=True)
class KeepBox(Step):
    """Stay as the init of a box: keep its namespaces, reap, end it on SIGTERM."""

    name: ClassVar[str] = "box"
    box: str

    def shell(self) -> str:
        return "exec sleep infinity   # nsmagic's init also reaps, and ends the box on SIGTERM"

    def syscalls(self) -> tuple[str, ...]:
        return ("rt_sigtimedwait([HUP INT QUIT TERM CHLD], ...)",)
