"""The init of a box: keeps its namespaces, reaps what is orphaned in it, ends it on SIGTERM.

A fork of the spawner that has done the steps of the box and then does next to nothing, so that it
shares nearly all memory with it.  The box ends with it: in a PID namespace of its own Linux kills
the rest, elsewhere the spawner, its parent, does (`nsmagic.run.spawner`).
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import time
from contextlib import suppress
from typing import Final, NoReturn

from nsmagic.linux import syscalls

TITLE: Final = "nsmagic-init"
SIGNALLED: Final = 128  # as shells tell of it
_GRACE_SECONDS: Final = 0.5
_ENDING: Final = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
_WAITED: Final = _ENDING | {signal.SIGHUP, signal.SIGCHLD}


def begin_box() -> None:
    """Take what the init needs while /proc is still there: its name."""
    gc.disable()
    with suppress(OSError):  # no /proc: it goes by the name of the spawner
        syscalls.set_title(TITLE)


def keep_box() -> NoReturn:
    """Be the init, with nothing open and no directory of the notebook held."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED)
    os.chdir("/")
    os.closerange(0, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 16))
    while True:
        number = signal.sigwait(_WAITED)
        if number == signal.SIGCHLD:
            _reap()
        elif number in _ENDING:
            _end(signal.Signals(number))


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _end(number: signal.Signals) -> NoReturn:
    """Pass the signal on to all in the box, wait a moment for them, and end as by that signal."""
    if os.getpid() == 1:  # elsewhere -1 would be everybody on this machine
        deadline = time.monotonic() + _GRACE_SECONDS
        with suppress(ProcessLookupError):  # nobody is left
            os.kill(-1, number)
            os.kill(-1, signal.SIGCONT)
            while (left := deadline - time.monotonic()) > 0:
                os.kill(-1, 0)
                # Cells are no children of ours, so their ends announce themselves to nobody here.
                signal.sigtimedwait({signal.SIGCHLD}, min(left, 0.02))
                _reap()
    os._exit(SIGNALLED + number)  # PID 1 cannot kill itself
