"""The steps that a plan is made of: frozen data that can describe itself, in shell and system call.

`nsmagic.run.perform` does them; `nsmagic.wish.hints` explains them when Linux says no.
"""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from nsmagic.wish.isolation import IdMap
from nsmagic.wish.namespaces import BY_NAME, clone_flag_names


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to do to the system.  `outside` steps are done by our parent, to the child's PID."""

    name: ClassVar[str]
    outside: ClassVar[bool] = False

    def shell(self) -> str:
        """Return what to type into a root shell for the same effect."""
        raise TypeError(f"{type(self).__name__} does not say its shell command")

    def syscall(self) -> str:
        """Return the system call with its arguments, as strace(1) would print it."""
        raise TypeError(f"{type(self).__name__} does not say its system call")


@dataclass(frozen=True, kw_only=True)
class SetOwner(Step):
    """Become the ids that shall own the new user namespace, unshare(1) --owner."""

    name: ClassVar[str] = "owner"
    uid: int
    gid: int

    def shell(self) -> str:
        return f"setpriv --regid {self.gid} --clear-groups --reuid {self.uid} bash"

    def syscall(self) -> str:
        return f"setgroups(0, NULL), setgid({self.gid}), setuid({self.uid})"


@dataclass(frozen=True, kw_only=True)
class Unshare(Step):
    """unshare(2): leave the namespaces of the given types for new ones."""

    name: ClassVar[str] = "unshare"
    types: tuple[str, ...]
    fork: bool = False

    def shell(self) -> str:
        options = " ".join("--" + BY_NAME[name].option for name in self.types)
        # A shell cannot write its own map later than its first fork, hence --propagation here.
        extra = " --propagation unchanged" if "mnt" in self.types else ""
        return f"unshare {options}{' --fork' if self.fork else ''}{extra} bash"

    def syscall(self) -> str:
        return f"unshare({clone_flag_names(frozenset(self.types))})"


@dataclass(frozen=True, kw_only=True)
class SetGroups(Step):
    """Allow or deny setgroups(2) in the new user namespace, user_namespaces(7)."""

    name: ClassVar[str] = "setgroups"
    policy: str

    def shell(self) -> str:
        return f"echo {self.policy} > /proc/$$/setgroups"

    def syscall(self) -> str:
        return f'write("/proc/self/setgroups", "{self.policy}")'


@dataclass(frozen=True, kw_only=True)
class MapIds(Step):
    """Write uid_map or gid_map from inside: one line for one's own id, user_namespaces(7)."""

    name: ClassVar[str] = "map"
    kind: str
    maps: tuple[IdMap, ...]

    @property
    def text(self) -> str:
        return "\n".join(map(str, self.maps))

    def shell(self) -> str:
        return f"echo {shlex.quote(self.text)} > /proc/$$/{self.kind}_map"

    def syscall(self) -> str:
        return f'write("/proc/self/{self.kind}_map", "{self.text}")'


@dataclass(frozen=True, kw_only=True)
class MapIdsOutside(MapIds):
    """Write uid_map or gid_map from the parent user namespace, whose CAP_SETUID allows ranges."""

    outside: ClassVar[bool] = True

    def shell(self) -> str:
        return f"echo {shlex.quote(self.text)} > /proc/PID/{self.kind}_map   # from outside"

    def syscall(self) -> str:
        return f'write("/proc/PID/{self.kind}_map", "{self.text}")'


@dataclass(frozen=True, kw_only=True)
class MapIdsByHelper(MapIds):
    """Ask newuidmap(1) or newgidmap(1), which may write ranges of /etc/subuid and /etc/subgid."""

    name: ClassVar[str] = "newidmap"
    outside: ClassVar[bool] = True

    def argv(self, pid: int | str) -> list[str]:
        words = [w for m in self.maps for w in str(m).split()]
        return [f"new{self.kind}map", str(pid), *words]

    def shell(self) -> str:
        return " ".join(self.argv("PID")) + "   # from outside"

    def syscall(self) -> str:
        return f'execve("{self.argv("PID")[0]}", ...)'


