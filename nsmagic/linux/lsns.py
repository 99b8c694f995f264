"""The rows of lsns(8): what was discovered, chosen, put in order and into columns."""

from __future__ import annotations

import functools
import pwd
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nsmagic.linux import subjects
from nsmagic.linux.discover import Discovery, Namespace, discover
from nsmagic.linux.namespaces import TYPES, NamespaceId
from nsmagic.linux.netnsid import UNASSIGNED
from nsmagic.linux.nsfs import file_namespace
from nsmagic.linux.processes import Process, read_command
from nsmagic.wish.errors import NsmagicError, WishError
from nsmagic.wish.lsns import SELF, LsnsWish


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of %lsns, with one field per column; `None` where lsns(8) prints nothing.

    `pns` and `ons` are 0 where there is none or it is out of sight, as in lsns(8).  `namespace` is
    the fact behind it.
    """

    ns: int
    type: str
    path: str | None
    nprocs: int
    pid: int | None
    ppid: int | None
    command: str | None
    uid: int | None
    user: str | None
    netnsid: str | None
    nsfs: tuple[str, ...]
    pns: int
    ons: int
    box: tuple[str, ...]
    held: tuple[str, ...]
    namespace: Namespace = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row in its place: `parent` is the index of the line it hangs from, None for a root."""

    row: Row
    parent: int | None = None


def lsns(wish: LsnsWish, boxes: Mapping[int, str], proc: str = "/proc") -> tuple[list[Line], int]:
    """Return the lines that are wished for, and how many processes this user may not look at.

    `boxes` names PIDs.  Raises WishError where the line names what does not exist, NsmagicError
    where this user may not look at the process asked for and where there is no /proc.
    """
    wanted: frozenset[NamespaceId] | None = None
    if wish.task is not None:
        links = subjects.links_of(subjects.find_pid(wish.task, boxes, proc), proc)
        wanted = frozenset(links[name] for name in TYPES if name in links)
    found = _discover(proc, "NETNSID" in wish.columns)
    rows = _Rows(found, boxes, proc)
    if wish.processes:
        return _process_lines(wish, rows, _asked_for(wish, found)), len(found.hidden)
    seen = [each for each in found.namespaces.values() if each.type in (wish.types or TYPES)]
    chosen = [
        each
        for each in seen
        if (wanted is None or each.id in wanted) and not (wish.persistent and each.pids)
    ]
    if wish.tree in ("parent", "owner"):
        return _related_lines(wish.tree, rows, seen, chosen), len(found.hidden)
    return _namespace_lines(wish, rows, chosen), len(found.hidden)


def _discover(proc: str, netnsids: bool) -> Discovery:
    try:
        return discover(proc, netnsids=netnsids)
    except OSError as error:
        hint = "Everything is read there: mount -t proc proc /proc"
        raise NsmagicError(f"{proc} cannot be listed: {error.strerror}", hint=hint) from None


def _asked_for(wish: LsnsWish, found: Discovery) -> Namespace:
    if wish.file is None:
        for each in found.namespaces.values():
            if each.id.ino == wish.inode:
                return each
        raise WishError(f"no namespace {wish.inode} is in sight", hint="%lsns lists what is.")
    try:
        wanted = file_namespace(wish.file)
    except OSError as error:
        raise WishError(f"{wish.file}: {error.strerror}") from None
    if wanted is None:
        raise WishError(
            f"{wish.file} is not the file of a namespace", hint="One is /proc/self/ns/net."
        )
    if wanted not in found.namespaces:
        raise WishError(f"the namespace {wanted.ino} of {wish.file} is gone")
    return found.namespaces[wanted]


