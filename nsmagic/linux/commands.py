"""What processes run, read no more often than needed."""

from __future__ import annotations

import time
from collections.abc import Collection

from nsmagic.linux.processes import read_command


class Commands:
    """Commands by PID.  One is read again until its process was known for `young` seconds by then:
    a process that has just been forked will soon be another program.
    """

    def __init__(self, young: float) -> None:
        self._young = young
        self._known: dict[int, tuple[float, float, str]] = {}  # first seen, last read, command

    def of(self, pid: int) -> str:
        """Return the command of a process, "" where it cannot be read."""
        now = time.monotonic()
        first, read, text = self._known.get(pid, (now, now, ""))
        if not text or read - first < self._young:
            text = read_command(pid) or text
            self._known[pid] = (first, now, text)
        return text

    def keep(self, pids: Collection[int]) -> None:
        """Forget all processes but these."""
        self._known = {pid: known for pid, known in self._known.items() if pid in pids}
