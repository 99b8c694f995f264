"""What the launcher is told, and what is left to Python."""

from __future__ import annotations

import os
import platform
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest

from nsmagic.run.helpers import start_launcher
from nsmagic.run.launchorder import launch_order, open_launcher, program_file
from nsmagic.run.program import surroundings
from nsmagic.wish import steps
from tests.support.skips import needs, probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nsmagic.wish.steps import Step

TRUE = steps.Exec(argv=("true",))
UNSHARE = steps.Unshare(types=("uts",))


@probe
def a_launcher() -> str | None:
    """Whether there is one for this machine."""
    return None if program_file().exists() else f"no launcher for {platform.machine()}"


def order(*plan: Step, **changed: Any) -> bytes | None:
    taken = surroundings()
    return launch_order(plan, taken | changed, taken, tty=False)


def test_an_order_begins_with_its_size() -> None:
    block = order(UNSHARE, steps.Chdir(wd="/tmp"), TRUE)
    assert block is not None
    assert struct.unpack_from("=2I", block) == (len(block), 3)  # umask(2) before the steps


def test_only_what_differs_from_the_spawner_is_set() -> None:
    limits = surroundings()["limits"]
    block = order(UNSHARE, TRUE, nice=3, limits=limits | {0: (5, 6)}, affinity=[70])
    assert block is not None
    assert struct.unpack_from("=2I", block)[1] == 5


@pytest.mark.parametrize(
    "plan",
    [
        (UNSHARE, steps.RunPython()),
        (UNSHARE, steps.Fork(keep=True), TRUE),
        (UNSHARE, steps.MapIdsOutside(kind="uid", maps=()), TRUE),
        (steps.DropGroups(), TRUE),
        (UNSHARE, steps.Init(), TRUE),
        (steps.Chroot(root="/", userspec="nobody"), TRUE),
        (steps.Chdir(wd="/\0tmp"), TRUE),
        (steps.Exec(argv=("echo", "a\0b")),),
        (steps.Exec(argv=("x" * 70_000,)),),
    ],
    ids=lambda plan: type(plan[-2 if len(plan) > 1 else 0]).__name__,
)
def test_what_the_launcher_cannot_do_is_for_python(plan: tuple[Step, ...]) -> None:
    assert order(*plan) is None


def test_an_environment_that_is_too_large_is_for_python() -> None:
    assert order(TRUE, environment={b"A": b"x" * (8 << 20)}) is None


@pytest.fixture
def launcher() -> Iterator[tuple[int, socket.socket]]:
    """A launcher that waits for its order: its PID, and our end of the socket."""
    program = open_launcher()
    assert program is not None
    ours, theirs = socket.socketpair()
    with ours, theirs:
        pid = start_launcher(program, theirs.fileno())
        theirs.close()
        os.close(program)
        yield pid, ours


@needs(a_launcher)
@pytest.mark.linux
@pytest.mark.parametrize("sent", [b"", b"\1", bytes(40), struct.pack("=10I", 1 << 30, *[0] * 9)])
@pytest.mark.parametrize("rights", [0, 3, 5])
def test_a_broken_order_ends_it(
    launcher: tuple[int, socket.socket], sent: bytes, rights: int
) -> None:
    pid, ours = launcher
    null = os.open(os.devnull, os.O_RDONLY)
    if sent:
        socket.send_fds(ours, [sent], [null] * rights)
    os.close(null)
    ours.close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 255
