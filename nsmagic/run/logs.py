"""The whole output of a cell as a file in the user's state directory, and how long it stays."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from io import BufferedWriter, FileIO
from itertools import count
from pathlib import Path
from typing import Final

import platformdirs

from nsmagic.linux.processes import life_of
from nsmagic.run.locks import is_locked, lock

_NAME: Final = re.compile(r"\d{8}-\d{6}-pid(?P<pid>\d+)-cell[\w.-]+-(?P<start>[0-9a-f]+)\.log")
_BUFFER: Final = 2**18
_PARTS: Final = 16  # room is made among the older logs each time a log grew by this part of `total`


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How much is kept: `total` bytes in all logs together (also of one log), for `age` seconds."""

    total: int = 1_000_000_000
    age: float = 7 * 86400.0


def state_dir() -> Path:
    """Where nsmagic keeps state: NSMAGIC_STATE_DIR, else below XDG_STATE_HOME (basedir-spec)."""
    return Path(os.environ.get("NSMAGIC_STATE_DIR") or platformdirs.user_state_dir("nsmagic"))


def readable_size(size: int) -> str:
    """`size` bytes for a person, in the decimal units that the caps use: `37.2 MB`."""
    if size < 1000:
        return f"{size} B"
    for unit, scale in (("kB", 1e3), ("MB", 1e6)):
        if size < 999.95 * scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e9:.1f} GB"


class LogFile:
    """Every byte of a cell's output, in order of arrival; a file once more than `hold` bytes came.

    With `eager` the file is there from the start.  `path` is None as long as there is no file,
    `kept` counts the bytes of the file, and `trouble` says in one line why it is not whole.  A log
    that cannot be written never raises: the cell goes on.
    """

    def __init__(
        self,
        *,
        cell: int | str,
        hold: int = 1_000_000,
        eager: bool = False,
        directory: Path | None = None,
        retention: Retention | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.path: Path | None = None
        self.kept = 0
        self.trouble = ""
        self._cell = re.sub(r"[^\w.-]", "_", str(cell), flags=re.ASCII) or "_"
        self._hold = hold
        self._given = directory
        self._retention = retention or Retention()
        self._now = now
        self._held = bytearray()
        self._file: BufferedWriter | None = None
        self._mark = -1
        if eager:
            self._open()

    @cached_property
    def _directory(self) -> Path:
        return self._given or state_dir() / "logs"  # most cells have no log, and need not wait

    def write(self, data: bytes) -> None:
        """Append `data`."""
        if self._file is not None:
            if self.kept + len(data) > self._mark:
                self._make_room(self._file, len(data))
            self._put(data)
        elif not self.trouble:
            self._held += data
            if len(self._held) > self._hold:
                self._open()

    def flush(self) -> None:
        """Hand what is buffered to Linux, so that a reader of the file sees it."""
        if self._file is not None:
            try:
                self._file.flush()
            except OSError as error:
                self._stop(self._file, str(error.strerror))

    def close(self) -> None:
        """Finish the file; what was held in memory only is forgotten."""
        self.flush()
        if self._file is not None:
            self._file.close()
        self._file = None
        self._held.clear()

    def _open(self) -> None:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path, self._file = self._create()
        except OSError as error:
            where = error.filename or self._directory
            self.trouble = f"no log of this cell is kept: {where}: {error.strerror}"
        held, self._held = bytes(self._held), bytearray()
        self.write(held)

    def _create(self) -> tuple[Path, BufferedWriter]:
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(self._now()))
        start = _started("self")
        for attempt in count(1):
            cell = self._cell if attempt == 1 else f"{self._cell}.{attempt}"
            path = self._directory / f"{stamp}-pid{os.getpid()}-cell{cell}-{start:x}.log"
            with contextlib.suppress(FileExistsError):
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                break
        os.fchmod(fd, 0o600)  # the notebook's umask may have taken the owner's bits away
        lock(fd)
        return path, BufferedWriter(FileIO(fd, "wb"), _BUFFER)

    def _put(self, data: bytes) -> None:
        if self._file is None:
            return
        fits = data[: self._retention.total - self.kept]
        try:
            self.kept += self._file.write(fits)
        except OSError as error:
            self._stop(self._file, str(error.strerror))
        else:
            if len(fits) < len(data):
                self._stop(self._file, "one log may not grow larger")

    def _make_room(self, file: BufferedWriter, coming: int) -> None:
        coming += self._retention.total // _PARTS
        self._mark = self.kept + coming
        try:
            file.flush()
            prune(self._directory, self._retention, now=self._now(), coming=coming)
        except OSError as error:
            self._stop(file, str(error.strerror))

    def _stop(self, file: BufferedWriter, why: str) -> None:
        with contextlib.suppress(OSError):  # what fails here is being said just now
            file.flush()
        self.kept = os.fstat(file.fileno()).st_size
        self.trouble = f"the log stops at {readable_size(self.kept)}: {self.path}: {why}"
        # The raw file first: BufferedWriter.close would try to write the rest and raise again.
        file.raw.close()
        self._file = None


@dataclass(frozen=True, kw_only=True)
class _Log:
    path: Path
    own: bool
    pid: int
    start: int
    changed: float
    size: int


def prune(directory: Path, retention: Retention, *, now: float, coming: int = 0) -> list[Path]:
    """Remove logs that are too old, then the oldest while all, and `coming` bytes, are too much.

    A log being written stays, and so does every log of another live kernel; this kernel's own
    finished logs go last.  Returns what was removed.
    """
    logs = sorted(_logs(directory), key=lambda log: (log.own, log.changed))
    size = coming + sum(log.size for log in logs)
    removed = []
    for log in logs:
        unwanted = size > retention.total or log.changed < now - retention.age
        if unwanted and not _in_use(log):
            log.path.unlink(missing_ok=True)
            size -= log.size
            removed.append(log.path)
    return removed


def _logs(directory: Path) -> Iterator[_Log]:
    me = os.getpid(), _started("self")
    for path in directory.iterdir():
        if match := _NAME.fullmatch(path.name):
            pid, start = int(match["pid"]), int(match["start"], 16)
            with contextlib.suppress(FileNotFoundError):  # another kernel prunes too
                stat = path.lstat()
                yield _Log(
                    path=path,
                    own=(pid, start) == me,
                    pid=pid,
                    start=start,
                    changed=stat.st_mtime,
                    size=stat.st_size,
                )


def _in_use(log: _Log) -> bool:
    """Whether it may still be written: its PID tells, or where that means nothing, its lock."""
    lives = not log.own and log.start != 0 and _started(log.pid) == log.start
    return lives or is_locked(log.path)


def _started(pid: int | str) -> int:
    """Return when a process began, which with its PID names it for ever; 0 if nobody tells."""
    try:
        return life_of(pid)[0]
    except OSError:
        return 0
