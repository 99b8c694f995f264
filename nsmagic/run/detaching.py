"""How a fork of ours becomes a process of its own: its descriptors, its signals, its session."""

from __future__ import annotations

import fcntl
import os
import signal
import termios
from collections.abc import Callable, Collection


def close_all_but(kept: Collection[int]) -> None:
    """Close every descriptor of this process but these numbers."""
    _all_but(kept, os.close)


def plug_all_but(kept: Collection[int]) -> None:
    """Make every descriptor but these an O_PATH one, on which reading and writing give EBADF.

    Closing would free the numbers: an object of the notebook that still holds one could then close
    or write a file that the cell opened since.  What they lead to is a file without a directory:
    through one of "/" a cell could leave the root that it is put in.
    """
    file = os.memfd_create("nsmagic-plug", os.MFD_CLOEXEC)
    plug = os.open(f"/proc/self/fd/{file}", os.O_PATH | os.O_CLOEXEC)
    _all_but({*kept, plug}, lambda fd: os.dup2(plug, fd, inheritable=False))
    os.close(plug)


def _all_but(kept: Collection[int], act: Callable[[int], object]) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            try:
                act(int(name))
            except OSError:
                continue  # the descriptor of the listing itself


def reset_signals() -> None:
    """Give every signal its default back and block none, as a program expects it."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        # SIGPIPE and SIGXFSZ too, which Python ignores and exec would pass on: `yes | head` hangs.
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def lead_session(*, tty: bool) -> None:
    """Make this process the leader of a session of its own, and fd 0 its terminal."""
    os.setsid()
    if tty:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
