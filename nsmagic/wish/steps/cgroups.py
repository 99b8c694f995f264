"""Steps about the cgroup of a cell: make it, limit it, go into it, cgroups(7)."""
# ruff: noqa: D102  (what shell() and syscalls() return is said once, in Step)

from __future__ import annotations

import posixpath
import shlex
from dataclasses import dataclass
from typing import ClassVar

from nsmagic.wish.steps.base import Step, quoted, write_call


@dataclass(frozen=True, kw_only=True)
class MakeCgroup(Step):
    """mkdir(2) of a group; on cgroup v1 there is one for each hierarchy."""

    name: ClassVar[str] = "mkdir"
    ahead: ClassVar[bool] = True
    cgroup: str

    def shell(self) -> str:
        return f"mkdir -p {shlex.quote(self.cgroup)}"

    def syscalls(self) -> tuple[str, ...]:
        return (f"mkdir({quoted(self.cgroup)}, 0777)",)


@dataclass(frozen=True, kw_only=True)
class SetLimit(Step):
    """Write a limit into a file of a group; `key` is its short name, or empty for what it needs."""

    name: ClassVar[str] = "limit"
    ahead: ClassVar[bool] = True
    file: str
    text: str
    key: str = ""

    @property
    def label(self) -> str:
        """The name of the file, as it is in no other step."""
        return posixpath.basename(self.file)

    @property
    def cgroup(self) -> str:
        """The directory that the file is in."""
        return posixpath.dirname(self.file)

    def shell(self) -> str:
        return f"echo {shlex.quote(self.text)} > {shlex.quote(self.file)}"

    def syscalls(self) -> tuple[str, ...]:
        return (write_call(self.file, self.text),)


def enter_line(cgroup: str) -> str:
    """Return what a shell types to move itself into a group, made if it is not there."""
    directory = shlex.quote(cgroup)
    return f"mkdir -p {directory} && echo 0 > {directory}/cgroup.procs"


@dataclass(frozen=True, kw_only=True)
class EnterCgroup(Step):
    """Move into a cgroup by one of its files, cgroups(7).

    `cgroup.procs` takes 2 to 15 ms, because Linux waits until no thread forks or ends anywhere.
    Into `tasks`, which only v1 has, a thread moves itself alone, in 20 us: enough for a process
    that has no other.  clone3(2) into a group of v2 is as fast.
    """

    name: ClassVar[str] = "cgroup"
    cgroup: str
    file: str = "cgroup.procs"

    def shell(self) -> str:
        if self.file == "cgroup.procs":
            return enter_line(self.cgroup)
        return f"echo 0 > {shlex.quote(f'{self.cgroup}/{self.file}')}"

    def syscalls(self) -> tuple[str, ...]:
        return (write_call(f"{self.cgroup}/{self.file}", "0"),)
