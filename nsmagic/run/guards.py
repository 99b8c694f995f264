"""What the spawner ends when the kernel dies, although it is not the spawner's own child."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from nsmagic.linux import cgroups


class Guard:
    """The main process of one cell, by pidfd, and its cgroup's directories; all may be unknown.

    `inside` is the box that the cell is in.
    """

    def __init__(self) -> None:
        self.inside = ""
        self.cgroups: tuple[Path, ...] = ()
        self._pidfd = self._group = -1

    def hold(self) -> None:
        """Hold the cgroup that is there now: later one of its name may be another's.

        Killed by path, one that has replaced it would kill whatever is born into it by clone3(2),
        Linux 6.18.
        """
        for cgroup in self.cgroups[:1]:
            self._group = os.open(cgroup, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def take(self, pidfd: int) -> None:
        """Take the process in the place of the one before."""
        self.forget()
        self._pidfd = pidfd

    def forget(self) -> None:
        """Forget the process: the cell has ended, or another process goes on."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def close(self) -> None:
        """Forget the process and the cgroup."""
        self.forget()
        if self._group >= 0:
            os.close(self._group)
            self._group = -1

    def kill(self) -> None:
        """Kill the process and everything in the cgroup."""
        if self._pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        for cgroup in self.cgroups[:1]:  # v2 where there is one, which kills at one blow
            with suppress(OSError):  # gone already, never made, or of v1
                cgroups.kill(cgroup if self._group < 0 else Path(f"/proc/self/fd/{self._group}"))

    def remove(self) -> None:
        """Remove the cgroup, once it is empty."""
        for cgroup in self.cgroups:
            with suppress(OSError):
                cgroups.end(cgroup)
