"""The steps that a plan is made of: frozen data that can describe itself, in shell and system call.

`nsmagic.run.perform` does them; `nsmagic.wish.hints` explains them when Linux says no;
`nsmagic.wish.paste` makes a script of their shell lines.
"""
# ruff: noqa: D102  (what shell() and syscalls() return is said once, in Step)

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from nsmagic.wish.isolation import IdMap
from nsmagic.wish.namespaces import BY_NAME


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to do to the system.  `outside` steps are done by our parent to the child's PID."""

    name: ClassVar[str]
    outside: ClassVar[bool] = False
    _options: ClassVar[tuple[str, ...]] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """The fields of Isolation by which unshare(1) does the same."""
        return self._options

    @property
    def label(self) -> str:
        """What a table calls the step: its name, more exact where the name stands for several."""
        return self.name

    def shell(self) -> str:
        """Return what to type into a root shell for the same effect on that shell.

        Empty where nothing typed there has it: unshare(1) must do it, before it starts the shell.
        """
        return ""

    def syscalls(self) -> tuple[str, ...]:
        """Return the system calls as `strace -y` prints them, with FD, PID and ENV for what varies.

        Parentheses around the whole mean that there is none, and why.
        """
        raise TypeError(f"{type(self).__name__} does not say its system calls")

    def syscall(self) -> str:
        """Return all the system calls in one line."""
        return ", ".join(self.syscalls())


def _string(text: str) -> str:
    """Return `text` as a C string, as strace(1) quotes it."""
    escapes = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\t": r"\t"}
    return '"' + "".join(escapes.get(char, char) for char in text) + '"'


def _write(path: str, text: str) -> str:
    return f"write(FD<{path}>, {_string(text)}, {len(text.encode())})"


def _enter(cgroup: str) -> str:
    directory = shlex.quote(cgroup)
    return f"mkdir -p {directory} && echo 0 > {directory}/cgroup.procs"


@dataclass(frozen=True, kw_only=True)
class SetOwner(Step):
    """Become the ids that shall own the new user namespace, unshare(1) --owner."""

    name: ClassVar[str] = "owner"
    _options: ClassVar[tuple[str, ...]] = ("owner",)
    uid: int
    gid: int

    def syscalls(self) -> tuple[str, ...]:
        return ("setgroups(0, [])", f"setgid({self.gid})", f"setuid({self.uid})")


@dataclass(frozen=True, kw_only=True)
class Unshare(Step):
    """unshare(2): leave the namespaces of the given types for new ones."""

    name: ClassVar[str] = "unshare"
    _options: ClassVar[tuple[str, ...]] = ("namespaces", "persist", "fork")
    types: tuple[str, ...]
    fork: bool = False

    def syscalls(self) -> tuple[str, ...]:
        rows = sorted((BY_NAME[name] for name in self.types), key=lambda row: row.flag)
        return (f"unshare({'|'.join(row.clone_flag for row in rows)})",)


_OWN_ID_MAPS = ("map_root_user", "map_current_user")


@dataclass(frozen=True, kw_only=True)
class SetGroups(Step):
    """Allow or deny setgroups(2) in the new user namespace, user_namespaces(7)."""

    name: ClassVar[str] = "setgroups"
    _options: ClassVar[tuple[str, ...]] = ("setgroups", *_OWN_ID_MAPS, "map_group")
    policy: str

    def syscalls(self) -> tuple[str, ...]:
        return (_write("/proc/self/setgroups", self.policy),)


@dataclass(frozen=True, kw_only=True)
class MapIds(Step):
    """Write uid_map or gid_map from inside: one line for one's own id, user_namespaces(7)."""

    name: ClassVar[str] = "map"
    kind: str
    maps: tuple[IdMap, ...]

    @property
    def options(self) -> tuple[str, ...]:
        """Those that map one's own id, and those of the kind."""
        whose = {"uid": "user", "gid": "group"}[self.kind]
        return (*_OWN_ID_MAPS, f"map_{whose}", f"map_{whose}s")

    @property
    def label(self) -> str:
        """The name of the file."""
        return f"{self.kind}_map"

    @property
    def text(self) -> str:
        """What is written into the file."""
        return "\n".join(map(str, self.maps))

    def syscalls(self) -> tuple[str, ...]:
        return (_write(f"/proc/self/{self.kind}_map", self.text),)


@dataclass(frozen=True, kw_only=True)
class MapIdsOutside(MapIds):
    """Write uid_map or gid_map from the parent user namespace, whose CAP_SETUID allows ranges."""

    outside: ClassVar[bool] = True

    def syscalls(self) -> tuple[str, ...]:
        return (_write(f"/proc/PID/{self.kind}_map", self.text),)


@dataclass(frozen=True, kw_only=True)
class MapIdsByHelper(MapIds):
    """Ask newuidmap(1) or newgidmap(1), which may write ranges of /etc/subuid and /etc/subgid."""

    name: ClassVar[str] = "newidmap"
    outside: ClassVar[bool] = True

    def argv(self, pid: int | str) -> list[str]:
        """Return the helper's words for the child `pid`."""
        words = [w for m in self.maps for w in str(m).split()]
        return [f"new{self.kind}map", str(pid), *words]

    def syscalls(self) -> tuple[str, ...]:
        return (_execve(self.argv("PID")),)


