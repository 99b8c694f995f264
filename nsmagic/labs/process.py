"""One process as Linux tells of it in /proc: its state, command line, ids and threads."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nsmagic.linux.facts import Facts
from nsmagic.wish.capabilities import has

_LONGEST: Final = 60  # characters of a command line that a message shows
_PF_EXITING: Final = 0x4  # in the flags of proc_pid_stat(5): include/linux/sched.h


class Gone(Exception):
    """The process that is looked at has ended."""


class ProcessFacts:
    """A process by its PID, and how the learner calls it.  Every fact raises Gone once it ended.

    The number is pinned to one process by its start time: a later one that gets the same PID is not
    taken for it.
    """

    def __init__(self, pid: int, name: str = "") -> None:
        self.pid = pid
        self.name = name or str(pid)
        self._facts = Facts(pid)
        self._started = self._stat()[19]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} ({self.pid})>"

    def _gone(self) -> Gone:
        return Gone(f"{self.name}: there is no process {self.pid} any more")

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Raise Gone where Linux says that there is no such process."""
        try:
            yield
        except (FileNotFoundError, ProcessLookupError):
            raise self._gone() from None

    def _read(self, file: str) -> str:
        with self._looking():
            return Path(f"/proc/{self.pid}/{file}").read_text(errors="surrogateescape")

    def _link(self, file: str) -> str:
        with self._looking():
            return os.readlink(f"/proc/{self.pid}/{file}")

    def _stat(self) -> list[str]:
        # Fields of proc_pid_stat(5) from the state on: a name may hold spaces and parentheses.
        fields = self._read("stat").rpartition(")")[2].split()
        if getattr(self, "_started", fields[19]) != fields[19]:
            raise Gone(f"{self.name}: process {self.pid} ended, and its number is another's now")
        return fields

    @property
    def lives(self) -> bool:
        """Whether there is still such a process, be it a zombie."""
        try:
            self._stat()
        except Gone:
            return False
        return True

    @property
    def ending(self) -> bool:
        """Whether it has ended, or ends: it was killed, and Linux is not done with it yet."""
        try:
            status, stat = self.status, self._stat()
        except Gone:
            return True
        pending = int(status["SigPnd"], 16) | int(status["ShdPnd"], 16)  # see proc_pid_status(5)
        killed = pending >> (signal.SIGKILL - 1) & 1
        return bool(stat[0] in "ZX" or int(stat[6]) & _PF_EXITING or killed)

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
    def worked(self) -> float:
        """How many seconds it had a processor, all threads together."""
        return sum(map(int, self._stat()[11:13])) / os.sysconf("SC_CLK_TCK")

    @property
    def ppid(self) -> int:
        """The parent's PID."""
        return int(self._stat()[1])

    @property
    def argv(self) -> tuple[str, ...]:
        """The command line; empty for a zombie."""
        return tuple(self._read("cmdline").split("\0")[:-1])

    def was_told(self, word: str) -> bool:
        """Whether its command line has the word, be it inside of an argument."""
        return any(word in argument for argument in self.argv)

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
        with self._looking():
            return self._facts.status()

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

    def _list(self, directory: str) -> list[str]:
        with self._looking():
            return os.listdir(f"/proc/{self.pid}/{directory}")
