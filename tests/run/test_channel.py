"""Frames over a real socket pair: what honest ends say arrives; what no frame is, is refused."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from nsmagic.run.channel import MAX_BUFFERS, MAX_BYTES, MAX_JSON, Channel, Frame
from nsmagic.wish.errors import ChannelError

if TYPE_CHECKING:
    from collections.abc import Iterator

Ends = tuple[socket.socket, Channel]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A bare socket, as a cell has that says what it likes, and our end of the channel."""
    theirs, ours = socket.socketpair()
    channel = Channel(ours)
    with theirs, contextlib.closing(channel):
        yield theirs, channel


def frame(text: bytes, *buffers: bytes) -> bytes:
    """A frame as the protocol has it, whatever the text is."""
    head = struct.pack("!II", len(text), len(buffers))
    return b"".join([head, *(struct.pack("!Q", len(b)) for b in buffers), text, *buffers])


def received(channel: Channel) -> Frame:
    found = channel.receive()
    assert found is not None
    return found


def test_a_frame_arrives_with_its_buffers(ends: Ends) -> None:
    theirs, channel = ends
    data = os.urandom(70 * 2**20)
    sender = threading.Thread(
        target=lambda: Channel(theirs).send("value", name="é\udcff", buffers=[b"", data, b"x"])
    )
    sender.start()
    found = received(channel)
    sender.join()
    assert (found.kind, found.data) == ("value", {"name": "é\udcff"})
    assert found.buffers == [b"", data, b"x"]
    found.buffers[1] += b"can grow: nothing holds it any more"


def test_frames_keep_their_order_however_they_are_cut(ends: Ends) -> None:
    theirs, channel = ends
    stream = b"".join(frame(json.dumps({"kind": f"k{n}"}).encode(), b"b" * n) for n in range(20))
    kinds = []
    for at in range(0, len(stream), 7):
        theirs.sendall(stream[at : at + 7])
        kinds += [found.kind for found in channel.waiting()]
    assert kinds == [f"k{n}" for n in range(20)]


def test_waiting_does_not_wait(ends: Ends) -> None:
    theirs, channel = ends
    theirs.sendall(frame(b'{"kind": "a"}')[:-1])
    assert list(channel.waiting()) == []
    assert not channel.closed


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe garbage",
        b"[1, 2]",
        b"null",
        b'"kind"',
        b"{}",
        b'{"kind": 5}',
        b'{"kind": ["publish"]}',
        b'{"kind": null}',
        b"[" * 100_000,
        b'{"kind":' * 10_000,
        b"9" * 10_000,
        b"cos\nsystem\n(S'touch owned'\ntR.",
    ],
)
def test_what_is_no_object_with_a_kind_is_refused(ends: Ends, text: bytes) -> None:
    theirs, channel = ends
    theirs.sendall(frame(text))
    with pytest.raises(ChannelError, match=r"not a JSON object|kind is not"):
        channel.receive()


@pytest.mark.parametrize(
    "head",
    [
        struct.pack("!II", 0, 0),
        struct.pack("!II", MAX_JSON + 1, 0),
        struct.pack("!II", 0xFFFF_FFFF, 0xFFFF_FFFF),
        struct.pack("!II", 2, MAX_BUFFERS + 1),
        struct.pack("!IIQ", 2, 1, MAX_BYTES + 1),
        struct.pack("!IIQQ", 2, 2, MAX_BYTES, 1),
        struct.pack("!IIQ", 2, 1, 2**64 - 1),
        b"GET / HTTP/1.1\r\n",
    ],
)
def test_a_size_beyond_the_limits_is_refused_before_it_is_read(ends: Ends, head: bytes) -> None:
    theirs, channel = ends
    theirs.sendall(head)
    with pytest.raises(ChannelError, match="refused"):
        channel.receive()


def test_a_promise_of_much_reserves_little(ends: Ends) -> None:
    theirs, channel = ends
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    theirs.sendall(struct.pack("!IIQ", 14, 1, MAX_BYTES) + b'{"kind": "v" }' + b"x" * 100)
    assert list(channel.waiting()) == []
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100 * 1024  # KiB


def test_the_end_in_the_middle_of_a_frame_is_the_end(ends: Ends) -> None:
    theirs, channel = ends
    theirs.sendall(frame(b'{"kind": "whole"}') + frame(b'{"kind": "half"}', b"buffer")[:-3])
    theirs.close()
    assert received(channel).kind == "whole"
    assert channel.receive() is None
    assert channel.closed


def test_descriptors_beyond_reason_are_refused_and_closed(ends: Ends) -> None:
    theirs, channel = ends
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        socket.send_fds(theirs, [b"\0"], [0] * 10)
    with pytest.raises(ChannelError, match="descriptors"):
        list(channel.waiting())
    channel.close()
    assert len(os.listdir("/proc/self/fd")) < before


def test_nothing_too_large_is_sent(ends: Ends) -> None:
    theirs, channel = ends
    with pytest.raises(ChannelError, match="refused"):
        channel.send("value", buffers=[b""] * (MAX_BUFFERS + 1))
    with pytest.raises(ChannelError, match="refused"):
        channel.send("value", text="x" * MAX_JSON)
    theirs.setblocking(False)  # and no byte of it went out
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