@dataclass(frozen=True, kw_only=True)
class Persist(Step):
    """Keep a namespace alive by a bind mount of its /proc link on a file, namespaces(7)."""

    name: ClassVar[str] = "persist"
    outside: ClassVar[bool] = True
    _options: ClassVar[tuple[str, ...]] = ("persist",)
    link: str
    file: str

    def syscalls(self) -> tuple[str, ...]:
        return (f'mount("/proc/PID/ns/{self.link}", {_string(self.file)}, NULL, MS_BIND, NULL)',)


@dataclass(frozen=True, kw_only=True)
class SetClock(Step):
    """Write an offset of the new time namespace before its first process, time_namespaces(7)."""

    name: ClassVar[str] = "timens_offsets"
    clock: str
    seconds: int

    @property
    def options(self) -> tuple[str, ...]:
        """The option named like the clock."""
        return (self.clock,)

    def syscalls(self) -> tuple[str, ...]:
        return (_write("/proc/self/timens_offsets", f"{self.clock} {self.seconds} 0"),)


@dataclass(frozen=True, kw_only=True)
class EnterCgroup(Step):
    """Move into a cgroup by cgroup.procs, cgroups(7): milliseconds, where clone3 takes none."""

    name: ClassVar[str] = "cgroup"
    cgroup: str

    def shell(self) -> str:
        return _enter(self.cgroup)

    def syscalls(self) -> tuple[str, ...]:
        return (_write(f"{self.cgroup}/cgroup.procs", "0"),)


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
        return "bash" if self.cgroup is None else _enter(self.cgroup)

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
    return f'mount("{kind}", {_string(target)}, "{kind}", {flags}, NULL)'


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
        private = f'mount("none", {_string(self.target)}, NULL, MS_REC|MS_PRIVATE, NULL)'
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
        return (_write(f"{self.target}/register", self.line),)


@dataclass(frozen=True, kw_only=True)
class Chroot(Step):
    """chroot(2) and then chdir("/"), so that no working directory stays outside."""

    name: ClassVar[str] = "chroot"
    _options: ClassVar[tuple[str, ...]] = ("root",)
    root: str

    def shell(self) -> str:
        return f"chroot {shlex.quote(self.root)} bash"

    def syscalls(self) -> tuple[str, ...]:
        return (f"chroot({_string(self.root)})", 'chdir("/")')


@dataclass(frozen=True, kw_only=True)
class Chdir(Step):
    """chdir(2)."""

    name: ClassVar[str] = "chdir"
    wd: str

    def shell(self) -> str:
        return f"cd {shlex.quote(self.wd)}"

    def syscalls(self) -> tuple[str, ...]:
        return (f"chdir({_string(self.wd)})",)


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


def _execve(argv: Sequence[str]) -> str:
    # A bare name is looked for along PATH; which try succeeds is known only when it is run.
    path = argv[0] if "/" in argv[0] else f".../{argv[0]}"
    return f"execve({_string(path)}, [{', '.join(map(_string, argv))}], ENV)"


@dataclass(frozen=True, kw_only=True)
class Exec(Step):
    """execve(2) of the program; the cell's text is its standard input."""

    name: ClassVar[str] = "execve"
    argv: tuple[str, ...]

    def shell(self) -> str:
        return f"exec {shlex.join(self.argv)}"

    def syscalls(self) -> tuple[str, ...]:
        return (_execve(self.argv),)


@dataclass(frozen=True, kw_only=True)
class RunPython(Step):
    """Run the cell's Python in this forked copy of the notebook's kernel."""

    name: ClassVar[str] = "python"

    def shell(self) -> str:
        return "python3   # without the notebook's variables"

    def syscalls(self) -> tuple[str, ...]:
        return ("(none: the forked copy of the notebook goes on)",)


STEPS: dict[str, type[Step]] = {
    cls.__name__: cls
    for cls in (
        SetOwner, Unshare, SetGroups, MapIds, MapIdsOutside, MapIdsByHelper, Persist, SetClock,
        EnterCgroup, Fork, Propagate, MountProc, MountBinfmt, LoadInterpreter, Chroot, Chdir,
        SetGid, SetUid, KeepCaps, ClearEnvironment, Init, Exec, RunPython,
    )
}  # fmt: skip


def to_json(step: Step) -> dict[str, Any]:
    """Return the step as plain data for the spawner's protocol."""
    return {"step": type(step).__name__, **asdict(step)}


def from_json(data: dict[str, Any]) -> Step:
    """Return the step that `to_json` described; KeyError or TypeError where it is none."""
    fields = {key: _frozen(value) for key, value in data.items() if key != "step"}
    if "maps" in fields:
        fields["maps"] = tuple(IdMap(**entry) for entry in data["maps"])
    return STEPS[data["step"]](**fields)


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
