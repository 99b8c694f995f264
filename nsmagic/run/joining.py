"""Doing the steps that go into what exists, setns(2)."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any, Final

from nsmagic.linux import syscalls
from nsmagic.linux.processes import life_of
from nsmagic.wish import steps
from nsmagic.wish.namespaces import BY_NAME, clone_flags
from nsmagic.wish.steps import Step

# What was opened while its path still meant what it means outside; of this process only.
_held: Final[dict[str, int]] = {}


def held(path: str, flags: int = os.O_PATH) -> int:
    """Return the descriptor that a Hold step opened, else open the path now; the caller closes."""
    if path in _held:
        return _held.pop(path)
    return os.open(path, flags | os.O_CLOEXEC)


def close_held() -> None:
    """Close what no step took: nothing of the outside may stay open in a cell."""
    while _held:
        os.close(_held.popitem()[1])


def _hold(step: steps.Hold) -> None:
    with suppress(KeyError):
        os.close(_held.pop(step.path))
    _held[step.path] = os.open(step.path, os.O_RDONLY | os.O_CLOEXEC)


def _join(step: steps.Join) -> None:
    """Enter all at once; where Linux cannot, one after another as nsenter(1) does.

    Also where it refuses: then the error names the namespace.
    """
    with ExitStack() as opened:
        files = {name: _open(file, opened) for name, file in step.files}
        left = list(step.in_two_passes())
        if step.types:
            pidfd, directory = _open_process(step.pid, step.start, opened)
            for name in step.types:  # now, because /proc may be another one after the first
                path = f"/proc/{step.pid}/ns/{name}"
                files[name] = _open(path, opened, f"ns/{name}", directory)
            if "user" in step.types:  # once in it, what lies outside cannot be entered any more
                left = [
                    each for each in left
                    if each[0] in step.types or not _enter(*each, files, last=False)
                ]  # fmt: skip
            with suppress(OSError):  # EINVAL before Linux 5.8
                syscalls.setns(pidfd, clone_flags(frozenset(step.types)))
                left = [each for each in left if each[0] not in step.types]
        later = [each for each in left if each[0] == "user" or not _enter(*each, files, last=False)]
        for name, path in sorted(later, key=lambda each: each[0] != "user"):
            _enter(name, path, files, last=True)


def _open_process(pid: int, start: int, opened: ExitStack) -> tuple[int, int]:
    """Return a pidfd and the directory in /proc of that very process.

    ESRCH if it has ended, whoever has its PID now.
    """
    place = f"/proc/{pid}"
    with suppress(ProcessLookupError, FileNotFoundError):
        pidfd = os.pidfd_open(pid)
        opened.callback(os.close, pidfd)
        directory = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.callback(os.close, directory)
        found, alive = life_of(f"self/fd/{directory}")
        if alive and start in {0, found}:
            return pidfd, directory
    raise OSError(errno.ESRCH, os.strerror(errno.ESRCH), place)


def _open(path: str, opened: ExitStack, name: str = "", directory: int | None = None) -> int:
    try:
        fd = os.open(name or path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    opened.callback(os.close, fd)
    return fd


def _enter(name: str, path: str, files: Mapping[str, int], *, last: bool) -> bool:
    try:
        syscalls.setns(files[name], BY_NAME[name].flag)
    except OSError as error:
        if last:
            raise OSError(error.errno, error.strerror, path) from None
        return False
    return True


def _change_root(step: steps.JoinRoot) -> None:
    before = os.open(".", os.O_PATH | os.O_CLOEXEC)
    root = held(step.root)
    os.fchdir(root)
    os.chroot(".")
    os.chdir("/")
    if step.keep_wd:
        os.fchdir(before)
    for fd in (before, root):
        os.close(fd)


def _change_wd(step: steps.JoinWd) -> None:
    fd = held(step.wd)
    os.fchdir(fd)
    os.close(fd)


def _take_environment(step: steps.TakeEnvironment) -> None:
    with open(held(step.file, os.O_RDONLY), "rb") as file:
        pairs = [entry.partition(b"=") for entry in file.read().split(b"\0") if b"=" in entry]
    os.environ.clear()
    os.environb.update({name: value for name, _, value in pairs if name})


ACTS: Final[dict[type[Step], Callable[[Any], None]]] = {
    steps.Hold: _hold,
    steps.Join: _join,
    steps.JoinRoot: _change_root,
    steps.JoinWd: _change_wd,
    steps.TakeEnvironment: _take_environment,
}
