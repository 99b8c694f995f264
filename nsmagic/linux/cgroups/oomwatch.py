"""Being told at once that a group ran out of memory."""

from __future__ import annotations

import os
import select
from contextlib import suppress
from typing import TYPE_CHECKING

from nsmagic.linux.cgroups.oom import memory_of

if TYPE_CHECKING:
    from nsmagic.linux.cgroups.group import Cgroup


class OomWatch:
    """A descriptor that polls ready, for the event `poll_for`, when a group ran out of memory.

    On v2 memory.events (POLLPRI), on v1 an eventfd that memory.oom_control tells (POLLIN),
    memory.rst "OOM Control".  OSError where the group has no memory controller.
    """

    def __init__(self, group: Cgroup) -> None:
        directory, _, field = memory_of(group)
        if directory is None:
            raise FileNotFoundError(2, "the group has no memory controller", group.name)
        if field:
            self._fd = os.open(directory / "memory.events", os.O_RDONLY | os.O_CLOEXEC)
            self.poll_for = select.POLLPRI
            os.pread(self._fd, 4096, 0)
            return
        self.poll_for = select.POLLIN
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            control = os.open(directory / "memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
            try:
                (directory / "cgroup.event_control").write_text(f"{self._fd} {control}")
            finally:
                os.close(control)
        except OSError:
            os.close(self._fd)
            raise

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def acknowledge(self) -> None:
        """Take note, so that it polls ready again only for the next time."""
        with suppress(OSError):  # told already, or the group is gone
            if self.poll_for == select.POLLIN:
                os.eventfd_read(self._fd)
            else:
                os.pread(self._fd, 4096, 0)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
