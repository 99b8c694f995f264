"""Steps about the process itself: forks, ids, capabilities, environment and program."""
# ruff: noqa: D102  (what shell() and syscalls() return is said once, in Step)

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import ClassVar

from nsmagic.wish.steps.base import Step, execve_call
from nsmagic.wish.steps.cgroups import enter_line


@dataclass(frozen=True, kw_only=True)
class Fork(Step):
    """Make the process that lives in the new PID or time namespace and in the cell's cgroup.

    `keep`: the process that forked stays as child subreaper and ends the cell's whole tree, where
    neither a PID namespace nor a cgroup does; otherwise it vanishes.  `share_memory`: see
    `nsmagic.linux.syscalls.take_over`.
    """

    name: ClassVar[str] = "clone"
    _options: ClassVar[tuple[str, ...]] = ("fork",)
    keep: bool = False
    share_memory: bool = True
    cgroup: str | None = None

    def shell(self) -> str:
        return "bash" if self.cgroup is None else enter_line(self.cgroup)

    def syscalls(self) -> tuple[str, ...]:
        if self.keep:
            reaper = "prctl(PR_SET_CHILD_SUBREAPER, 1)"
            return (reaper, "clone(child_stack=NULL, flags=SIGCHLD)")
        flags = "CLONE_PARENT"
        if self.share_memory:
            flags = "CLONE_VM|CLONE_VFORK|CLONE_PARENT|CLONE_PARENT_SETTID"
        if self.cgroup is None:
            return (f"clone(child_stack=NULL, flags={flags}|SIGCHLD)",)
        return (f"clone3({{flags={flags}|CLONE_INTO_CGROUP, cgroup=FD}})",)


@dataclass(frozen=True, kw_only=True)
class SetGid(Step):
    """setgid(2) after dropping the supplementary groups, as unshare(1) does."""

    name: ClassVar[str] = "setgid"
    _options: ClassVar[tuple[str, ...]] = ("setgid",)
    gid: int

    def shell(self) -> str:
        return f"setpriv --regid {self.gid} --clear-groups bash"

    def syscalls(self) -> tuple[str, ...]:
        return ("setgroups(0, [])", f"setgid({self.gid})")


@dataclass(frozen=True, kw_only=True)
class SetUid(Step):
    """setuid(2)."""

    name: ClassVar[str] = "setuid"
    _options: ClassVar[tuple[str, ...]] = ("setuid",)
    uid: int

    def shell(self) -> str:
        return f"setpriv --reuid {self.uid} bash"

    def syscalls(self) -> tuple[str, ...]:
        return (f"setuid({self.uid})",)


@dataclass(frozen=True, kw_only=True)
class KeepCaps(Step):
    """Make the capabilities gained in the user namespace ambient, capabilities(7)."""

    name: ClassVar[str] = "keep-caps"
    _options: ClassVar[tuple[str, ...]] = ("keep_caps",)

    def shell(self) -> str:
        return "setpriv --inh-caps +all --ambient-caps +all bash"

    def syscalls(self) -> tuple[str, ...]:
        return (
            "capset({version=_LINUX_CAPABILITY_VERSION_3, pid=0}, ...)",
            "prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, ...)",
        )


@dataclass(frozen=True, kw_only=True)
class ClearEnvironment(Step):
    """Start from an empty environment but for the names kept, unshare(1) --clear-env."""

    name: ClassVar[str] = "clear-env"
    keep: tuple[str, ...] = ()

    def shell(self) -> str:
        kept = "".join(f' {name}="${name}"' for name in self.keep)
        return f"exec env -i{kept} bash"

    def syscalls(self) -> tuple[str, ...]:
        return ("(none: the environment is the process's own memory)",)


@dataclass(frozen=True, kw_only=True)
class Init(Step):
    """Stay as PID 1 that reaps and forwards signals, and go on as its child, PID 2."""

    name: ClassVar[str] = "init"

    def shell(self) -> str:
        return "bash   # the shell before stays PID 1 and reaps"

    def syscalls(self) -> tuple[str, ...]:
        return ("clone(child_stack=NULL, flags=SIGCHLD)",)


@dataclass(frozen=True, kw_only=True)
class Exec(Step):
    """execve(2) of the program; the cell's text is its standard input."""

    name: ClassVar[str] = "execve"
    argv: tuple[str, ...]

    def shell(self) -> str:
        return f"exec {shlex.join(self.argv)}"

    def syscalls(self) -> tuple[str, ...]:
        return (execve_call(self.argv),)


@dataclass(frozen=True, kw_only=True)
class RunPython(Step):
    """Run the cell's Python in this forked copy of the notebook's kernel."""

    name: ClassVar[str] = "python"

    def shell(self) -> str:
        return "python3   # without the notebook's variables"

    def syscalls(self) -> tuple[str, ...]:
        return ("(none: the forked copy of the notebook goes on)",)