class _Rows:
    """Makes rows; commands and user names are looked up once."""

    def __init__(self, found: Discovery, boxes: Mapping[int, str], proc: str) -> None:
        self.found = found
        self.processes = found.processes
        self._command = functools.cache(lambda pid: read_command(pid, proc))
        self._user = functools.cache(_user_name)
        self._boxes: dict[NamespaceId, list[str]] = {}
        inside = [(SELF, found.own)]
        inside += [
            (name, self.processes[pid].links or {})
            for pid, name in boxes.items()
            if pid in self.processes
        ]
        for name, links in inside:
            for each in {links[kind] for kind in TYPES if kind in links}:
                self._boxes.setdefault(each, []).append(name)

    def row(self, each: Namespace, process: Process | None) -> Row:
        """Return the row of a namespace seen through a process in it, if there is one."""
        pid = None if process is None else process.pid
        uid = each.owner_uid if process is None else process.uid
        netnsid = "unassigned" if each.netnsid == UNASSIGNED else each.netnsid
        return Row(
            ns=each.id.ino, type=each.type, nprocs=len(each.pids), pid=pid,
            path=None if pid is None else f"/proc/{pid}/ns/{each.type}",
            ppid=None if process is None else process.ppid,
            command=None if pid is None else self._command(pid),
            uid=uid, user=None if uid is None else self._user(uid),
            netnsid=None if netnsid is None else str(netnsid), nsfs=each.files,
            pns=each.parent.ino if each.parent else 0, ons=each.owner.ino if each.owner else 0,
            box=tuple(self._boxes.get(each.id, ())),
            held=tuple(str(holder) for holder in each.holders), namespace=each,
        )  # fmt: skip

    def first(self, each: Namespace) -> Process | None:
        """Return the process with the lowest PID in a namespace."""
        return self.processes[each.pids[0]] if each.pids else None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _namespace_lines(wish: LsnsWish, rows: _Rows, chosen: Iterable[Namespace]) -> list[Line]:
    """Return a line per namespace, below the last one that shows the parent process (lsns.c)."""
    shown: dict[int, int] = {}  # PID -> the last line that shows it
    lines: list[Line] = []
    for each in chosen:
        process = rows.first(each)
        parent = None
        if process is not None:
            parent = shown.get(process.ppid) if wish.tree else None
            shown[process.pid] = len(lines)
        lines.append(Line(row=rows.row(each, process), parent=parent))
    return _depth_first(lines)


def _process_lines(wish: LsnsWish, rows: _Rows, each: Namespace) -> list[Line]:
    place = {pid: index for index, pid in enumerate(each.pids)}
    lines: list[Line] = []
    for pid in each.pids:
        process = rows.processes[pid]
        parent = place.get(process.ppid) if wish.tree == "process" else None
        lines.append(Line(row=rows.row(each, process), parent=parent))
    return _depth_first(lines)


def _related_lines(
    tree: str, rows: _Rows, seen: Iterable[Namespace], chosen: Iterable[Namespace]
) -> list[Line]:
    """Return a line per namespace and, before it, what it hangs from, also if not chosen itself."""
    by_id = {each.id: each for each in seen}
    place: dict[NamespaceId, int] = {}
    lines: list[Line] = []
    for each in chosen:
        chain: list[Namespace] = []
        above: Namespace | None = each
        while above is not None and above.id not in place:
            chain.append(above)
            # In a tree of parents, a namespace without one stands after its owner (lsns.c).
            before = above.owner if tree == "owner" else above.parent or above.owner
            above = None if before is None else by_id.get(before)
        for one in reversed(chain):
            hangs_from = one.owner if tree == "owner" else one.parent
            parent = None if hangs_from is None else place.get(hangs_from)
            place[one.id] = len(lines)
            lines.append(Line(row=rows.row(one, rows.first(one)), parent=parent))
    return _depth_first(lines)


def _depth_first(lines: Sequence[Line]) -> list[Line]:
    """Return the lines in the order of a printed tree; `parent` counts in the new order."""
    below: dict[int | None, list[int]] = {}
    for index, line in enumerate(lines):
        below.setdefault(line.parent, []).append(index)
    ordered: list[Line] = []
    waiting: list[tuple[int, int | None]] = [(i, None) for i in reversed(below.get(None, []))]
    while waiting:
        index, parent = waiting.pop()
        waiting += [(child, len(ordered)) for child in reversed(below.get(index, []))]
        ordered.append(Line(row=lines[index].row, parent=parent))
    return ordered
