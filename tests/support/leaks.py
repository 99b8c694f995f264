"""What a test left behind: processes, descriptors, mounts, cgroups, links, namespaces, files.

A process is ours when its environment carries `MARK` (inherited by everything we start, through
any number of forks and sessions) or when it is a bare fork of the test process, whose arguments
lie at the same randomised addresses.  What existed before a test is its baseline, so long-lived
kernels do not count.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import select
import signal
import socket
import tempfile
import time
from dataclasses import dataclass, fields
from pathlib import Path

from nsmagic.run.ledger import read_entries
from nsmagic.wish.namespaces import NAMESPACES

MARK = f"NSMAGIC_TEST_ID={os.getpid()}-{time.time_ns()}"
DEADLINE = 10.0  # s; Linux tears network namespaces down asynchronously
TICK = 0.02  # s; for what announces its end to nobody: cgroup directories, zombies, files
NAMES = [row.name for row in NAMESPACES]
NAMESPACE = re.compile(rf"(?:{'|'.join(NAMES)}):\[\d+\]$")
# arg_start to env_end in proc_pid_stat(5), counted from the state: kept by fork, not by execve.
ADDRESSES = slice(45, 49)
SPAWNER = "nsmagic.run.spawner"  # in its command line
LEDGER = re.compile(rf"/{os.getpid()}-[^/]*\.ledger$")  # open as long as we live
OWNER = re.compile(r"/nsmagic-(\d+)-")  # the kernel's PID
STARTED = 19  # starttime, counted likewise
# Older than this process, so never ours: looked at once.  Not the younger ones: in the middle of
# execve(2) a process of ours has neither our addresses nor an environment yet.
_older: set[int] = set()
# Temporary directories of this test run: mounts below those of another are not ours.
own_directories: set[str] = set()


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What exists now, each thing spelled so that a person can find it.

    `alive` are the numbers of all processes, whoever's: one that has just executed its program has
    no environment yet, and so no mark.
    """

    processes: frozenset[str]
    descriptors: frozenset[str]
    mounts: frozenset[str]
    cgroups: frozenset[str]
    links: frozenset[str]
    namespaces: frozenset[str]
    files: frozenset[str]
    alive: frozenset[int]

    def added(self, before: Snapshot) -> dict[str, list[str]]:
        """What is here and was not before, by kind; kinds without news are left out."""
        news = {
            field.name: sorted(getattr(self, field.name) - getattr(before, field.name))
            for field in fields(self)
            if field.name != "alive"
        }
        # By number alone: a process that was there may have called execve(2), or be a zombie now.
        news["processes"] = [
            text for text in news["processes"] if int(text.split()[0]) not in before.alive
        ]
        return {kind: things for kind, things in news.items() if things}


def mark() -> None:
    """Put the mark into the environment; call once, before any child is started."""
    name, _, value = MARK.partition("=")
    os.environ[name] = value


def snapshot() -> Snapshot:
    """Look at everything; about 1 ms, however many processes others have."""
    alive = frozenset(int(name) for name in os.listdir("/proc") if name.isdigit())
    processes, namespaces = _our_processes(alive)
    return Snapshot(
        processes=processes,
        descriptors=_descriptors(),
        mounts=frozenset(filter(_is_ours, Path("/proc/self/mountinfo").read_text().splitlines())),
        cgroups=frozenset(_cgroups()),
        links=frozenset(name for _, name in socket.if_nameindex()),
        namespaces=namespaces,
        files=_files(),
        alive=alive,
    )


def leaked(before: Snapshot) -> dict[str, list[str]]:
    """What is left `DEADLINE` seconds after a test, by kind; empty as soon as nothing is."""
    news = snapshot().added(before)
    if not news:
        return news
    gc.collect()  # a dead traceback may hold the last reference to a pipe
    end = time.monotonic() + DEADLINE
    while (news := snapshot().added(before)) and time.monotonic() < end:
        _wait_for_news(news.get("processes", ()))
    return news


def clean_up(news: dict[str, list[str]]) -> None:
    """Kill leaked processes and remove leaked cgroups, so that the next test starts clean."""
    for text in news.get("processes", ()):
        pid = int(text.split()[0])
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    for path in sorted(news.get("cgroups", ()), key=len, reverse=True):
        with contextlib.suppress(OSError):
            Path(path).rmdir()


def _wait_for_news(processes: list[str] | tuple[()]) -> None:
    """Until a process ends or a mount changes, at most one `TICK`."""
    poll = select.poll()
    with contextlib.ExitStack() as stack:
        for text in processes:
            pid, _, name = text.partition(" ")
            if name.endswith("(zombie)"):  # its pidfd is readable for good: no event to wait for
                continue
            with contextlib.suppress(ProcessLookupError):
                descriptor = os.pidfd_open(int(pid))
                stack.callback(os.close, descriptor)
                poll.register(descriptor, select.POLLIN)
        mounts = stack.enter_context(Path("/proc/self/mountinfo").open())
        mounts.read()
        poll.register(mounts, select.POLLPRI)
        poll.poll(TICK * 1000)


