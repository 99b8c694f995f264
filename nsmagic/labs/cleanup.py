"""What a lab left running: found by the mark in its environment, or below this notebook's kernel.

Nothing is found by name.  A process is ours when the learner's word, which is new at every start,
is in the environment it was started with, or when its parents lead to our kernel.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from nsmagic.labs.process import Gone
from nsmagic.labs.watched import Watched
from nsmagic.linux.processes import descendants, read_command, read_processes
from nsmagic.linux.subjects import own_pid

MARK: Final = "NSMAGIC_LAB"
# The spawner, the keeper and the launcher: they end by themselves, with the kernel.
_HELPERS: Final = ("nsmagic.run.", "nsmagic-launch")
_DEADLINE: Final = 2.0  # s
_SHOWN: Final = 60  # characters of a command


def own_processes(word: str) -> dict[int, str]:
    """Return PID and command of what this notebook started and still runs, helpers aside."""
    processes = read_processes()
    me = own_pid()
    below = descendants(me, processes)
    found = {}
    for pid in processes:
        if pid != me and (pid in below or (word and _marked(pid, word))):
            command = read_command(pid) or ""
            if not any(helper in command for helper in _HELPERS):
                found[pid] = command
    return found


def _marked(pid: int, word: str) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"{MARK}={word}".encode() in environment


def end_processes(word: str, older: Iterable[Watched]) -> list[str]:
    """Kill what is left of a lab and return their commands; what is `older` than the lab stays.

    Nobody is waited for: a Popen of the notebook wants to do that itself.
    """
    ended = []
    spared = {each.pid for each in older if each.lives}
    for pid, command in own_processes(word).items():
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if pid in spared or Watched(pid).state == "Z":
                continue
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            ended.append(f"{pid} {' '.join(command.split())[:_SHOWN]}".strip())
            select.select([handle], [], [], _DEADLINE)
        except (Gone, ProcessLookupError, PermissionError):
            continue
        finally:
            os.close(handle)
    return ended
