"""Files that tell by a lock, flock(2), that their kernel still lives: ledgers and logs.

A lock ends with its process, however that ends, and means the same in every PID namespace.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


def lock(fd: int) -> None:
    """Lock an open file until it is closed, if its file system has locks."""
    with suppress(OSError):  # NFS without a lock daemon: ENOLCK
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_locked(file: Path) -> bool:
    """Whether a process has it locked; also where that cannot be told, as of a file of root's."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
