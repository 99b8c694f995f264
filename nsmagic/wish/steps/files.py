"""Steps that change what the cell sees of the file system: mounts, root, working directory."""
# ruff: noqa: D102  (what shell() and syscalls() return is said once, in Step)

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import ClassVar

from nsmagic.wish.steps.base import Step, quoted, write_call


@dataclass(frozen=True, kw_only=True)
class Propagate(Step):
    """Set the propagation of every mount in the new mount namespace, mount_namespaces(7)."""

    name: ClassVar[str] = "propagation"
    _options: ClassVar[tuple[str, ...]] = ("propagation",)
    kind: str

    def shell(self) -> str:
        return f"mount --make-r{self.kind} /"

    def syscalls(self) -> tuple[str, ...]:
        return (f'mount("none", "/", NULL, MS_REC|MS_{self.kind.upper()}, NULL)',)


def _mount(kind: str, target: str) -> str:
    flags = "MS_NOSUID|MS_NODEV|MS_NOEXEC"
    return f'mount("{kind}", {quoted(target)}, "{kind}", {flags}, NULL)'


@dataclass(frozen=True, kw_only=True)
class MountProc(Step):
    """Mount a fresh proc(5), which shows the PID namespace of its mounter."""

    name: ClassVar[str] = "proc"
    _options: ClassVar[tuple[str, ...]] = ("mount_proc",)
    target: str
    make_private: bool = False

    def shell(self) -> str:
        target = shlex.quote(self.target)
        # It fails, as ours does, where there is no mount point yet: then nothing is to be done.
        private = f"mount --make-rprivate {target}; " if self.make_private else ""
        return f"{private}mount -t proc -o nosuid,noexec,nodev proc {target}"

    def syscalls(self) -> tuple[str, ...]:
        private = f'mount("none", {quoted(self.target)}, NULL, MS_REC|MS_PRIVATE, NULL)'
        mount = _mount("proc", self.target)
        return (private, mount) if self.make_private else (mount,)


@dataclass(frozen=True, kw_only=True)
class MountBinfmt(Step):
    """Mount a binfmt_misc of the new user namespace (Linux 6.7)."""

    name: ClassVar[str] = "binfmt_misc"
    _options: ClassVar[tuple[str, ...]] = ("mount_binfmt",)
    target: str

    def shell(self) -> str:
        return f"mount -t binfmt_misc -o nosuid,noexec,nodev binfmt_misc {shlex.quote(self.target)}"

    def syscalls(self) -> tuple[str, ...]:
        return (_mount("binfmt_misc", self.target),)


@dataclass(frozen=True, kw_only=True)
class LoadInterpreter(Step):
    """Register an interpreter with the new binfmt_misc."""

    name: ClassVar[str] = "load-interp"
    _options: ClassVar[tuple[str, ...]] = ("load_interp",)
    target: str
    line: str

    def shell(self) -> str:
        return f"printf %s {shlex.quote(self.line)} > {shlex.quote(self.target)}/register"

    def syscalls(self) -> tuple[str, ...]:
        return (write_call(f"{self.target}/register", self.line),)


@dataclass(frozen=True, kw_only=True)
class Chroot(Step):
    """chroot(2) and then, if `chdir`, chdir("/"), so that no working directory stays outside.

    `words` are options of chroot(1), which later steps follow; `userspec` and `groups` among them.
    """

    name: ClassVar[str] = "chroot"
    _options: ClassVar[tuple[str, ...]] = ("root",)
    root: str
    chdir: bool = True
    words: tuple[str, ...] = ()
    userspec: str | None = None
    groups: str | None = None

    def shell(self) -> str:
        return f"{shlex.join(('chroot', *self.words, self.root))} bash"

    def syscalls(self) -> tuple[str, ...]:
        call = f"chroot({quoted(self.root)})"
        return (call, 'chdir("/")') if self.chdir else (call,)


@dataclass(frozen=True, kw_only=True)
class Chdir(Step):
    """chdir(2)."""

    name: ClassVar[str] = "chdir"
    wd: str

    def shell(self) -> str:
        return f"cd {shlex.quote(self.wd)}"

    def syscalls(self) -> tuple[str, ...]:
        return (f"chdir({quoted(self.wd)})",)
