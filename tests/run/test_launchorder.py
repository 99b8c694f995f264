"""What the launcher is told, and what is left to Python."""

from __future__ import annotations

import os
import platform
import signal
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nsmagic.run.boxinit import SIGNALLED, TITLE
from nsmagic.run.helpers import start_launcher
from nsmagic.run.inherited import own_status, surroundings
from nsmagic.run.launchcalls import Call
from nsmagic.run.launchorder import _Order, launch_order, open_launcher, program_file
from nsmagic.wish import steps
from tests.support.skips import needs, probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nsmagic.wish.steps import Step

TRUE = steps.Exec(argv=("true",))
UNSHARE = steps.Unshare(types=("uts",))
_CLOSE = 3  # syscall(2) number


@probe
def a_launcher() -> str | None:
    """Whether there is one for this machine."""
    return None if program_file().exists() else f"no launcher for {platform.machine()}"


def order(*plan: Step, **changed: Any) -> bytes | None:
    taken = surroundings(own_status())
    return launch_order(plan, taken | changed, taken, tty=False)


def test_an_order_begins_with_its_size() -> None:
    block = order(UNSHARE, steps.Chdir(wd="/tmp"), TRUE)
    assert block is not None
    assert struct.unpack_from("=2I", block) == (len(block), 3)  # umask(2) before the steps


def test_only_what_differs_from_the_spawner_is_set() -> None:
    limits = surroundings(own_status())["limits"]
    block = order(UNSHARE, TRUE, nice=3, limits=limits | {0: (5, 6)}, affinity=[70])
    assert block is not None
    assert struct.unpack_from("=2I", block)[1] == 5


@pytest.mark.parametrize(
    "plan",
    [
        (UNSHARE, steps.RunPython()),
        (UNSHARE, steps.Fork(keep=True), TRUE),
        (UNSHARE, steps.MapIdsOutside(kind="uid", maps=()), TRUE),
        (steps.KeepCaps(), TRUE),
        (steps.TakeEnvironment(file="/proc/1/environ"), TRUE),
        (*(steps.Hold(path=f"/{number}") for number in range(17)), TRUE),
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


def send(ours: socket.socket, sent: bytes, rights: int) -> None:
    root = os.open("/", os.O_RDONLY)
    socket.send_fds(ours, [sent], [root] * rights)
    os.close(root)


@needs(a_launcher)
@pytest.mark.linux
@pytest.mark.parametrize("sent", [b"", b"\1", bytes(40), struct.pack("=10I", 1 << 30, *[0] * 9)])
@pytest.mark.parametrize("rights", [0, 3, 5])
def test_a_broken_order_ends_it(
    launcher: tuple[int, socket.socket], sent: bytes, rights: int
) -> None:
    pid, ours = launcher
    if sent:
        send(ours, sent, rights)
    ours.close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 255


@needs(a_launcher)
@pytest.mark.linux
def test_where_linux_does_not_execute_the_init_the_launcher_is_it(
    launcher: tuple[int, socket.socket],
) -> None:
    """For SELinux stands here a call that closes the init's program, which has the next number."""
    pid, ours = launcher
    inits = 5
    close = Call(_CLOSE, (inits,))
    block = _Order([(0, close)], 1, [TITLE], {}, tty=False, box=True).block()
    send(ours, block, 5)
    proc = Path(f"/proc/{pid}")
    while (proc / "comm").read_text() != f"{TITLE}\n":
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    assert "nsmagic-launch" in os.readlink(proc / "exe")
    assert list((proc / "fd").iterdir()) == []
    assert os.readlink(proc / "cwd") == "/"
    os.kill(pid, signal.SIGHUP)
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == SIGNALLED + signal.SIGTERM