@dataclass(frozen=True, kw_only=True)
class Persist(Step):
    """Keep a namespace alive by a bind mount of its /proc link on a file, namespaces(7)."""

    name: ClassVar[str] = "persist"
    outside: ClassVar[bool] = True
    link: str
    file: str

    def shell(self) -> str:
        file = shlex.quote(self.file)
        return f"touch {file}; mount --bind /proc/PID/ns/{self.link} {file}   # from outside"

    def syscall(self) -> str:
        return f'mount("/proc/PID/ns/{self.link}", "{self.file}", NULL, MS_BIND, NULL)'


@dataclass(frozen=True, kw_only=True)
class SetClock(Step):
    """Write an offset of the new time namespace before its first process, time_namespaces(7)."""

    name: ClassVar[str] = "timens_offsets"
    clock: str
    seconds: int

    def shell(self) -> str:
        return f"echo {self.clock} {self.seconds} 0 > /proc/$$/timens_offsets"

    def syscall(self) -> str:
        return f'write("/proc/self/timens_offsets", "{self.clock} {self.seconds} 0")'


@dataclass(frozen=True, kw_only=True)
class EnterCgroup(Step):
    """Move into a cgroup by cgroup.procs, cgroups(7): milliseconds, where clone3 takes none."""

    name: ClassVar[str] = "cgroup"
    cgroup: str

    def shell(self) -> str:
        return f"echo $$ > {shlex.quote(self.cgroup)}/cgroup.procs"

    def syscall(self) -> str:
        return f'write("{self.cgroup}/cgroup.procs", "0")'


@dataclass(frozen=True, kw_only=True)
class Fork(Step):
    """Make the process that lives in the new PID or time namespace and in the cell's cgroup.

    `keep`: the process that forked stays as child subreaper and ends the cell's whole tree, where
    neither a PID namespace nor a cgroup does; otherwise it vanishes.  `share_memory`: see
    `nsmagic.linux.syscalls.take_over`.
    """

    name: ClassVar[str] = "clone"
    keep: bool = False
    share_memory: bool = True
    cgroup: str | None = None

    def shell(self) -> str:
        if self.cgroup is None:
            return ":   # done by unshare --fork"
        return f"echo $$ > {shlex.quote(self.cgroup)}/cgroup.procs"

    def syscall(self) -> str:
        if self.keep:
            return "prctl(PR_SET_CHILD_SUBREAPER, 1), clone(SIGCHLD)"
        flags = ["CLONE_PARENT"]
        if self.share_memory:
            flags += ["CLONE_VM", "CLONE_VFORK"]
        if self.cgroup is not None:
            flags.append("CLONE_INTO_CGROUP")
        return f"clone{'3' if self.cgroup else ''}({'|'.join(flags)})"


@dataclass(frozen=True, kw_only=True)
class Propagate(Step):
    """Set the propagation of every mount in the new mount namespace, mount_namespaces(7)."""

    name: ClassVar[str] = "propagation"
    kind: str

    def shell(self) -> str:
        return f"mount --make-r{self.kind} /"

    def syscall(self) -> str:
        return f'mount("none", "/", NULL, MS_REC|MS_{self.kind.upper()}, NULL)'


@dataclass(frozen=True, kw_only=True)
class MountProc(Step):
    """Mount a fresh proc(5), which shows the PID namespace of its mounter."""

    name: ClassVar[str] = "proc"
    target: str
    make_private: bool = False

    def shell(self) -> str:
        target = shlex.quote(self.target)
        return f"mount -t proc -o nosuid,noexec,nodev proc {target}"

    def syscall(self) -> str:
        return f'mount("proc", "{self.target}", "proc", MS_NOSUID|MS_NOEXEC|MS_NODEV, NULL)'


@dataclass(frozen=True, kw_only=True)
class MountBinfmt(Step):
    """Mount a binfmt_misc of the new user namespace (Linux 6.7)."""

    name: ClassVar[str] = "binfmt_misc"
    target: str

    def shell(self) -> str:
        return f"mount -t binfmt_misc -o nosuid,noexec,nodev binfmt_misc {shlex.quote(self.target)}"

    def syscall(self) -> str:
        flags = "MS_NOSUID|MS_NOEXEC|MS_NODEV"
        return f'mount("binfmt_misc", "{self.target}", "binfmt_misc", {flags}, NULL)'


