"""What the launcher (`static/launcher.c`) is told: a plan as system calls, and the program.

An order is one block of memory.  At its start stand `_HEAD`, then a `_CALL` for each call, then the
pointers and texts that these lead to, as offsets from the start; 0 is NULL.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from nsmagic.linux import syscalls
from nsmagic.run import acts
from nsmagic.run.helpers import start_launcher
from nsmagic.wish import steps
from nsmagic.wish.steps import Step

_HEAD: Final = struct.Struct("=10I")  # struct order in launcher.c
_CALL: Final = struct.Struct("=6I5q")  # struct step: number, tolerated, index, path, strings
_POINTER: Final = 8  # bytes
_MOST: Final = 8 << 20  # bytes, of the launcher's buffer
_LONGEST_PATH: Final = 60_000  # bytes of JSON in a frame of the launcher

_NOTHING, _WRITE_FILE, _FORK = 0x10000, 0x10001, 0x10002  # in the place of a call's number
_BEFORE: Final = 0xFFFF_FFFF  # the index of a call that belongs to no step
_EINVAL: Final = 22

# syscall(2) numbers of x86-64, the only machine that there is a launcher for.
_UNSHARE, _MOUNT, _CHROOT, _CHDIR, _PRCTL, _UMASK = 272, 165, 161, 80, 157, 95
_SETGROUPS, _SETGID, _SETUID, _PRLIMIT64, _SETPRIORITY, _AFFINITY = 116, 106, 105, 302, 141, 203

Argument = int | bytes | None


def program_file() -> Path:
    """Return the launcher's file for this machine, which there may be or not."""
    return Path(__file__).parent / "static" / f"launcher-{platform.machine()}"


def open_launcher() -> int | None:
    """Return a descriptor of the launcher, which Linux executed once; None where it does not.

    A copy in memory, because the file's mode and file system may forbid to execute it.
    """
    try:
        program = program_file().read_bytes()
        memory = os.memfd_create("nsmagic-launch", os.MFD_CLOEXEC)
    except OSError:  # another machine
        return None
    os.write(memory, program)
    fd = fcntl.fcntl(memory, fcntl.F_DUPFD_CLOEXEC, 10)  # above what it has open itself
    os.close(memory)
    with suppress(OSError):  # no /proc, vm.memfd_noexec, SELinux
        pid = start_launcher(fd, fd)  # it ends at once: that is no socket
        with suppress(ChildProcessError):  # where SIGCHLD is ignored
            os.waitpid(pid, 0)
        return fd
    os.close(fd)
    return None


@dataclass(frozen=True)
class _Call:
    number: int
    arguments: tuple[Argument, ...] = ()
    path: str | None = None  # that an error is about
    tolerated: int = 0  # an errno that is none


class _Unable(Exception):
    """The launcher cannot do this."""


def _bytes(text: str) -> bytes:
    data = os.fsencode(text)
    if b"\0" in data:  # Python says what is wrong with it
        raise _Unable
    return data


def _write(path: str, text: str) -> _Call:
    return _Call(_WRITE_FILE, (_bytes(path), _bytes(text)), path)


def _mount(
    source: str | None, target: str, fstype: str | None, flags: int, *, tolerated: int = 0
) -> _Call:
    texts = [None if text is None else _bytes(text) for text in (source, target, fstype)]
    return _Call(_MOUNT, (*texts, flags, None), target, tolerated)


def _private(target: str) -> _Call:
    flags = syscalls.MS_PRIVATE | syscalls.MS_REC
    return _mount("none", target, None, flags, tolerated=_EINVAL)


# The functions of `nsmagic.run.acts`, as calls.
_CALLS: Final[dict[Callable[..., object], Callable[..., _Call]]] = {
    syscalls.unshare: lambda flags: _Call(_UNSHARE, (flags,)),
    syscalls.mount: _mount,
    syscalls.die_with_parent: lambda: _Call(_PRCTL, (syscalls.PR_SET_PDEATHSIG, 9)),
    acts.write_file: _write,
    acts.enter_group: lambda cgroup, file: _write(f"{cgroup}/{file}", "0"),
    acts.make_private: _private,
    acts.drop_groups: lambda: _Call(_SETGROUPS, (0, None)),
    os.setgid: lambda gid: _Call(_SETGID, (gid,)),
    os.setuid: lambda uid: _Call(_SETUID, (uid,)),
    os.chroot: lambda path: _Call(_CHROOT, (_bytes(path),), path),
    os.chdir: lambda path: _Call(_CHDIR, (_bytes(path),), path),
}


