"""Whom a word means: a PID, `self` (this notebook's kernel), `host` (PID 1), or a box."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from nsmagic.linux.namespaces import Links, read_links
from nsmagic.linux.processes import read_command
from nsmagic.wish.errors import NsmagicError, WishError
from nsmagic.wish.lsns import HOST, SELF
from nsmagic.wish.spelling import or_nearest

_A_PID: Final = re.compile(r"[0-9]{1,10}")


def own_pid(proc: str = "/proc") -> int:
    """Return our PID as this proc numbers processes; os.getpid() may be of another namespace."""
    return int(os.readlink(f"{proc}/self"))


def find_pid(word: str, boxes: Mapping[int, str], proc: str = "/proc") -> int:
    """Return the PID that a word means; `boxes` names PIDs.  WishError if it means nobody."""
    if _A_PID.fullmatch(word):
        return int(word)
    if word == SELF:
        return own_pid(proc)
    if word == HOST:
        return 1
    for pid, name in boxes.items():
        if name == word:
            return pid
    near = or_nearest(word, [SELF, HOST, *boxes.values()])
    raise WishError(f"{word!r} is neither a PID nor the name of a box here{near}")


def links_of(pid: int, proc: str = "/proc") -> Links:
    """Return the namespaces of a process or thread.

    Raises WishError if there is none, and NsmagicError if this user may not look.
    """
    try:
        return read_links(f"{proc}/{pid}")
    except PermissionError:
        command = read_command(pid, proc) or ""
        raise NsmagicError(
            f"the namespaces of PID {pid} ({command[:40]}) cannot be read by this user",
            hint="Linux shows them only to who may trace that process: its owner, while it has no"
            " capabilities that the owner lacks, ptrace(2).",
        ) from None
    except (FileNotFoundError, ProcessLookupError, ValueError):
        raise WishError(f"there is no process {pid}") from None
