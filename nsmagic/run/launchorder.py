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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from nsmagic.run.boxinit import TITLE
from nsmagic.run.helpers import start_launcher
from nsmagic.run.launchcalls import (
    AFFINITY,
    PRLIMIT64,
    SETPRIORITY,
    UMASK,
    Call,
    Calls,
    Slot,
    UnableError,
)
from nsmagic.wish import steps
from nsmagic.wish.steps import Step

_HEAD: Final = struct.Struct("=10I")  # struct order in launcher.c
_CALL: Final = struct.Struct("=10I5q")  # struct step
_POINTER: Final = 8  # bytes
_MOST: Final = 8 << 20  # bytes, of the launcher's buffer
_LONGEST_PATH: Final = 60_000  # bytes of JSON in a frame of the launcher

_BEFORE: Final = 0xFFFF_FFFF  # the index of a call that belongs to no step


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


def launch_order(
    plan: Sequence[Step], taken: Mapping[str, Any], given: Mapping[str, Any], *, tty: bool
) -> bytes | None:
    """Return the order for a plan; None where a fork of the spawner must do it, in Python.

    `taken` are the `surroundings()` now, `given` those with which the spawner was started.
    """
    body = plan[-1]
    if isinstance(body, steps.Exec):
        argv: Sequence[str] = body.argv
    elif isinstance(body, steps.KeepBox):
        argv = [TITLE]
    else:
        return None
    environment = taken["environment"]
    calls = [(_BEFORE, call) for call in _surroundings(taken, given)]
    made = Calls()
    try:
        for index, step in enumerate(plan[:-1]):
            if isinstance(step, steps.ClearEnvironment):
                kept = {os.fsencode(name) for name in step.keep} & environment.keys()
                environment = {name: environment[name] for name in kept}
            if not step.ahead:
                calls += [(index, call) for call in made.of(step)]
        box = isinstance(body, steps.KeepBox)
        return _Order(calls, len(plan) - 1, argv, environment, tty=tty, box=box).block()
    except UnableError:
        return None


def _surroundings(taken: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[Call]:
    """Yield what makes of a child of the spawner, which has what is `given`, one of ours."""
    yield Call(UMASK, (taken["umask"],))
    for number, limits in taken["limits"].items():
        if limits != given["limits"][number]:
            pair = struct.pack("=2q", *limits)  # RLIM_INFINITY is -1
            yield Call(PRLIMIT64, (0, number, pair, None))
    if taken["nice"] != given["nice"]:
        yield Call(SETPRIORITY, (os.PRIO_PROCESS, 0, taken["nice"]))
    if taken["affinity"] != given["affinity"]:
        mask = sum(1 << cpu for cpu in taken["affinity"])
        size = (mask.bit_length() + 63) // 64 * 8
        yield Call(AFFINITY, (0, size, mask.to_bytes(size, "little")))


class _Order:
    """The block under construction: what stands at its start is of known size."""

    def __init__(
        self, calls: Sequence[tuple[int, Call]], body: int, argv: Sequence[str],
        environment: dict[bytes, bytes], *, tty: bool, box: bool,
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
            box,
        )
        places = {call: place for place, (_, call) in enumerate(calls)}
        for place, (index, call) in enumerate(calls):
            back = 0 if call.unless is None else place - places[call.unless]
            self._write_call(_HEAD.size + place * _CALL.size, index, call, back)
        _HEAD.pack_into(self._data, 0, len(self._data), *head)

    def block(self) -> bytes:
        """Return it whole."""
        if len(self._data) > _MOST:
            raise UnableError
        return bytes(self._data)

    def _write_call(self, place: int, index: int, call: Call, back: int) -> None:
        strings = slots = 0
        arguments = [0] * 5
        for number, given in enumerate(call.arguments):
            if isinstance(given, bytes):
                strings |= 1 << number
                arguments[number] = self._put(given + b"\0")
            elif isinstance(given, Slot):
                slots |= 1 << number
                arguments[number] = given.number
            else:
                arguments[number] = given or 0
        _CALL.pack_into(
            self._data, place, call.number, int.from_bytes(call.tolerated, "little"), index,
            0 if call.path is None else self._json(call.path), strings, slots,
            0 if call.kept is None else call.kept.number + 1, back, 0, 0, *arguments,
        )  # fmt: skip

    def _put(self, data: bytes) -> int:
        offset = len(self._data)
        self._data += data
        return offset

    def _json(self, text: str) -> int:
        written = json.dumps(text).encode()
        if len(written) > _LONGEST_PATH:
            raise UnableError
        return self._put(written + b"\0")

    def _pointers(self, texts: Sequence[bytes]) -> int:
        block = b"".join(text + b"\0" for text in texts)
        if block.count(b"\0") != len(texts):  # Python says what is wrong with it
            raise UnableError
        places = [*accumulate((len(text) + 1 for text in texts), initial=self._put(block))]
        self._data += bytes(-len(self._data) % _POINTER)
        return self._put(struct.pack(f"={len(places)}Q", *places[:-1], 0))


def _candidates(name: bytes, environment: dict[bytes, bytes]) -> list[bytes]:
    """Return the files among which execvp(3) looks for a program."""
    if b"/" in name:
        return [name]
    path = environment.get(b"PATH", os.defpath.encode())
    return [each.rstrip(b"/") + b"/" + name if each else name for each in path.split(b":")]
