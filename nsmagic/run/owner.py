"""Whose a ledger is: one kernel, for ever, by what the file is called."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from nsmagic.linux.processes import life_of
from nsmagic.run.locks import is_locked

NAME: Final = re.compile(
    r"(?P<pid>\d{1,10})-(?P<start>\d{1,20})-(?P<pidns>\d{1,20})-(?P<boot>[0-9a-f-]{36})\.ledger"
)


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Which kernel, for ever: its PID, when it started (clock ticks after boot), where and when.

    `pidns` is the inode of the PID namespace that counts the PID, 0 where /proc shows another one.
    """

    pid: int
    start: int
    pidns: int
    boot: str

    @classmethod
    def me(cls) -> Self:
        """Return this process; OSError where /proc does not tell."""
        pid = int(os.readlink("/proc/self"))
        pidns = Path("/proc/self/ns/pid").stat().st_ino if pid == os.getpid() else 0
        start, _ = life_of("self")
        return cls(pid=pid, start=start, pidns=pidns, boot=boot_id())

    @classmethod
    def of_file(cls, name: str) -> Self | None:
        """Return whose ledger a file is by its name, None for any other file."""
        found = NAME.fullmatch(name)
        if found is None:
            return None
        pid, start, pidns = (int(found[key]) for key in ("pid", "start", "pidns"))
        return cls(pid=pid, start=start, pidns=pidns, boot=found["boot"])

    @property
    def file(self) -> str:
        """The name of its ledger."""
        return f"{self.pid}-{self.start}-{self.pidns}-{self.boot}.ledger"

    def lives(self, me: Owner, file: Path) -> bool:
        """Whether it still runs, as far as `me` can know.

        The PID of another PID namespace means nothing here, and with hidepid=1 of proc(5) one may
        not look at a process of somebody else's; then the lock on `file` tells.
        """
        if self.boot != me.boot:
            return False
        if me.pidns and self.pidns == me.pidns:
            try:
                start, alive = life_of(self.pid)
            except (FileNotFoundError, ProcessLookupError):
                return False
            except PermissionError:
                return is_locked(file)
            return alive and start == self.start
        return is_locked(file)


def boot_id() -> str:
    """Return the number that Linux drew when it booted, random(4)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