def launch_order(
    plan: Sequence[Step], taken: Mapping[str, Any], given: Mapping[str, Any], *, tty: bool
) -> bytes | None:
    """Return the order for a plan; None where a fork of the spawner must do it, in Python.

    `taken` are the `surroundings()` now, `given` those with which the spawner was started.
    """
    body = plan[-1]
    if not isinstance(body, steps.Exec):
        return None
    environment = taken["environment"]
    calls = [(_BEFORE, call) for call in _surroundings(taken, given)]
    try:
        for index, step in enumerate(plan[:-1]):
            if isinstance(step, steps.ClearEnvironment):
                kept = {os.fsencode(name) for name in step.keep} & environment.keys()
                environment = {name: environment[name] for name in kept}
            if not step.ahead:
                calls += [(index, call) for call in _calls_of(step)]
        return _Order(calls, len(plan) - 1, body.argv, environment, tty=tty).block()
    except _Unable:
        return None


def _surroundings(taken: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[_Call]:
    """Yield what makes of a child of the spawner, which has what is `given`, one of ours."""
    yield _Call(_UMASK, (taken["umask"],))
    for number, limits in taken["limits"].items():
        if limits != given["limits"][number]:
            pair = struct.pack("=2q", *limits)  # RLIM_INFINITY is -1
            yield _Call(_PRLIMIT64, (0, number, pair, None))
    if taken["nice"] != given["nice"]:
        yield _Call(_SETPRIORITY, (os.PRIO_PROCESS, 0, taken["nice"]))
    if taken["affinity"] != given["affinity"]:
        mask = sum(1 << cpu for cpu in taken["affinity"])
        size = (mask.bit_length() + 63) // 64 * 8
        yield _Call(_AFFINITY, (0, size, mask.to_bytes(size, "little")))


def _calls_of(step: Step) -> Iterator[_Call]:
    if isinstance(step, steps.Fork) and not step.keep:
        yield _Call(_FORK, (None if step.cgroup is None else _bytes(step.cgroup),))
    elif isinstance(step, steps.ClearEnvironment):
        yield _Call(_NOTHING)
    elif step.outside:
        raise _Unable
    else:
        try:
            made = list(acts.acts(step))
        except TypeError:
            raise _Unable from None
        for function, arguments in made:
            if function not in _CALLS:
                raise _Unable
            yield _CALLS[function](*arguments)


class _Order:
    """The block under construction: what stands at its start is of known size."""

    def __init__(
        self, calls: Sequence[tuple[int, _Call]], body: int, argv: Sequence[str],
        environment: dict[bytes, bytes], *, tty: bool,
    ) -> None:  # fmt: skip
        self._data = bytearray(_HEAD.size + _CALL.size * len(calls))
        words = [os.fsencode(word) for word in argv]
        head = (
            len(calls),
            self._pointers(words),
            self._pointers([b"sh", b"", *words[1:]]),  # of a text without #!, its path is put in
            self._pointers([name + b"=" + value for name, value in environment.items()]),
            self._pointers(_candidates(words[0], environment)),
            body,
            self._json(argv[0]),
            tty,
            0,
        )
        for place, (index, call) in enumerate(calls):
            self._write_call(_HEAD.size + place * _CALL.size, index, call)
        _HEAD.pack_into(self._data, 0, len(self._data), *head)

    def block(self) -> bytes:
        """Return it whole."""
        if len(self._data) > _MOST:
            raise _Unable
        return bytes(self._data)

    def _write_call(self, place: int, index: int, call: _Call) -> None:
        strings = sum(1 << n for n, each in enumerate(call.arguments) if isinstance(each, bytes))
        arguments = [
            self._put(each + b"\0") if isinstance(each, bytes) else each or 0
            for each in call.arguments
        ]
        path = 0 if call.path is None else self._json(call.path)
        arguments += [0] * (5 - len(arguments))
        _CALL.pack_into(
            self._data, place, call.number, call.tolerated, index, path, strings, 0, *arguments
        )

    def _put(self, data: bytes) -> int:
        offset = len(self._data)
        self._data += data
        return offset

    def _json(self, text: str) -> int:
        written = json.dumps(text).encode()
        if len(written) > _LONGEST_PATH:
            raise _Unable
        return self._put(written + b"\0")

    def _pointers(self, texts: Sequence[bytes]) -> int:
        block = b"".join(text + b"\0" for text in texts)
        if block.count(b"\0") != len(texts):  # Python says what is wrong with it
            raise _Unable
        places = [*accumulate((len(text) + 1 for text in texts), initial=self._put(block))]
        self._data += bytes(-len(self._data) % _POINTER)
        return self._put(struct.pack(f"={len(places)}Q", *places[:-1], 0))


def _candidates(name: bytes, environment: dict[bytes, bytes]) -> list[bytes]:
    """Return the files among which execvp(3) looks for a program."""
    if b"/" in name:
        return [name]
    path = environment.get(b"PATH", os.defpath.encode())
    return [each.rstrip(b"/") + b"/" + name if each else name for each in path.split(b":")]
