"""What became of a cell."""

from __future__ import annotations

import os
import resource
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from nsmagic.linux.cgroups.limiting import Reading
    from nsmagic.linux.cgroups.oom import OomReport
    from nsmagic.wish.limits import Limit

# Of the real-time signals only the first and the last have names, signal(7).
_NAMED: Final = frozenset(int(named) for named in signal.Signals)


@dataclass(frozen=True)
class Usage:
    """CPU seconds, and the peak resident memory in bytes of the largest process, getrusage(2)."""

    user_seconds: float = 0.0
    system_seconds: float = 0.0
    max_rss: int = 0

    @classmethod
    def of(cls, usage: resource.struct_rusage) -> Self:
        """Return what wait4(2) told; Linux counts ru_maxrss in KiB."""
        return cls(usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024)


@dataclass(kw_only=True)
class Result:
    """How the cell's main process ended; `status` is its wait status, waitpid(2).

    `pid` is its number in Linux's log, 0 where we cannot tell.  `stopped` says why we ended it:
    `interrupted`, `timeout`, `start` or empty.  `spent` holds
    milliseconds per step of the plan, `seconds` the wall time, `left` how many processes outlived
    the main one.  `limits` and `oom` are those of the cell's own cgroup and what its counters tell,
    if it had one; `all_killed` says that we did what `oomgroup` asks for, and `pids` is the limit
    that refused forks.  `tracer` is the PID of who traces what was killed.
    """

    status: int = 0
    pid: int = 0
    stopped: str = ""
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    left: int = 0
    spent: list[float] = field(default_factory=list, repr=False)
    limits: tuple[Limit, ...] = ()
    oom: OomReport | None = field(default=None, repr=False)
    all_killed: bool = False
    pids: Reading | None = None
    tracer: int = 0

    @property
    def exit_code(self) -> int | None:
        """The exit status, or None when a signal ended it."""
        return os.WEXITSTATUS(self.status) if os.WIFEXITED(self.status) else None

    @property
    def killed_by(self) -> str:
        """The name of the signal that ended it, or empty."""
        if not os.WIFSIGNALED(self.status):
            return ""
        number = os.WTERMSIG(self.status)
        if number in _NAMED:
            return signal.Signals(number).name
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"

    @property
    def ending(self) -> str:
        """How it ended, in words that go on after its name: `exited with status 3`."""
        if self.stopped == "timeout":
            return f"ran into its --timeout and was stopped after {self.seconds:.1f} s"
        if self.stopped == "start":
            return "did not get going within 10 s and was killed"
        if self.stopped:
            return "was stopped"
        if self.killed_by:
            return f"was killed by {self.killed_by}"
        return f"exited with status {self.exit_code}"

    @property
    def out_of_memory(self) -> bool:
        """Whether the OOM killer, which sends SIGKILL, ended the main process."""
        if self.stopped or self.killed_by != "SIGKILL":
            return False
        return self.all_killed or (self.oom is not None and self.oom.may_have_killed(self.pid))

    @property
    def forks_refused(self) -> int:
        """How often a limit on processes made fork(2) and clone(2) fail inside."""
        if self.oom is None:
            return 0
        return (self.oom.after.forks_refused or 0) - (self.oom.before.forks_refused or 0)

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with status 0."""
        return self.status == 0 and not self.stopped
