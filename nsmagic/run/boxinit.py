"""The init of a box: keeps its namespaces, reaps what is orphaned in it, ends it on SIGTERM.

The box ends with it: in a PID namespace of its own Linux kills the rest, elsewhere the spawner, its
parent, does (`nsmagic.run.spawner`).  The process that did the steps of the box becomes a program
of 1 kB that needs nothing of its root (`static/boxinit.c`).  Where there is none for this machine,
or Linux does not let it be executed, it goes on as what it is, the launcher or a fork of the
spawner with 3 MB of its own, and does the same.
"""

from __future__ import annotations

import gc
import os
import platform
import resource
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from nsmagic.linux import syscalls

TITLE: Final = "nsmagic-init"
SIGNALLED: Final = 128  # is added to the signal that ended it, for its exit status, as shells do
_GRACE_SECONDS: Final = 0.5
_TICK_SECONDS: Final = 0.02
_ENDING: Final = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
_WAITED: Final = _ENDING | {signal.SIGHUP, signal.SIGCHLD}


def program_file() -> Path:
    """Return the file of the program for this machine, which there may be or not."""
    return Path(__file__).parent / "static" / f"boxinit-{platform.machine()}"


def begin_box() -> int:
    """Take what the init needs while it is still there; return the program as a descriptor, or -1.

    A copy in memory, because the file's mode and file system may forbid to execute it.
    """
    gc.disable()
    with suppress(OSError):  # no /proc: it goes by the name of the spawner
        syscalls.set_title(TITLE)
    try:
        program = program_file().read_bytes()
        fd = os.memfd_create(TITLE, os.MFD_CLOEXEC)
    except OSError:  # another machine
        return -1
    os.write(fd, program)
    return fd


def keep_box(program: int) -> NoReturn:
    """Be the init, with nothing open and no directory of the notebook held."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED)
    os.chdir("/")
    most = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 16)
    if program >= 0:
        os.closerange(0, program)
        os.closerange(program + 1, most)
        with suppress(OSError):  # vm.memfd_noexec, SELinux
            os.execve(program, [TITLE], os.environ)
    os.closerange(0, most)
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
            while time.monotonic() < deadline:
                os.kill(-1, 0)
                # Cells are no children of ours, so their ends announce themselves to nobody here.
                signal.sigtimedwait({signal.SIGCHLD}, _TICK_SECONDS)
                _reap()
    os._exit(SIGNALLED + number)  # PID 1 cannot kill itself
