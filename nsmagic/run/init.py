"""PID 1 of a PID namespace: reaps what is orphaned, forwards signals, ends with its first child."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Final, NoReturn

from nsmagic.linux import syscalls
from nsmagic.run.boxinit import TITLE
from nsmagic.run.channel import Channel

# What a person or the kernel sends to the init and means for the cell, pid_namespaces(7).
_FORWARDED: Final = {
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGWINCH, signal.SIGCONT,
}  # fmt: skip


def fork_from_init(channel: Channel) -> None:
    """Become the init and never return, but in the child, which goes on."""
    waited = _FORWARDED | {signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    pid = syscalls.continue_as_child(sibling=False)
    if pid:
        _be_init(pid, waited, channel)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, waited)


def _be_init(child: int, waited: set[signal.Signals], channel: Channel) -> NoReturn:
    with suppress(OSError):  # no /proc: it goes by the name of who forked it
        syscalls.set_title(TITLE)
    os.setsid()
    for fd in (0, 1, 2):
        os.close(fd)
    while True:
        number = signal.sigwait(waited)
        if number != signal.SIGCHLD:
            with suppress(ProcessLookupError):  # between the child's end and our reaping it
                os.killpg(child, number)
            continue
        with suppress(ChildProcessError):
            while (reaped := os.waitpid(-1, os.WNOHANG))[0]:
                if reaped[0] == child:
                    channel.send("cell_status", status=reaped[1])
                    os._exit(0)