def _our_processes(alive: frozenset[int]) -> tuple[frozenset[str], frozenset[str]]:
    """Processes of ours other than this one, and the namespaces that any of ours is in or holds."""
    processes: set[str] = set()
    spares: set[str] = set()  # one for each spawner
    namespaces = set(_namespaces("self"))
    _older.intersection_update(alive)
    for pid in alive - _older - {os.getpid()}:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ends while we look
            text, (fields, _) = describe(pid), _stat(pid)
            if not text:
                if int(fields[STARTED]) < int(_stat(os.getpid())[0][STARTED]):
                    _older.add(pid)
            elif SPAWNER in text and fields[1] not in spares and _is_spare(pid):
                spares.add(fields[1])
            else:
                processes.add(text)
                namespaces |= _namespaces(str(pid))
    return frozenset(processes), frozenset(namespaces)


def describe(pid: int) -> str:
    """`PID command` of a process that is ours, else nothing."""
    stat, command_name = _stat(pid)
    state, parent = stat[0], int(stat[1])
    try:
        marked = MARK.encode() in _read(f"/proc/{pid}/environ").split(b"\0")
    except (PermissionError, ProcessLookupError):  # somebody else's; a zombie or a kernel thread
        marked = False
    if not (marked or parent == os.getpid() or stat[ADDRESSES] == _stat(os.getpid())[0][ADDRESSES]):
        return ""
    command = _read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace").strip()
    text = f"{pid} {command or command_name}"
    return f"{text} (zombie)" if state == "Z" else text


def _is_spare(pid: int) -> bool:
    """The helper that a spawner forks beforehand: no program of its own, nothing unshared yet."""
    fields = _stat(pid)[0]
    parent = int(fields[1])
    if fields[ADDRESSES] != _stat(parent)[0][ADDRESSES]:
        return False
    own, above = ([os.readlink(f"/proc/{p}/ns/{name}") for name in NAMES] for p in (pid, parent))
    return own == above


def _stat(pid: int) -> tuple[list[str], str]:
    """The fields of proc_pid_stat(5) from the state on, and the name in parentheses."""
    head, _, tail = _read(f"/proc/{pid}/stat").decode(errors="replace").rpartition(")")
    return tail.split(), head.partition(" ")[2] + ")"


def _read(path: str) -> bytes:
    # A third of the time of Path.read_bytes(), and there are hundreds of these files.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return b"".join(iter(lambda: os.read(descriptor, 65536), b""))
    finally:
        os.close(descriptor)


def _namespaces(pid: str) -> frozenset[str]:
    """Namespaces a process is in, gives to its children, or holds open."""
    found: set[str] = set()
    for folder in ("ns", "fd"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            for link in os.listdir(f"/proc/{pid}/{folder}"):
                with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                    found.add(os.readlink(f"/proc/{pid}/{folder}/{link}"))
    return frozenset(filter(NAMESPACE.match, found))


def _is_ours(mount: str) -> bool:
    """Whether a line of mountinfo is not below the temporary directory of another test run."""
    target = mount.split()[4]
    temporary = target.startswith(("/tmp/nst-", "/tmp/pytest-of-"))
    return not temporary or target.startswith(tuple(own_directories))


def _descriptors() -> frozenset[str]:
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that lists the directory
            target = os.readlink(f"/proc/self/fd/{number}")
            if not LEDGER.search(target):
                found.add(f"{number} -> {target}")
    return frozenset(found)


def _cgroups() -> set[str]:
    """Directories nsmagic-* in every mounted hierarchy that hold no processes of others."""
    return {path for path in cgroups() if not _of_others(path)}


def cgroups() -> set[str]:
    """Directories nsmagic-* in every mounted hierarchy, whoever's."""
    found: set[str] = set()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] in {"cgroup", "cgroup2"}:
            _walk(left.split()[4], found)
    return found


def _walk(folder: str, found: set[str]) -> None:
    # cgroupfs counts links as ext4 does: a leaf has 2, and needs no listing of its many files.
    with contextlib.suppress(FileNotFoundError, PermissionError):
        if os.stat(folder).st_nlink == 2:  # noqa: PTH116
            return
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name.startswith("nsmagic-"):
                        found.add(entry.path)
                    _walk(entry.path, found)


def _of_others(folder: str) -> bool:
    """Another test run on this machine made it for a kernel of its own, or has processes there."""
    if (owner := OWNER.search(folder)) is not None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return int(owner[1]) != os.getpid() and not describe(int(owner[1]))
    with contextlib.suppress(OSError):
        for pid in Path(folder, "cgroup.procs").read_text().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if not describe(int(pid)):
                    return True
    return False


def _files() -> frozenset[str]:
    """Entries nsmagic* of the temporary and run-time directories (private to this test run).

    The directory of ledgers stays; what a ledger still names counts, but for the user's own files.
    """
    ledgers = Path(os.environ.get("XDG_RUNTIME_DIR", tempfile.gettempdir()), "nsmagic")
    folders = {tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR", tempfile.gettempdir())}
    found = set()
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            found |= {str(path) for path in Path(folder).glob("nsmagic*") if path != ledgers}
    for file in ledgers.glob("*.ledger"):
        with contextlib.suppress(OSError):  # its kernel ends while we look
            for kind, what in read_entries(file):
                if kind != "namespace" and os.path.lexists(what):
                    found.add(f"{kind} {what} in {file.name}")
    return frozenset(found)
