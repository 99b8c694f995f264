"""Output pipes: order of two streams, floods, and what an ordinary user may have."""

from __future__ import annotations

import fcntl
import itertools
import os
import random
import select
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import pytest

from nsmagic.linux.ids import SystemNames
from nsmagic.linux.situation import read_situation
from nsmagic.run.fork import Main
from nsmagic.run.launch import ForkLauncher
from nsmagic.run.pipes import OutputPipe, waiting
from nsmagic.run.sandbox import Sandbox
from nsmagic.run.spawning import close_spawner, spawner
from nsmagic.run.tree import Tree
from nsmagic.wish import steps
from nsmagic.wish.plan import make_plan
from nsmagic.wish.unshare import unshare_wish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nsmagic.run.channel import Channel, Frame
    from nsmagic.run.result import Result
    from tests.support.user import Account

pytestmark = pytest.mark.linux

MANY = """
import os
from nsmagic.run.pipes import OutputPipe
pipes = [OutputPipe() for _ in range(100)]
for pipe in pipes:
    pipe.widen()
for pipe in pipes:
    os.write(pipe.write_end, b"a")
    os.write(pipe.write_end, b"b")
    assert pipe.read() == b"ab"
sizes = {__import__("fcntl").fcntl(pipe.write_end, 1032) for pipe in pipes}
print("several sizes" if len(sizes) > 1 else sizes)
"""


@pytest.fixture
def pipe() -> Iterator[OutputPipe]:
    pipe = OutputPipe()
    yield pipe
    pipe.close()


def test_one_read_is_one_write(pipe: OutputPipe) -> None:
    assert pipe.read() == b""
    os.write(pipe.write_end, b"first")
    os.set_blocking(pipe.write_end, False)
    with pytest.raises(BlockingIOError):
        os.write(pipe.write_end, b"second")  # waits until the first was read
    assert waiting(pipe.read_end) == 5
    assert pipe.read() == b"first"
    assert pipe.read() == b""
    assert waiting(pipe.read_end) == 0


def test_wide_merges_and_loses_nothing(pipe: OutputPipe) -> None:
    os.write(pipe.write_end, b"1")
    pipe.widen()
    pipe.widen()
    assert not fcntl.fcntl(pipe.write_end, fcntl.F_GETFL) & os.O_DIRECT
    for number in range(2, 10):
        os.write(pipe.write_end, b"%d" % number)
    assert waiting(pipe.read_end) == 9
    text = b"".join(iter(pipe.read, b""))
    assert text == b"123456789"


def test_a_flood_widens(pipe: OutputPipe) -> None:
    for _ in range(100):
        assert not pipe.wide
        os.write(pipe.write_end, b"x")
        pipe.read()
    assert pipe.wide


def test_a_slow_stream_stays_narrow(pipe: OutputPipe) -> None:
    for number in range(300):
        pipe._since -= 0.002  # as if it were written 2 ms later
        os.write(pipe.write_end, b"x")
        pipe.read()
        assert not pipe.wide, number


def test_an_ordinary_user_may_have_too_many_pages(as_user: Account) -> None:
    """pipe-user-pages-soft, pipe(7): 100 wide pipes are more than that."""
    done = as_user.run([as_user.python, "-c", MANY])
    assert done.stderr == ""
    assert done.stdout == "several sizes\n"


def test_epoll_lists_pipes_in_the_order_of_writing() -> None:
    """What `nsmagic.run.pipes` builds upon."""
    pipes = [OutputPipe() for _ in range(8)]
    poller = select.epoll()
    for pipe in pipes:
        poller.register(pipe.read_end, select.EPOLLIN | select.EPOLLET)
    for order in itertools.islice(itertools.permutations(pipes), 0, 40_000, 800):
        for pipe in order:
            os.write(pipe.write_end, b"x")
        assert [fd for fd, _ in poller.poll(0)] == [pipe.read_end for pipe in order]
        for pipe in order:
            pipe.read()
    poller.close()
    for pipe in pipes:
        pipe.close()


@dataclass
class Recorder:
    """Keeps what arrived, in order; adjacent pieces of one stream are one.

    `full`: call that when the last piece has so many bytes.
    """

    pieces: list[tuple[str, bytes]] = field(default_factory=list)
    full: tuple[int, Callable[[], None]] = (-1, lambda: None)

    def output(self, stream: str, data: bytes) -> None:
        before = self.pieces.pop()[1] if self.pieces and self.pieces[-1][0] == stream else b""
        self.pieces.append((stream, before + data))
        if len(self.pieces[-1][1]) == self.full[0]:
            self.full[1]()

    def message(self, frame: Frame, channel: Channel) -> None:  # noqa: ARG002
        raise AssertionError(frame)

    def ready(self, result: Result) -> None:
        pass

    def deadline(self) -> float | None:
        return None

    def tick(self) -> None:
        pass


def cell(body: Callable[[Channel], NoReturn], recorder: Recorder, number: int) -> Sandbox:
    """A running Python cell without a notebook."""
    wish, _, _ = unshare_wish(["--uts"], SystemNames())
    plan = make_plan(wish, read_situation(wish), steps.RunPython())
    launcher = ForkLauncher(plan, Main(body=body))
    sandbox = Sandbox(plan, launcher, Tree(number, spawner()), recorder, timeout=20)
    sandbox.start()
    return sandbox


def recorded(writes: Sequence[tuple[str, bytes]], number: int) -> list[tuple[str, bytes]]:
    """Let a cell do the writes; return what arrived."""

    def body(_: Channel) -> NoReturn:
        for stream, data in writes:
            os.write({"stdout": 1, "stderr": 2}[stream], data)
        os._exit(0)

    recorder = Recorder()
    assert cell(body, recorder, number).finish().ok
    return recorder.pieces


@pytest.fixture
def ending_spawner() -> Iterator[None]:
    yield
    close_spawner()


@pytest.mark.usefixtures("ending_spawner")
def test_200_random_interleavings() -> None:
    chance = random.Random(41)
    for number in range(200):
        writes = [
            (chance.choice(("stdout", "stderr")), bytes([chance.randrange(256)]) * size)
            for size in chance.choices((1, 10, 4096, 4097, 9000), (8, 8, 1, 1, 1), k=40)
        ]
        wanted = Recorder()
        for stream, data in writes:
            wanted.output(stream, data)
        assert recorded(writes, number) == wanted.pieces, number


@pytest.mark.usefixtures("ending_spawner")
def test_a_cell_that_widens_its_own_pipe() -> None:
    """Then several writes may wait of which epoll tells once; all are shown while it runs."""

    def body(_: Channel) -> NoReturn:
        fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)
        for _number in range(50):
            os.write(1, b"x")
        while True:
            signal.pause()

    recorder = Recorder()
    sandbox = cell(body, recorder, 1)
    recorder.full = 50, sandbox.interrupt
    assert sandbox.finish().stopped == "interrupted", "when all had arrived"
    assert recorder.pieces == [("stdout", b"x" * 50)]
