"""What this machine has to offer where a line is completed: files, programs, users, processes.

Each function yields values that begin with `start`, and in a word or two what each of them is.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from nsmagic.linux.rooted import walk
from nsmagic.wish.values import Kind

Offers = Iterator[tuple[str, str]]
_MOST_PROCESSES: Final = 300


def files(start: str, *, root: str = "", directories_only: bool = False) -> Offers:
    """Yield files below `root`, directories with a slash behind; hidden ones only if asked for."""
    folder, slash, name = start.rpartition("/")
    here = f"{folder}{slash}"
    way = walk(here, root) if root else None
    if way is not None and way.missing:
        return
    with suppress(OSError), os.scandir(here or "." if way is None else way.real) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            if not entry.name.startswith(name) or (entry.name[0] == "." and not name):
                continue
            if not entry.name.isprintable():
                continue
            if _is_directory(entry):
                yield f"{here}{entry.name}/", "directory"
            elif not directories_only:
                yield f"{here}{entry.name}", "file"


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a circle
        return False


def directories(start: str) -> Offers:
    """Yield directories."""
    return files(start, directories_only=True)


def programs(start: str, root: str = "") -> Offers:
    """Yield programs of PATH, looked up below `root`; files where a path was begun."""
    if "/" in start:
        yield from files(start, root=root)
        return
    found: dict[str, str] = {}
    for folder in os.get_exec_path():
        way = walk(folder, root)
        if folder.startswith("/") and not way.missing:
            with suppress(OSError), os.scandir(way.real) as entries:
                for entry in entries:
                    if entry.name.startswith(start) and entry.name.isprintable():
                        found.setdefault(entry.name, f"program in {folder}")
    yield from sorted(found.items())


def users(start: str) -> Offers:
    """Yield login names."""
    for entry in pwd.getpwall():
        if entry.pw_name.startswith(start):
            yield entry.pw_name, f"user {entry.pw_uid}"


def groups(start: str) -> Offers:
    """Yield names of groups."""
    for entry in grp.getgrall():
        if entry.gr_name.startswith(start):
            yield entry.gr_name, f"group {entry.gr_gid}"


def uids(start: str) -> Offers:
    """Yield numbers of users."""
    for entry in pwd.getpwall():
        if str(entry.pw_uid).startswith(start):
            yield str(entry.pw_uid), f"user {entry.pw_name}"


def gids(start: str) -> Offers:
    """Yield numbers of groups."""
    for entry in grp.getgrall():
        if str(entry.gr_gid).startswith(start):
            yield str(entry.gr_gid), f"group {entry.gr_name}"


def userspecs(start: str) -> Offers:
    """Yield USER, and behind a colon GROUP."""
    user, colon, group = start.partition(":")
    if not colon:
        yield from users(start)
        return
    for name, what in groups(group):
        yield f"{user}:{name}", what


def variables(start: str) -> Offers:
    """Yield names of environment variables."""
    for name in sorted(os.environ):
        if name.startswith(start):
            yield name, "environment variable"


def processes(start: str) -> Offers:
    """Yield PIDs, the youngest first, with their command; no threads of Linux, no zombies."""
    pids = sorted((int(name) for name in os.listdir("/proc") if name.isdecimal()), reverse=True)
    for pid in [each for each in pids if str(each).startswith(start)][:_MOST_PROCESSES]:
        with suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").strip()
            if command:
                yield str(pid), os.fsdecode(command)


OFFERS: Final[dict[str, Callable[[str], Offers]]] = {
    "file": files,
    "directory": directories,
    "program": programs,
    "user": users,
    "group": groups,
    "uid": uids,
    "gid": gids,
    "userspec": userspecs,
    "environment": variables,
    "subject": processes,
    "target": processes,
}


def offered(kind: Kind, start: str) -> Offers:
    """Yield values of a kind, where this machine knows any: a Source of `nsmagic.wish.complete`."""
    look = OFFERS.get(kind.source)
    return iter(()) if look is None else look(start)
