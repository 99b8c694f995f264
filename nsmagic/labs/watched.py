"""One process as a check looks at it: every fact is read from Linux when it is asked for."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

from nsmagic.labs.process import Gone, ProcessFacts
from nsmagic.linux.cgroups.group import Cgroup
from nsmagic.linux.cgroups.hierarchies import read_hierarchies
from nsmagic.linux.mountinfo import MountLine
from nsmagic.linux.namespaces import TYPES, NamespaceId, read_links
from nsmagic.wish.isolation import IdMap
from nsmagic.wish.limits import LIMITS

# /proc/PID/net/tcp: state 0A is LISTEN, and the port is the hexadecimal end of the local address.
_LISTENING: Final = re.compile(
    r"^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} 0A", re.MULTILINE
)
_ANSWER_WITHIN: Final = 5.0  # s, for a program of ours inside its namespaces


class Watched(ProcessFacts):
    """A process, what it is in, and what is below it."""

    def activity(self) -> object:
        """What changes while it, or a process below it, does something: equal when nothing did.

        A process that wants to run is never equal to what it was.
        """
        found: list[object] = []
        try:
            below_me = self.children
        except Gone:
            return found
        for each in (self, *below_me):
            try:
                stat = each._stat()
                below = () if each is self else each.activity()
            except Gone:
                continue
            wants = object() if stat[0] in "RD" else None
            found.append((each.pid, stat[0], stat[11:13], wants, below))
        return found

    @property
    def children(self) -> tuple[Watched, ...]:
        """Its children, the oldest first."""
        numbers = " ".join(self._read(f"task/{task}/children") for task in self._list("task"))
        found = []
        for number in sorted(map(int, numbers.split())):
            try:
                found.append(Watched(number, f"the child {number} of {self.name}"))
            except Gone:
                continue
        return tuple(found)

    @property
    def namespaces(self) -> Mapping[str, NamespaceId]:
        """The namespaces it is in, by type."""
        with self._looking():
            links = self._facts.ns()
        return {kind: links[kind] for kind in TYPES if kind in links}

    def shares(self, kind: str, other: Watched) -> bool:
        """Whether both are in the same namespace of a type."""
        return self.namespaces.get(kind) == other.namespaces.get(kind)

    @property
    def mounts(self) -> tuple[MountLine, ...]:
        """What is mounted, as it sees it, in the order of mounting."""
        with self._looking():
            return tuple(self._facts.mountinfo())

    @property
    def root(self) -> Path:
        """A path that leads to its root directory: `it.root / "etc"` is its /etc."""
        return Path(f"/proc/{self.pid}/root")

    @property
    def root_path(self) -> str:
        """Where its root directory is, as our root sees it."""
        return self._link("root")

    @property
    def own_root(self) -> bool:
        """Whether its root directory is another one than ours."""
        with self._looking():
            theirs = self.root.stat()
        ours = Path("/").stat()
        return (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino)

    @property
    def cwd(self) -> str:
        """Its current directory, as our root sees it."""
        return self._link("cwd")

    @property
    def open_directories(self) -> Mapping[int, str]:
        """The directories it holds open, by descriptor."""
        found = {}
        for name in self._list("fd"):
            path = Path(f"/proc/{self.pid}/fd/{name}")
            try:
                if path.is_dir():
                    found[int(name)] = str(path.readlink())
            except OSError:  # closed meanwhile
                continue
        return found

    @property
    def uid_map(self) -> tuple[IdMap, ...]:
        """The lines of its uid_map: `inner`, `outer`, `count`."""
        with self._looking():
            return self._facts.uid_map()

    @property
    def cgroups(self) -> Mapping[str, str]:
        """Its cgroup by controller, "" for the cgroup v2 hierarchy, as in proc_pid_cgroup(5)."""
        with self._looking():
            groups = self._facts.cgroup()
        return {word: path for words, path in groups.items() for word in words.split(",")}

    @property
    def group(self) -> Cgroup:
        """Its cgroup, in all hierarchies: CgroupError and OSError where it cannot be read."""
        found = read_hierarchies(pid=str(self.pid))
        v1 = {word: each.own for each in found.v1 if each.own for word in each.controllers}
        return Cgroup(name=self.name, v2=found.v2.own if found.v2 else None, v1=v1)

    def limit(self, key: str) -> str:
        """A limit of its cgroup, as %%cgroup spells it: `64M`, `50%`, `max`."""
        return limit_of(self.group, key)

    def counted(self, metric: str) -> float:
        """What its cgroup counts, by the name of a metric; 0 where this machine does not."""
        sample = self.group.sample()
        return (sample and sample[metric]) or 0

    @property
    def time_offsets(self) -> Mapping[str, float]:
        """What its time namespace adds to `monotonic` and `boottime`, in seconds."""
        rows = (line.split() for line in self._read("timens_offsets").splitlines())
        return {clock: int(seconds) + int(nano) / 1e9 for clock, seconds, nano in rows}

    @property
    def listening(self) -> frozenset[int]:
        """The TCP ports on which somebody listens in its network namespace."""
        text = self._read("net/tcp")
        if Path(f"/proc/{self.pid}/net/tcp6").exists():
            text += self._read("net/tcp6")
        return frozenset(int(port, 16) for port in _LISTENING.findall(text))

    @property
    def links(self) -> frozenset[str]:
        """The names of the network interfaces in its network namespace."""
        with self._looking():
            return frozenset(link.name for link in self._facts.links())

    @property
    def hostname(self) -> str:
        """The host name in its UTS namespace."""
        return self.ask(["hostname"], "uts").strip()

    def ask(self, argv: Sequence[str], *kinds: str) -> str:
        """Run a program of ours in its namespaces of these types and return what it prints.

        Raises OSError where Linux does not let us in.
        """
        mine = read_links("/proc/self")
        enter = [kind for kind in ("user", *kinds) if self.namespaces.get(kind) != mine.get(kind)]
        flags = [f"--{'mount' if kind == 'mnt' else kind}" for kind in enter]
        keep = ["--preserve-credentials"] if "user" in enter else []
        command = ["nsenter", f"--target={self.pid}", *flags, *keep, "--", *argv]
        done = subprocess.run(
            command if flags else list(argv), capture_output=True, text=True, check=False,
            timeout=_ANSWER_WITHIN,
        )  # fmt: skip
        if done.returncode:
            self._stat()  # it may just have ended
            raise OSError(done.stderr.strip() or f"{argv[0]} exited with {done.returncode}")
        return done.stdout

    @cached_property
    def descendants(self) -> tuple[Watched, ...]:
        """Its children, their children and so on, at the first time that this is asked."""
        below = self.children
        return (*below, *(each for child in below for each in child.descendants))


def limit_of(group: Cgroup, key: str) -> str:
    """Return a limit of a group, as %%cgroup spells it; `max` where it has no such file."""
    for reading in group.limits(row for row in LIMITS if row.key == key):
        return str(reading.limit).partition("=")[2]
    return "max"
