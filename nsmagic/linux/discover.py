"""Finds the namespaces of this machine: by process, by thread, by bound file, by open descriptor,
and through the ones below them (a parent or an owner may have no process left).

What this user may not see is not there.  A mount namespace is looked into through a process in it,
so files bound in one that has none are not found.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Final

from nsmagic.linux import namespaces as ns
from nsmagic.linux.namespaces import HIERARCHICAL, Links, NamespaceId
from nsmagic.linux.netnsid import NetnsIds
from nsmagic.linux.nsfs import BoundNamespace, file_namespace, read_bound
from nsmagic.linux.processes import Process, read_processes

_OPEN: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """What else than its processes keeps a namespace alive; `str()` is a phrase for people.

    `by` is `thread`, `fd`, `file`, `children` (what the next child of a process will be in),
    `parent` or `owner`; `path` is where the namespace can be opened, or "".
    """

    by: str
    pid: int | None
    what: str
    path: str = ""

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, kw_only=True, slots=True)
class Namespace:
    """One namespace.  `pids` are the processes whose main thread is in it, ascending.

    `parent` and `owner` are None where there is none or it is out of sight; `owner_uid` is for user
    namespaces; `netnsid` for network ones where asked for; `files` are those bound to it in our own
    mount namespace; `serial` is never given to another one (None before Linux 6.18).
    """

    id: NamespaceId
    type: str
    pids: tuple[int, ...] = ()
    holders: tuple[Holder, ...] = ()
    parent: NamespaceId | None = None
    owner: NamespaceId | None = None
    owner_uid: int | None = None
    netnsid: int | None = None
    files: tuple[str, ...] = ()
    serial: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Discovery:
    """All that was found.  `hidden` holds the PIDs of processes that this user may not look at."""

    namespaces: Mapping[NamespaceId, Namespace]
    processes: Mapping[int, Process]
    own: Links
    hidden: frozenset[int]


def discover(proc: str = "/proc", *, netnsids: bool = False) -> Discovery:
    """Look at all processes below `proc` and at what they lead to; `netnsids` costs a socket.

    Raises OSError where `proc` cannot be listed.
    """
    processes = read_processes(proc)
    search = _Search(proc)
    for process in processes.values():
        search.take(process)
    search.take_files()
    with ExitStack() as stack:
        asker = None
        if netnsids:
            with suppress(OSError):  # no AF_NETLINK here: then there are no numbers either
                asker = stack.enter_context(NetnsIds())
        search.relate_all(asker)
    own: Links = {}
    with suppress(OSError):
        own = ns.read_links(f"{proc}/self")
    return Discovery(
        namespaces={found.id: found for found in search.frozen()}, processes=processes, own=own,
        hidden=frozenset(pid for pid, process in processes.items() if process.links is None),
    )  # fmt: skip


@dataclass(kw_only=True, slots=True)
class _Entry:
    """A Namespace while it is being found."""

    id: NamespaceId
    type: str
    pids: list[int] = field(default_factory=list)
    holders: list[Holder] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    parent: NamespaceId | None = None
    owner: NamespaceId | None = None
    owner_uid: int | None = None
    netnsid: int | None = None
    serial: int | None = None


class _Search:
    """Collects namespaces by id."""

    def __init__(self, proc: str) -> None:
        self._proc = proc
        self._found: dict[NamespaceId, _Entry] = {}
        self._netnsids: NetnsIds | None = None

    def take(self, process: Process) -> None:
        """Take in what a process is in and what it holds."""
        pid = process.pid
        for name, found in (process.links or {}).items():
            kind = ns.FOR_CHILDREN.get(name)
            if kind is None:
                self._entry(found, name).pids.append(pid)
            elif (process.links or {}).get(kind) != found:
                path = f"{self._proc}/{pid}/ns/{name}"
                what = f"the next child of PID {pid}"
                self._hold(found, kind, Holder(by="children", pid=pid, what=what, path=path))
        for held in process.held:
            if held.by == "fd":
                what, path = f"open file {held.number} of PID {pid}", f"fd/{held.number}"
            else:
                what = f"thread {held.number} of PID {pid}"
                path = f"task/{held.number}/ns/{held.type}"
            path = f"{self._proc}/{pid}/{path}"
            self._hold(held.id, held.type, Holder(by=held.by, pid=pid, what=what, path=path))

    def _entry(self, found: NamespaceId, kind: str) -> _Entry:
        entry = self._found.get(found)
        if entry is None:
            entry = self._found[found] = _Entry(id=found, type=kind)
        return entry

    def _hold(self, found: NamespaceId, kind: str, holder: Holder) -> None:
        self._entry(found, kind).holders.append(holder)

    def take_files(self) -> None:
        """Take in the files bound in our own mount namespace, then in all others in sight."""
        own: NamespaceId | None = None
        with suppress(OSError):
            own = ns.read_links(f"{self._proc}/self").get("mnt")
            for bound in read_bound(f"{self._proc}/self/mountinfo"):
                self._entry(bound.id, bound.type).files.append(bound.target)
                self._hold_file(bound, None)
        others = [each for each in self._found.values() if each.type == "mnt" and each.id != own]
        for entry in others:
            for pid, bound in self._seen_in(entry):
                self._hold_file(bound, pid)

    def _seen_in(self, entry: _Entry) -> list[tuple[int, BoundNamespace]]:
        """Read the mounts of a mount namespace through the first process in it that lets us."""
        threads = (holder for holder in entry.holders if holder.by == "thread")
        places = [(pid, f"{self._proc}/{pid}") for pid in entry.pids]
        places += [(each.pid or 0, each.path.removesuffix("/ns/mnt")) for each in threads]
        for pid, directory in places:
            with suppress(OSError):
                return [(pid, bound) for bound in read_bound(f"{directory}/mountinfo")]
        return []

    def _hold_file(self, bound: BoundNamespace, pid: int | None) -> None:
        seen = "" if pid is None else f" (in the mount namespace of PID {pid})"
        root = "" if pid is None else f"{self._proc}/{pid}/root"
        holder = Holder(by="file", pid=pid, what=f"{bound.target}{seen}", path=root + bound.target)
        self._hold(bound.id, bound.type, holder)

    def relate_all(self, netnsids: NetnsIds | None) -> None:
        """Ask Linux about each namespace that can be opened: parent, owner, numbers."""
        self._netnsids = netnsids
        for entry in list(self._found.values()):
            for path in self._places(entry):
                fd = _open(path, entry.id)
                if fd is None:
                    continue
                try:
                    self._relate(entry, fd)
                finally:
                    os.close(fd)
                break

    def _places(self, entry: _Entry) -> Iterator[str]:
        for pid in entry.pids:
            yield f"{self._proc}/{pid}/ns/{entry.type}"
        for holder in entry.holders:
            if holder.path:
                yield holder.path

    def _relate(self, entry: _Entry, fd: int) -> None:
        entry.serial = ns.serial(fd)
        entry.owner = self._related(entry, fd, ns.NS_GET_USERNS, "owner")
        if entry.type in HIERARCHICAL:
            entry.parent = self._related(entry, fd, ns.NS_GET_PARENT, "parent")
        if entry.type == "user":
            entry.owner_uid = ns.owner_uid(fd)
        if entry.type == "net" and self._netnsids is not None:
            entry.netnsid = self._netnsids.of(fd)

    def _related(self, entry: _Entry, fd: int, request: int, word: str) -> NamespaceId | None:
        other = ns.related(fd, request)
        if other is None:
            return None
        try:
            found, kind = ns.id_of(other), ns.type_of(other)
            if kind is None:
                return None
            if found not in self._found:
                what = f"being the {word} of {entry.type}:[{entry.id.ino}]"
                self._hold(found, kind, Holder(by=word, pid=None, what=what))
                self._relate(self._found[found], other)
            return found
        finally:
            os.close(other)

    def frozen(self) -> list[Namespace]:
        """Return what was found, by inode number."""
        return [
            Namespace(
                id=each.id, type=each.type, pids=tuple(each.pids), holders=tuple(each.holders),
                parent=each.parent, owner=each.owner, owner_uid=each.owner_uid,
                netnsid=each.netnsid, files=tuple(each.files), serial=each.serial,
            )
            for each in sorted(self._found.values(), key=lambda each: each.id.ino)
        ]  # fmt: skip


def _open(path: str, wanted: NamespaceId) -> int | None:
    """Open a namespace; None where it went, or where something else is mounted over its file."""
    try:
        # stat(2) first: opening a device or a FIFO that covers the file could do something.
        if file_namespace(path) != wanted:
            return None
        fd = os.open(path, _OPEN)
    except OSError:
        return None
    if ns.id_of(fd) != wanted:
        os.close(fd)
        return None
    return fd
