"""Cgroups for tests: made where this machine has them, gone afterwards, on v1, v2 and hybrid."""

from __future__ import annotations

import os
import shlex
import struct
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nsmagic.linux.cgroups import private_place, remove
from nsmagic.linux.cgroups.group import Cgroup, make_group
from nsmagic.linux.cgroups.places import Place, Places
from nsmagic.wish.errors import CgroupError
from nsmagic.wish.limits import parse_limits, with_implied
from tests.support.skips import probe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BUSY = """
import os, struct, time
print(flush=True)
(end,) = struct.unpack("d", os.read(0, 8))  # said when everybody is here
while time.monotonic() < end:
    pass
os._exit(0)
"""


@probe
def groups_with_limits() -> str | None:
    """Can a group with limits be made here?"""
    try:
        Places().find([limit.row for limit in parse_limits(["mem=64M", "cpu=1", "pids=9"])])
    except CgroupError as error:
        return f"no cgroup can be made here: {error}"
    return None


def any_place() -> Place | None:
    """Where groups can be made, with controllers or without; None if nowhere."""
    try:
        return Places().find()
    except CgroupError:
        return None


@contextmanager
def bare_group(name: str) -> Iterator[Path]:
    """Make a group of cgroup v2 without limits, where ours are made."""
    place = private_place()
    assert place is not None
    made = place / f"nsmagic-{os.getpid()}-{name}"
    made.mkdir()
    try:
        yield made
    finally:
        remove(made)


@contextmanager
def group(line: str = "", *, name: str = "test", place: Place | None = None) -> Iterator[Cgroup]:
    """Make a group with the limits of a line."""
    limits = with_implied(parse_limits(shlex.split(line)))
    rows = [limit.row for limit in limits]
    made = make_group(place or Places().find(rows), os.getpid(), name, rows)
    try:
        made.set(limits)
        yield made
    finally:
        made.remove()
        for child in _inside.pop(name, []):
            child.communicate()


def start(
    inside: Cgroup, argv: Sequence[str], *, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[str]:
    """Start a program in a group: a shell enters and becomes it."""
    enter = "".join(f"echo 0 > {shlex.quote(str(file))} && " for file in inside.entrance.files)
    child = subprocess.Popen(
        ["sh", "-c", f'{enter}exec "$@"', "sh", *argv],
        stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    _inside.setdefault(inside.name, []).append(child)
    return child


_inside: dict[str, list[subprocess.Popen[str]]] = {}


def python(inside: Cgroup, code: str, *arguments: str) -> tuple[int, str, str]:
    """Run Python code in a group; return its exit status, output and errors."""
    child = start(inside, [sys.executable, "-I", "-c", code, *arguments])
    out, err = child.communicate(timeout=60)
    return child.returncode, out, err


def burn(groups: Sequence[Cgroup], seconds: float, *, cpu: int | None = None) -> list[float]:
    """Run a busy loop in every group at once; return the CPU seconds that each used.

    On the one CPU `cpu`, if given.
    """
    read, write = os.pipe()
    pin = [] if cpu is None else ["taskset", "--cpu-list", str(cpu)]
    argv = [*pin, sys.executable, "-I", "-c", BUSY]
    children = [start(each, argv, stdin=read) for each in groups]
    os.close(read)
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    before = [used(each) for each in groups]
    os.write(write, struct.pack("d", time.monotonic() + seconds) * len(groups))
    for child in children:
        _, err = child.communicate(timeout=60)
        assert child.returncode == 0, err
    os.close(write)
    return [used(each) - then for each, then in zip(groups, before, strict=True)]


def used(inside: Cgroup) -> float:
    """Return the CPU seconds of a group."""
    sample = inside.sample()
    assert sample is not None
    seconds = sample["cpu.usage"]
    assert seconds is not None
    return seconds
