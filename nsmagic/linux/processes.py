"""Processes as /proc shows them: proc_pid_stat(5), their namespaces, and what else they hold open.

A process that vanishes while it is read is as normal as one that was gone before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from nsmagic.linux.namespaces import Links, NamespaceId, parse_link, read_links
from nsmagic.wish.namespaces import BY_NAME

_THREADS: Final = 17  # num_threads in proc_pid_stat(5), counted from the state
_STARTED: Final = 19
_MOST_COMMAND: Final = 8191  # bytes, what lsns(8) reads of a command line


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A namespace that a process keeps alive otherwise than by its main thread being in it.

    `by` is `thread` or `fd`, `number` the thread's id or the descriptor.
    """

    by: str
    number: int
    type: str
    id: NamespaceId


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """One process.  `uid` is the owner of its directory in /proc, as for lsns(8).

    `links` is None where this user may not look, and has holes for a zombie.
    """

    pid: int
    ppid: int
    uid: int
    links: Links | None
    held: tuple[Held, ...] = ()


def read_processes(proc: str = "/proc") -> dict[int, Process]:
    """Return all processes by PID, in ascending order; those that vanish meanwhile are left out."""
    found = {}
    for pid in sorted(int(name) for name in os.listdir(proc) if name.isdecimal()):
        process = read_process(pid, proc)
        if process is not None:
            found[pid] = process
    return found


def descendants(pid: int, processes: Mapping[int, Process]) -> frozenset[int]:
    """Return, of these processes, one and all that came of it and was not orphaned."""
    children: dict[int, list[int]] = {}
    for process in processes.values():  # a child may have a lower number than its parent
        children.setdefault(process.ppid, []).append(process.pid)
    found, todo = {pid}, [pid]
    while todo:
        new = [child for child in children.get(todo.pop(), []) if child not in found]
        found.update(new)
        todo += new
    return frozenset(found)


def read_process(pid: int, proc: str = "/proc") -> Process | None:
    """Return one process, None where there is none."""
    try:
        # One descriptor for all that follows: a process that gets the same PID is not mixed in.
        directory = os.open(f"{proc}/{pid}", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _read(pid, directory)
    except (FileNotFoundError, ProcessLookupError):
        return None
    finally:
        os.close(directory)


def _read(pid: int, directory: int) -> Process:
    # The name of a process may hold spaces and parentheses; what follows the last one does not.
    fields = _content("stat", directory).rpartition(b")")[2].split(maxsplit=_THREADS + 1)
    uid = os.fstat(directory).st_uid
    try:
        links = read_links(directory)
    except PermissionError:
        return Process(pid=pid, ppid=int(fields[1]), uid=uid, links=None)
    held = _open_namespaces(directory)
    if int(fields[_THREADS]) > 1:
        held += _threads(pid, directory, links)
    return Process(pid=pid, ppid=int(fields[1]), uid=uid, links=links, held=tuple(held))


def _content(path: str, directory: int) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def _open_namespaces(directory: int) -> list[Held]:
    held = []
    with _listed("fd", directory) as (fd, names):
        for name in names:
            try:
                text = os.readlink(name, dir_fd=fd)
            except OSError:  # closed meanwhile
                continue
            kind, bracket, _ = text.partition(":[")  # also socket:[1234] and pipe:[1234]
            if bracket and kind in BY_NAME:
                held.append(Held(by="fd", number=int(name), type=kind, id=parse_link(text)))
    return held


def _threads(pid: int, directory: int, leader: Links) -> list[Held]:
    """Return the namespaces that threads went into, unshare(2) and setns(2), away from the rest."""
    held = []
    with _listed("task", directory) as (fd, names):
        for name in names:
            if name == str(pid):
                continue
            try:
                thread = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=fd)
            except OSError:
                continue
            try:
                links = read_links(thread)
            except OSError:
                continue
            finally:
                os.close(thread)
            held += [
                Held(by="thread", number=int(name), type=kind, id=found)
                for kind, found in links.items()
                if kind in BY_NAME and leader.get(kind) != found
            ]
    return held


@contextmanager
def _listed(name: str, directory: int) -> Iterator[tuple[int, list[str]]]:
    """Open a directory below one in /proc and list it; nothing where that is not allowed."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        yield -1, []
        return
    try:
        try:
            names = os.listdir(fd)
        except OSError:  # it ended between the two calls
            names = []
        yield fd, names
    finally:
        os.close(fd)


def read_command(pid: int, proc: str = "/proc") -> str | None:
    """Return the command line with spaces between its words, as lsns(8) shows it, on one line.

    The name alone where there is none, as for threads of Linux; None for a process that is gone.
    """
    for file in ("cmdline", "comm"):
        try:
            with open(f"{proc}/{pid}/{file}", "rb") as opened:
                text = opened.read(_MOST_COMMAND + 1)
        except OSError:
            return None
        if text:
            return os.fsdecode(text[:-1].replace(b"\0", b" ").replace(b"\n", b" "))
    return None


def life_of(pid: int | str, proc: str = "/proc") -> tuple[int, bool]:
    """Return when a process started, in clock ticks after boot, and whether it is alive.

    FileNotFoundError or ProcessLookupError where there is none.
    """
    with open(f"{proc}/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    # A zombie with other threads is one whose first thread has ended, and the others go on.
    alive = fields[0] not in {b"Z", b"X"} or int(fields[_THREADS]) > 1
    return int(fields[_STARTED]), alive


def read_status(directory: str) -> dict[str, str]:
    """Return the fields of proc_pid_status(5) of a process or a task, which `directory` shows.

    Linux writes a line feed in its name as two characters, and all else as it is.
    """
    with open(f"{directory}/status", "rb") as file:
        lines = os.fsdecode(file.read()).split("\n")
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
