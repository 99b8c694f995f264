"""A plan's steps as the system calls that the launcher makes of them.

Here stands what `nsmagic.run.perform` does in Python, for the same errors: those that are tolerated
there are tolerated here, and each names the same path.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nsmagic.linux import syscalls
from nsmagic.run import acts
from nsmagic.wish import steps
from nsmagic.wish.namespaces import BY_NAME, clone_flags
from nsmagic.wish.steps import Step

# syscall(2) numbers of x86-64, the only machine that there is a launcher for.
UMASK, PRLIMIT64, SETPRIORITY, AFFINITY = 95, 302, 141, 203
_UNSHARE, _SETNS, _MOUNT, _CHROOT, _CHDIR, _FCHDIR, _PRCTL = 272, 308, 165, 161, 80, 81, 157
_SETGROUPS, _SETGID, _SETUID, _OPEN, _OPENAT, _PIDFD_OPEN = 116, 106, 105, 2, 257, 434
_NOTHING, _WRITE_FILE, _FORK, _CHECK_PROCESS = 0x10000, 0x10001, 0x10002, 0x10003  # in their place

_SLOTS: Final = 16  # SLOTS in launcher.c
_EVERY: Final = b"\xff" * 4  # errnos


@dataclass(frozen=True)
class Slot:
    """A place of the launcher's for what a call returns."""

    number: int


Argument = int | bytes | Slot | None


@dataclass(frozen=True, eq=False)
class Call:
    """One call.  `path` is what an error is about, `tolerated` has up to four errnos that are none.

    It is not made where `unless` has succeeded.
    """

    number: int
    arguments: tuple[Argument, ...] = ()
    path: str | None = None
    tolerated: bytes = b""
    kept: Slot | None = None
    unless: Call | None = None


class UnableError(Exception):
    """The launcher cannot do this."""


def _bytes(text: str) -> bytes:
    data = os.fsencode(text)
    if b"\0" in data:  # Python says what is wrong with it
        raise UnableError
    return data


def _write(path: str, text: str) -> Call:
    return Call(_WRITE_FILE, (_bytes(path), _bytes(text)), path)


def _mount(
    source: str | None, target: str, fstype: str | None, flags: int, *tolerated: int
) -> Call:
    texts = [None if text is None else _bytes(text) for text in (source, target, fstype)]
    return Call(_MOUNT, (*texts, flags, None), target, bytes(tolerated))


def _private(target: str) -> Call:
    flags = syscalls.MS_PRIVATE | syscalls.MS_REC
    return _mount("none", target, None, flags, errno.EINVAL)


# The functions of `nsmagic.run.acts`, as calls.
_CALLS: Final[dict[Callable[..., object], Callable[..., Call]]] = {
    syscalls.unshare: lambda flags: Call(_UNSHARE, (flags,)),
    syscalls.mount: _mount,
    syscalls.die_with_parent: lambda: Call(_PRCTL, (syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)),
    acts.write_file: _write,
    acts.enter_group: lambda cgroup, file: _write(f"{cgroup}/{file}", "0"),
    acts.make_private: _private,
    acts.drop_groups: lambda: Call(_SETGROUPS, (0, None)),
    acts.try_to_drop_groups: lambda: Call(
        _SETGROUPS, (0, None), tolerated=bytes([errno.EPERM, errno.EACCES])
    ),
    acts.return_to: lambda wd: Call(
        _CHDIR, (_bytes(wd),),
        tolerated=bytes([errno.ENOENT, errno.ENOTDIR, errno.EPERM, errno.EACCES]), path=wd,
    ),
    os.setgid: lambda gid: Call(_SETGID, (gid,)),
    os.setuid: lambda uid: Call(_SETUID, (uid,)),
    os.chroot: lambda path: Call(_CHROOT, (_bytes(path),), path),
    os.chdir: lambda path: Call(_CHDIR, (_bytes(path),), path),
}  # fmt: skip


