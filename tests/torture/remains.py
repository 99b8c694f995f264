"""What is left of one kernel of several, found by a mark in its environment that all inherit."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "NSMAGIC_TORTURE"  # in the environment of a kernel and of all that it starts
_OWNER = re.compile(r"nsmagic-(\d+)[-.]")  # the kernel's PID in the name of a cgroup
_TICK = 0.02  # s; most of what is left tells nobody of its end
_STARTED = 19  # starttime in proc_pid_stat(5), counted from the state


def _stat(pid: int) -> list[str]:
    """The fields of proc_pid_stat(5) from the state on; empty when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def command(pid: int) -> str:
    """PID, state and command line, so that a person can find it."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
        return f"{pid} {(_stat(pid) or '?')[0]} {words or Path(f'/proc/{pid}/comm').read_text()}"
    return f"{pid} gone"


def _is_ours(path: Path) -> bool:
    return path.name.lstrip(".").startswith("nsmagic-")


class Remains:
    """Watches over one kernel: `look` while it lives, `left` after its death."""

    def __init__(self, mark: str, folders: tuple[Path, ...], work: Path) -> None:
        """`folders` are for temporary and run-time files; in `work` the user's files stay."""
        self._mark = f"{MARK}={mark}".encode()
        self._folders, self._work = folders, work
        self.seen: dict[int, str] = {}  # starttime by PID, zombies too

    def look(self) -> dict[int, str]:
        """Note and return the processes that live now."""
        now = {pid: fields[_STARTED] for pid in self._marked() if (fields := _stat(pid))}
        self.seen |= now
        return now

    def _marked(self) -> list[int]:
        found = []
        for name in os.listdir("/proc"):
            if name.isdecimal():
                # Gone, a zombie, or somebody else's.
                with contextlib.suppress(OSError):
                    if self._mark in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                        found.append(int(name))
        return found

    def left(self) -> dict[str, list[str]]:
        """What is there now, by kind; empty kinds are left out."""
        self.look()
        news = {
            "processes": [
                command(pid)
                for pid, started in self.seen.items()
                if (fields := _stat(pid)) and fields[_STARTED] == started
            ],
            "cgroups": self._groups(),
            "mounts": [
                line
                for line in Path("/proc/self/mountinfo").read_text().splitlines()
                if any(str(folder) in line for folder in (*self._folders, self._work))
            ],
            "files": [*map(str, self._files())],
        }
        return {kind: things for kind, things in news.items() if things}

    def _files(self) -> Iterator[Path]:
        for folder in self._folders:
            for path in folder.rglob("*"):
                if not path.is_dir() or _is_ours(path):
                    yield path
        yield from filter(_is_ours, self._work.rglob("*"))

    def _groups(self) -> list[str]:
        return [
            str(Path(folder, name))
            for folder, names, _ in os.walk("/sys/fs/cgroup")
            for name in names
            if (owner := _OWNER.match(name)) and int(owner[1]) in self.seen
        ]

    def wait(self, seconds: float) -> dict[str, list[str]]:
        """What is still left after at most `seconds`; empty as soon as nothing is."""
        end = time.monotonic() + seconds
        while (news := self.left()) and time.monotonic() < end:
            time.sleep(_TICK)
        return news
