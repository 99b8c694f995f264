"""What `%box` and `%box show` return: boxes as tables, for text and HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from nsmagic.linux.facts import Facts
from nsmagic.linux.mountinfo import MountLine, read_mountinfo
from nsmagic.linux.processes import Process, read_command, read_processes
from nsmagic.notebook.failures import NOT_SHOWN, one_line_if_stopped
from nsmagic.notebook.nsdiff import compare
from nsmagic.notebook.tables import WIDTH, Cell, Column, Table, Tabled
from nsmagic.run.boxes import Box
from nsmagic.wish.capabilities import CAPABILITIES
from nsmagic.wish.isolation import IdMap
from nsmagic.wish.lsns import SELF
from nsmagic.wish.namespaces import NAMESPACES

_LONGEST: Final = 60  # characters of a command


@dataclass(frozen=True, repr=False)
class BoxList(Tabled):
    """The boxes of this notebook, in the order in which they were made."""

    boxes: tuple[Box, ...]

    def table(self) -> Table:
        """Return the list as a table for text and HTML."""
        if not self.boxes:
            none = Cell(text="none: %unshare --name web --pid --net --mount-proc makes one")
            return Table(columns=(Column(title="boxes"),), rows=((none,),))
        every = read_processes()
        columns = (
            Column(title="box", mono=True), Column(title="PID", numeric=True),
            Column(title="namespaces of its own"), Column(title="processes", numeric=True),
            Column(title="made by", mono=True),
        )  # fmt: skip
        return Table(columns=columns, rows=tuple(self._row(box, every) for box in self.boxes))

    def _row(self, box: Box, every: Mapping[int, Process]) -> tuple[Cell | str, ...]:
        own = [row.name for row in NAMESPACES if row.name in box.types]
        count = str(len(members(box, every)))
        return box.name, str(box.pid), " ".join(own) or "none", count, box.title


@dataclass(frozen=True)
class BoxView:
    """One box as Linux shows it at this moment, in several tables."""

    parts: tuple[Table, ...]

    @classmethod
    def of(cls, box: Box) -> BoxView:
        """Look into a box."""
        comparison = compare([SELF, box.name], {box.pid: box.name})
        parts = (_processes(box), comparison.table(), _facts(box), _mounts(box))
        return cls(parts)

    def __repr__(self) -> str:
        return self.text()

    @one_line_if_stopped(NOT_SHOWN)
    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/plain": self.text(), "text/html": "".join(p.html() for p in self.parts)}

    def text(self, width: int = WIDTH) -> str:
        """Return all tables as text."""
        return "\n\n".join(part.text(width) for part in self.parts)


def members(box: Box, every: Mapping[int, Process]) -> list[Process]:
    """Return the processes of a box: all in its PID namespace, else those in its cgroup."""
    own = every.get(box.pid)
    if "pid" in box.types and own is not None and own.links is not None:
        space = own.links.get("pid")
        return [each for each in every.values() if each.links and each.links.get("pid") == space]
    pids = {box.pid}
    if box.group is not None:
        for file in (box.group / "cgroup.procs", *box.group.glob("*/cgroup.procs")):
            with suppress(OSError):  # of a cell that ends just now
                pids.update(map(int, file.read_text().split()))
    return [every[pid] for pid in sorted(pids) if pid in every]


def _processes(box: Box) -> Table:
    every = {each.pid: each for each in members(box, read_processes())}
    columns = (
        Column(title="process", mono=True), Column(title="PID inside", numeric=True),
        Column(title="PID here", numeric=True), Column(title="user here"),
    )  # fmt: skip
    rows = []
    for depth, each in _tree(every):
        branch = "  " * depth + ("└ " if depth else "")
        command = (read_command(each.pid) or "(ended)").strip()[:_LONGEST]
        rows.append((branch + command, _inner_pid(each.pid), str(each.pid), str(each.uid)))
    group = "no cgroup of its own" if box.group is None else f"cgroup {box.group}"
    above = (f"box {box.name}: {box.title}", Cell(text=group, tone="dim"))
    return Table(columns=columns, rows=tuple(rows), above=above)


def _tree(every: Mapping[int, Process]) -> Iterator[tuple[int, Process]]:
    """Yield each process with its depth, children below their parents."""
    tops = [each for each in every.values() if each.ppid not in every]
    queue = [(0, each) for each in reversed(tops)]
    while queue:
        depth, each = queue.pop()
        yield depth, each
        below = [other for other in every.values() if other.ppid == each.pid]
        queue += [(depth + 1, other) for other in reversed(below)]


def _inner_pid(pid: int) -> str:
    with suppress(OSError, KeyError):
        return Facts(pid).status()["NSpid"].split()[-1]
    return "?"


def _facts(box: Box) -> Table:
    effective = box.capabilities().effective
    lacking = [name for name in CAPABILITIES if name not in effective]
    if not lacking:
        has = "all"
    elif len(lacking) <= len(effective):
        has = f"all but {' '.join(lacking)}"
    else:
        has = " ".join(sorted(effective)) or "none"
    cgroups = [f"{names or 'v2'}: {path}" for names, path in box.cgroup().items() if path != "/"]
    rows = (
        ("users, inside to outside", _map(box.uid_map())),
        ("groups, inside to outside", _map(box.gid_map())),
        ("effective capabilities of its init", has),
        ("cgroup", "\n".join(cgroups) or "/"),
        ("network links", _links(box)),
    )
    return Table(columns=(Column(title="fact"), Column(title="is", mono=True)), rows=rows)


def _map(lines: Sequence[IdMap]) -> str:
    texts = [
        f"{each.inner} is {each.outer}" if each.count == 1
        else f"{each.inner}-{each.inner + each.count - 1} are "
        f"{each.outer}-{each.outer + each.count - 1}"
        for each in lines
    ]  # fmt: skip
    return "\n".join(texts) or "nobody: no map was written"


def _links(box: Box) -> str:
    links = [f"{link.name}: {link.received} B in, {link.sent} B out" for link in box.links()]
    return "\n".join(links) or "none"


def _mounts(box: Box) -> Table:
    columns = (
        Column(title="mount of its own", mono=True), Column(title="type"),
        Column(title="from", mono=True), Column(title="options", mono=True),
    )  # fmt: skip
    ours = {_what(each) for each in read_mountinfo()}
    theirs = box.mountinfo()
    own = [each for each in theirs if _what(each) not in ours]
    rows = tuple((each.target, each.kind, each.source, each.options) for each in own)
    shared = len(theirs) - len(own)
    above = f"mounts: {shared} as in this notebook" + ("" if own else ", none of its own")
    return Table(columns=columns, rows=rows, above=(above,))


def _what(mount: MountLine) -> tuple[str, ...]:
    """Tell a mount from others whatever its number, which is another one in every namespace."""
    return mount.target, mount.kind, mount.source, mount.root, mount.device
