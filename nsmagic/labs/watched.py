"""One process as a check looks at it: every fact is read from Linux when it is asked for."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from nsmagic.linux.cgroups.group import Cgroup
from nsmagic.linux.cgroups.hierarchies import read_hierarchies
from nsmagic.linux.namespaces import TYPES, NamespaceId, read_links
from nsmagic.wish.capabilities import has
from nsmagic.wish.limits import LIMITS

# /proc/PID/net/tcp: state 0A is LISTEN, and the port is the hexadecimal end of the local address.
_LISTENING: Final = re.compile(
    r"^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} 0A", re.MULTILINE
)
_LONGEST: Final = 60  # characters of a command line that a message shows
_ANSWER_WITHIN: Final = 5.0  # s, for a program of ours inside its namespaces


class Gone(Exception):
    """The process that is looked at has ended."""


@dataclass(frozen=True, kw_only=True)
class Mounted:
    """One line of proc_pid_mountinfo(5).  `options` are those of the mount, `fields` the tags."""

    where: str
    kind: str
    root: str
    options: frozenset[str]
    tags: frozenset[str]
    data: str


class Watched:
    """A process by its PID, and how the learner calls it.  Every fact raises Gone once it ended.

    The number is pinned to one process by its start time: a later one that gets the same PID is not
    taken for it.
    """

    def __init__(self, pid: int, name: str = "") -> None:
        self.pid = pid
        self.name = name or str(pid)
        self._started = self._stat()[19]

    def __repr__(self) -> str:
        return f"<Watched {self.name} ({self.pid})>"

    def _read(self, file: str) -> str:
        try:
            return Path(f"/proc/{self.pid}/{file}").read_text(errors="surrogateescape")
        except (FileNotFoundError, ProcessLookupError):
            raise Gone(f"{self.name}: there is no process {self.pid} any more") from None

    def _link(self, file: str) -> str:
        try:
            return os.readlink(f"/proc/{self.pid}/{file}")
        except (FileNotFoundError, ProcessLookupError):
            raise Gone(f"{self.name}: there is no process {self.pid} any more") from None

    def _stat(self) -> list[str]:
        # Fields of proc_pid_stat(5) from the state on: a name may hold spaces and parentheses.
        fields = self._read("stat").rpartition(")")[2].split()
        if getattr(self, "_started", fields[19]) != fields[19]:
            raise Gone(f"{self.name}: process {self.pid} ended, and its number is another's now")
        return fields

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
    def lives(self) -> bool:
        """Whether there is still such a process, be it a zombie."""
        try:
            self._stat()
        except Gone:
            return False
        return True

    @property
    def age(self) -> float:
        """How many seconds ago it was made."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(self._started) / os.sysconf(
            "SC_CLK_TCK"
        )

    @property
    def state(self) -> str:
        """The state letter of proc_pid_stat(5): R, S, D, T (stopped), Z (zombie)..."""
        return self._stat()[0]

    @property
    def ppid(self) -> int:
        """The parent's PID."""
        return int(self._stat()[1])

    @property
    def argv(self) -> tuple[str, ...]:
        """The command line; empty for a zombie."""
        return tuple(self._read("cmdline").split("\0")[:-1])

    @property
    def command(self) -> str:
        """The beginning of its command line on one line, or its name where there is none."""
        words = " ".join(shlex.join(self.argv).split()) or f"[{self._read('comm').strip()}]"
        return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}..."

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment with which its program was started (execve(2))."""
        pairs = (pair.partition("=") for pair in self._read("environ").split("\0") if pair)
        return {name: value for name, _, value in pairs}

    @property
    def status(self) -> Mapping[str, str]:
        """The lines of proc_pid_status(5) by name."""
        lines = (line.partition(":") for line in self._read("status").splitlines())
        return {name: value.strip() for name, _, value in lines}

    @property
    def threads(self) -> int:
        """How many threads it has."""
        return int(self.status["Threads"])

    @property
    def pids(self) -> tuple[int, ...]:
        """Its numbers, from our PID namespace to its own innermost one."""
        return tuple(int(number) for number in self.status["NSpid"].split())

    @property
    def uid(self) -> int:
        """Its effective user, as our user namespace numbers users."""
        return int(self.status["Uid"].split()[1])

    def may(self, capability: str) -> bool:
        """Whether it has a capability such as CAP_SYS_CHROOT in force, capabilities(7)."""
        return has(int(self.status["CapEff"], 16), capability)

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

    def _list(self, directory: str) -> list[str]:
        try:
            return os.listdir(f"/proc/{self.pid}/{directory}")
        except (FileNotFoundError, ProcessLookupError):
            raise Gone(f"{self.name}: there is no process {self.pid} any more") from None

    @property
    def namespaces(self) -> Mapping[str, NamespaceId]:
        """The namespaces it is in, by type."""
        try:
            links = read_links(f"/proc/{self.pid}")
        except (FileNotFoundError, ProcessLookupError):
            raise Gone(f"{self.name}: there is no process {self.pid} any more") from None
        return {kind: links[kind] for kind in TYPES if kind in links}

    def shares(self, kind: str, other: Watched) -> bool:
        """Whether both are in the same namespace of a type."""
        return self.namespaces.get(kind) == other.namespaces.get(kind)

    @property
    def mounts(self) -> tuple[Mounted, ...]:
        """What is mounted, as it sees it, in the order of mounting."""
        return tuple(_mounted(line) for line in self._read("mountinfo").splitlines())

    def mount_at(self, where: str) -> Mounted | None:
        """The mount that is on top at a path, None where there is none."""
        found = [mount for mount in self.mounts if mount.where == where]
        return found[-1] if found else None

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
        try:
            theirs = self.root.stat()
        except (FileNotFoundError, ProcessLookupError):
            raise Gone(f"{self.name}: there is no process {self.pid} any more") from None
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
    def uid_map(self) -> tuple[tuple[int, int, int], ...]:
        """The lines of its uid_map: inside, outside, count."""
        rows = (line.split() for line in self._read("uid_map").splitlines())
        return tuple((int(inside), int(outside), int(count)) for inside, outside, count in rows)

    @property
    def cgroups(self) -> Mapping[str, str]:
        """Its cgroup by controller, "" for the cgroup v2 hierarchy, as in proc_pid_cgroup(5)."""
        found: dict[str, str] = {}
        for line in self._read("cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            found |= dict.fromkeys(controllers.split(","), path)
        return found

    @property
    def group(self) -> Cgroup:
        """Its cgroup, in all hierarchies: CgroupError and OSError where it cannot be read."""
        found = read_hierarchies(pid=str(self.pid))
        v1 = {word: each.own for each in found.v1 if each.own for word in each.controllers}
        return Cgroup(name=self.name, v2=found.v2.own if found.v2 else None, v1=v1)

    def limit(self, key: str) -> str:
        """A limit of its cgroup, as %%cgroup spells it: `64M`, `50%`, `max`."""
        for reading in self.group.limits(row for row in LIMITS if row.key == key):
            return str(reading.limit).partition("=")[2]
        return "max"

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
        rows = self._read("net/dev").splitlines()[2:]
        return frozenset(row.partition(":")[0].strip() for row in rows)

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


def _mounted(line: str) -> Mounted:
    place, _, source = line.partition(" - ")
    _, _, _, root, where, options, *tags = place.split()
    kind, _, data = source.split(" ", 2)
    return Mounted(
        where=where.encode().decode("unicode_escape"), kind=kind, root=root, data=data,
        options=frozenset(options.split(",")), tags=frozenset(tags),
    )  # fmt: skip
