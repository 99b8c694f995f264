"""All processes of one cell, as the thing that can be signalled and ended whole."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from nsmagic.linux import cgroups


class Tree:
    """The cell's processes: the main one by pidfd, all of them by cgroup where there is one.

    In a new PID namespace the end of the main process is the end of all; without either, the
    keeper (`nsmagic.run.keeper`) sees to it.
    """

    def __init__(self, cgroup: Path | None = None) -> None:
        self.cgroup = cgroup
        self.pid = 0
        self._pidfd = -1
        if cgroup is not None:
            cgroup.mkdir()

    def adopt(self, pid: int) -> None:
        """Take `pid`, an unreaped child of ours or of the spawner, as the main process."""
        self._forget()
        self._pidfd = os.pidfd_open(pid)
        self.pid = pid

    def interrupt(self, number: signal.Signals) -> None:
        """Send `number` to the main process's group, as a terminal does."""
        if not self.pid:
            return
        try:
            signal.pidfd_send_signal(self._pidfd, 0)
            os.killpg(self.pid, number)
        except ProcessLookupError:
            self.send(number)  # ended, or not the leader of a group (yet)

    def send(self, number: signal.Signals) -> None:
        """Send `number` to the main process alone."""
        if self._pidfd >= 0:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return

    def kill(self) -> None:
        """Kill the whole tree, whatever it ignores."""
        self.send(signal.SIGKILL)
        if self.cgroup is not None:
            cgroups.kill(self.cgroup)

    def clear(self) -> int:
        """End what outlived the main process; return how many processes that were."""
        self._forget()
        if self.cgroup is None:
            return 0
        left = cgroups.kill(self.cgroup)
        cgroups.remove(self.cgroup)
        self.cgroup = None
        return left

    def _forget(self) -> None:
        self.pid = 0
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
