"""Steps that make namespaces, fill in their maps and clocks, and keep them."""
# ruff: noqa: D102  (what shell() and syscalls() return is said once, in Step)

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nsmagic.wish.isolation import IdMap
from nsmagic.wish.namespaces import BY_NAME
from nsmagic.wish.steps.base import Step, execve_call, quoted, write_call


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
        return (write_call("/proc/self/setgroups", self.policy),)


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
        return (write_call(f"/proc/self/{self.kind}_map", self.text),)


@dataclass(frozen=True, kw_only=True)
class MapIdsOutside(MapIds):
    """Write uid_map or gid_map from the parent user namespace, whose CAP_SETUID allows ranges."""

    outside: ClassVar[bool] = True

    def syscalls(self) -> tuple[str, ...]:
        return (write_call(f"/proc/PID/{self.kind}_map", self.text),)


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
        return (execve_call(self.argv("PID")),)


@dataclass(frozen=True, kw_only=True)
class Persist(Step):
    """Keep a namespace alive by a bind mount of its /proc link on a file, namespaces(7)."""

    name: ClassVar[str] = "persist"
    outside: ClassVar[bool] = True
    _options: ClassVar[tuple[str, ...]] = ("persist",)
    link: str
    file: str

    def syscalls(self) -> tuple[str, ...]:
        return (f'mount("/proc/PID/ns/{self.link}", {quoted(self.file)}, NULL, MS_BIND, NULL)',)


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
        return (write_call("/proc/self/timens_offsets", f"{self.clock} {self.seconds} 0"),)
