"""The ledger: a file per kernel that names what exists outside its processes and must be removed.

The spawner removes what its kernel leaves.  The ledger is for when both are killed, or the machine
crashes: `nsmagic.run.sweep` then removes what the ledgers of dead kernels name.  A note is one
write(2) to a file in memory, about 5 µs, and never waits for a disk.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Final

from nsmagic.run.locks import lock
from nsmagic.run.owner import Owner
from nsmagic.run.perprocess import OnePerProcess

_LONGEST: Final = 256 * 1024  # bytes, from which on what was forgotten is left out

Entry = tuple[str, str]


def ledger_dir() -> Path:
    """Return the directory of this user's ledgers, made if it is not there, private.

    The user's runtime directory (platformdirs).  OSError where it is not ours alone.
    """
    import platformdirs  # the spawner, which is given the directory, has no site-packages

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a runtime directory in /tmp: checked below
        place = Path(platformdirs.user_runtime_dir("nsmagic"))
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_private(place)
    return place


def check_private(place: Path) -> None:
    """Raise PermissionError unless the directory is ours and nobody else may write there."""
    status = place.lstat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o170022 != 0o040000:
        raise PermissionError(1, "not a directory that only you can write to", str(place))


class Ledger:
    """This kernel's own.  Where none can be written `trouble` says why, and cells go on."""

    def __init__(self, directory: Path | None = None) -> None:
        self.trouble = ""
        self.path: Path | None = None
        self.pid = os.getpid()
        self._lock = threading.Lock()
        self._entries: dict[Entry, None] = {}
        self._fd, self._size = -1, 0
        try:
            place = directory or ledger_dir()
            path = place / Owner.me().file
            self._fd = _open(path)
            self._size = os.fstat(self._fd).st_size
        except OSError as error:
            self.trouble = f"no ledger is kept: {error.filename or ''}: {error.strerror}"
        else:
            self.path = path

    def note(self, kind: str, what: str) -> None:
        """Write down, before it is made, that `what` must be removed (see `sweep.KINDS`)."""
        self._write("+", kind, what)

    def forget(self, kind: str, what: str) -> None:
        """Write down that it is removed."""
        self._write("-", kind, what)

    def close(self) -> None:
        """Remove the file, if there is nothing left in it."""
        with self._lock:
            if self.path is not None and not self._entries:
                with suppress(PermissionError):  # after os.setuid(); the sweep does it
                    self.path.unlink(missing_ok=True)
            if self._fd >= 0:
                os.close(self._fd)
            self._fd, self.path = -1, None

    def _write(self, sign: str, kind: str, what: str) -> None:
        if os.getpid() != self.pid:  # a forked copy, whose descriptors may be other files
            return
        with self._lock:
            if sign == "+":
                self._entries[kind, what] = None
            else:
                self._entries.pop((kind, what), None)
            if self._fd < 0:
                return
            try:
                if self._size <= _LONGEST or not self._shortened():
                    self._size += _write_whole(self._fd, _line(sign, kind, what))
            except OSError as error:
                self.trouble = f"the ledger stops: {self.path}: {error.strerror}"

    def _shortened(self) -> bool:
        """Put a file in its place that has only what is left; False, and all is as before, if not.

        Whole at every moment.
        """
        assert self.path is not None
        fresh = self.path.with_suffix(".new")
        fd = -1
        try:
            fresh.unlink(missing_ok=True)
            fd = _open(fresh)
            size = _write_whole(fd, b"".join(_line("+", *entry) for entry in self._entries))
            fresh.rename(self.path)
        except OSError:  # no room: the one that is there takes a line more
            if fd >= 0:
                os.close(fd)
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            return False
        os.close(self._fd)
        self._fd, self._size = fd, size
        return True


def _open(path: Path) -> int:
    """Open a ledger for adding to it, locked."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    lock(fd)
    return fd


def _write_whole(fd: int, data: bytes) -> int:
    """Write and return how much; OSError where there is room for a part only."""
    if (size := os.write(fd, data)) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return size


def _line(sign: str, kind: str, what: str) -> bytes:
    # A new line first: one that was written in part does not spoil the next.
    return b"\n" + json.dumps([sign, kind, what]).encode()


def read_entries(file: Path, *, most: int = 16 * 2**20) -> list[Entry]:
    """Return what a ledger still names, in order; lines that make no sense are passed over.

    OSError where it is no regular file of ours.
    """
    fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as opened:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid() or status.st_mode & 0o170000 != 0o100000:
            raise PermissionError(1, "not a file of yours", str(file))
        lines = opened.read(most).split(b"\n")
    entries: dict[Entry, None] = {}
    for line in lines:
        with suppress(ValueError, TypeError, RecursionError):
            sign, kind, what = json.loads(line)
            if sign == "+" and isinstance(kind, str) and isinstance(what, str):
                entries[kind, what] = None
            elif sign == "-":
                entries.pop((kind, what), None)
    return list(entries)


class Noted:
    """Has this process's ledger name what is made meanwhile; what is gone at the end it forgets.

    For names that nobody else gives: what another made there would stay in the ledger.  Not a
    generator: Python ends one that is left over, also in a forked child that drops it.
    """

    def __init__(self, kind: str, *paths: Path) -> None:
        self._kind, self._paths = kind, paths

    def __enter__(self) -> None:
        for path in self._paths:
            ledger().note(self._kind, str(path))

    def __exit__(self, *_: object) -> None:
        for path in self._paths:
            if not os.path.lexists(path):
                ledger().forget(self._kind, str(path))


_ledger: Final = OnePerProcess(Ledger)


def ledger() -> Ledger:
    """Return this process's ledger, opened if it is not yet."""
    return _ledger()


def close_ledger() -> None:
    """Close this process's ledger; it stays where something is still named in it."""
    if (own := _ledger.take()) is not None:
        own.close()