@dataclass(frozen=True, kw_only=True)
class LoadInterpreter(Step):
    """Register an interpreter with the new binfmt_misc."""

    name: ClassVar[str] = "load-interp"
    target: str
    line: str

    def shell(self) -> str:
        return f"echo {shlex.quote(self.line)} > {shlex.quote(self.target)}/register"

    def syscall(self) -> str:
        return f'write("{self.target}/register", "{self.line}")'


@dataclass(frozen=True, kw_only=True)
class Chroot(Step):
    """chroot(2) and then chdir("/"), so that no working directory stays outside."""

    name: ClassVar[str] = "chroot"
    root: str

    def shell(self) -> str:
        return f"chroot {shlex.quote(self.root)} bash"

    def syscall(self) -> str:
        return f'chroot("{self.root}"), chdir("/")'


@dataclass(frozen=True, kw_only=True)
class Chdir(Step):
    """chdir(2)."""

    name: ClassVar[str] = "chdir"
    wd: str

    def shell(self) -> str:
        return f"cd {shlex.quote(self.wd)}"

    def syscall(self) -> str:
        return f'chdir("{self.wd}")'


@dataclass(frozen=True, kw_only=True)
class SetGid(Step):
    """setgid(2) after dropping the supplementary groups, as unshare(1) does."""

    name: ClassVar[str] = "setgid"
    gid: int

    def shell(self) -> str:
        return f"setpriv --regid {self.gid} --clear-groups bash"

    def syscall(self) -> str:
        return f"setgroups(0, NULL), setgid({self.gid})"


@dataclass(frozen=True, kw_only=True)
class SetUid(Step):
    """setuid(2)."""

    name: ClassVar[str] = "setuid"
    uid: int

    def shell(self) -> str:
        return f"setpriv --reuid {self.uid} bash"

    def syscall(self) -> str:
        return f"setuid({self.uid})"


@dataclass(frozen=True, kw_only=True)
class KeepCaps(Step):
    """Make the capabilities gained in the user namespace ambient, capabilities(7)."""

    name: ClassVar[str] = "keep-caps"

    def shell(self) -> str:
        return "setpriv --inh-caps +all --ambient-caps +all bash"

    def syscall(self) -> str:
        return "capset(), prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, ...)"


@dataclass(frozen=True, kw_only=True)
class ClearEnvironment(Step):
    """Start from an empty environment but for the names kept, unshare(1) --clear-env."""

    name: ClassVar[str] = "clear-env"
    keep: tuple[str, ...] = ()

    def shell(self) -> str:
        kept = "".join(f' {name}="${name}"' for name in self.keep)
        return f"exec env -i{kept} bash"

    def syscall(self) -> str:
        return "clearenv()"


@dataclass(frozen=True, kw_only=True)
class Exec(Step):
    """execve(2) of the program; the cell's text is its standard input."""

    name: ClassVar[str] = "execve"
    argv: tuple[str, ...]

    def shell(self) -> str:
        return f"exec {shlex.join(self.argv)}"

    def syscall(self) -> str:
        words = ", ".join(f'"{word}"' for word in self.argv)
        return f'execve("{self.argv[0]}", [{words}])'


@dataclass(frozen=True, kw_only=True)
class RunPython(Step):
    """Run the cell's Python in this forked copy of the notebook's kernel."""

    name: ClassVar[str] = "python"

    def shell(self) -> str:
        return "python3   # the notebook's variables have no equivalent in a shell"

    def syscall(self) -> str:
        return "(no system call: the forked copy goes on)"


STEPS: dict[str, type[Step]] = {
    cls.__name__: cls
    for cls in (
        SetOwner, Unshare, SetGroups, MapIds, MapIdsOutside, MapIdsByHelper, Persist, SetClock,
        EnterCgroup, Fork, Propagate, MountProc, MountBinfmt, LoadInterpreter, Chroot, Chdir, SetGid, SetUid,
        KeepCaps, ClearEnvironment, Exec, RunPython,
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


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