class Calls:
    """Turns the steps of one plan into calls, in order; UnableError where the launcher cannot."""

    def __init__(self) -> None:
        self._slots = 0
        self._held: dict[str, Slot] = {}

    def of(self, step: Step) -> Iterator[Call]:
        """Yield the calls of the next step."""
        special = self._SPECIAL.get(type(step))
        if special is not None:
            yield from special(self, step)
            return
        if step.outside:
            raise UnableError
        try:
            made = list(acts.acts(step))
        except TypeError:
            raise UnableError from None
        for function, arguments in made:
            if function not in _CALLS:
                raise UnableError
            yield _CALLS[function](*arguments)

    def _slot(self) -> Slot:
        if self._slots == _SLOTS:
            raise UnableError
        self._slots += 1
        return Slot(self._slots - 1)

    def _open(self, path: str, flags: int = os.O_PATH) -> Call:
        arguments = (_bytes(path), flags | os.O_CLOEXEC, 0)
        return Call(_OPEN, arguments, path, kept=self._slot())

    def _open_held(self, path: str) -> tuple[Slot, list[Call]]:
        """Return where the descriptor of a path is that a Hold step opened, else open it now."""
        if path in self._held:
            return self._held.pop(path), []
        call = self._open(path)
        assert call.kept is not None
        return call.kept, [call]

    def _hold(self, step: steps.Hold) -> Iterator[Call]:
        call = self._open(step.path, os.O_RDONLY)
        assert call.kept is not None
        self._held[step.path] = call.kept
        yield call

    def _fork(self, step: steps.Fork) -> Iterator[Call]:
        if step.keep:
            raise UnableError
        group: Slot | int = -1
        if step.cgroup is not None:
            group, opened = self._open_held(step.cgroup)
            yield from opened
        yield Call(_FORK, (group,))

    def _clear_environment(self, _: steps.ClearEnvironment) -> Iterator[Call]:
        yield Call(_NOTHING)  # the order has the environment that is left

    def _change_root(self, step: steps.JoinRoot) -> Iterator[Call]:
        before = self._open(".")
        yield before
        root, opened = self._open_held(step.root)
        yield from opened
        yield Call(_FCHDIR, (root,))
        yield _CALLS[os.chroot](".")
        yield _CALLS[os.chdir]("/")
        if step.keep_wd:
            yield Call(_FCHDIR, (before.kept,))

    def _change_wd(self, step: steps.JoinWd) -> Iterator[Call]:
        wd, opened = self._open_held(step.wd)
        yield from opened
        yield Call(_FCHDIR, (wd,))

    def _join(self, step: steps.Join) -> Iterator[Call]:
        """All at once, then what was refused one after another: see `nsmagic.run.joining`."""
        opened = {name: self._open(file, os.O_RDONLY) for name, file in step.files}
        yield from opened.values()
        entered: dict[str, Call] = {}
        passes = list(step.in_two_passes())  # the user namespace last, and then first
        if step.types:
            process = self._open_process(step.pid)
            pidfd, directory = process[0].kept, process[1].kept
            yield from process
            yield Call(_CHECK_PROCESS, (pidfd, directory, step.start), process[1].path)
            for name in step.types:
                arguments = (directory, _bytes(f"ns/{name}"), os.O_RDONLY | os.O_CLOEXEC, 0)
                path = f"/proc/{step.pid}/ns/{name}"
                opened[name] = Call(_OPENAT, arguments, path, kept=self._slot())
                yield opened[name]
            if "user" in step.types:
                outside = [name for name, _ in passes if name not in step.types]
                yield from _try_each(outside, opened, entered)
            flags = clone_flags(frozenset(step.types))
            at_once = Call(_SETNS, (pidfd, flags), tolerated=_EVERY)
            entered |= dict.fromkeys(step.types, at_once)
            yield at_once
        yield from _try_each((name for name, _ in passes if name != "user"), opened, entered)
        for name, path in sorted(passes, key=lambda each: each[0] != "user"):
            yield _enter(name, opened, entered.get(name), path=path)

    def _open_process(self, pid: int) -> tuple[Call, Call]:
        place, flags = f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        gone = bytes([errno.ENOENT, errno.ESRCH])  # which _CHECK_PROCESS says
        return (
            Call(_PIDFD_OPEN, (pid, 0), tolerated=gone, kept=self._slot()),
            Call(_OPEN, (_bytes(place), flags, 0), place, tolerated=gone, kept=self._slot()),
        )

    _SPECIAL: Final[dict[type[Step], Callable[[Calls, Any], Iterator[Call]]]] = {
        steps.Hold: _hold,
        steps.Fork: _fork,
        steps.ClearEnvironment: _clear_environment,
        steps.JoinRoot: _change_root,
        steps.JoinWd: _change_wd,
        steps.Join: _join,
    }


def _try_each(
    names: Iterable[str], opened: Mapping[str, Call], entered: dict[str, Call]
) -> Iterator[Call]:
    for name in names:
        entered[name] = _enter(name, opened, entered.get(name), tolerated=_EVERY)
        yield entered[name]


def _enter(
    name: str, opened: Mapping[str, Call], unless: Call | None, **how: Any,
) -> Call:  # fmt: skip
    arguments = (opened[name].kept, BY_NAME[name].flag)
    return Call(_SETNS, arguments, unless=unless, **how)
