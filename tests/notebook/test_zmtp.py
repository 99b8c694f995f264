"""Following a ZMTP connection by its bytes, and adding a message that both ends understand."""

from __future__ import annotations

import itertools
import json
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import Session

from nsmagic.notebook.links import Link
from nsmagic.notebook.zmtp import Message, Signer, Stream
from tests.support.zmtp import GREETING, READY

if TYPE_CHECKING:
    from collections.abc import Sequence

PARENT = {"msg_id": "1", "msg_type": "execute_request"}


def frame(body: bytes, *, more: bool = False, long: bool = False) -> bytes:
    if long or len(body) > 255:
        return struct.pack("!BQ", more | 2, len(body)) + body
    return bytes((more, len(body))) + body


def status(state: str, topic: bytes = b"t") -> bytes:
    signer = Signer(key=b"k", session="s")
    return signer.message("status", {"execution_state": state}, PARENT, topic=topic)


def follow(pieces: Sequence[bytes]) -> tuple[list[str], Stream]:
    stream = Stream()
    found = [message.content.decode() for piece in pieces for message in stream.feed(piece)]
    return [json.loads(text)["execution_state"] for text in found], stream


@given(cuts=st.lists(st.integers(0, 3000), max_size=6), large=st.integers(0, 2_100_000))
def test_messages_are_found_however_the_bytes_arrive(cuts: list[int], large: int) -> None:
    output = frame(b"x" * 300, more=True) + frame(bytes(large), long=True)
    whole = GREETING + READY + status("busy") + output + frame(b"\1") + status("idle")
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[a:b] for a, b in itertools.pairwise(places)]
    states, stream = follow(pieces)
    assert states == ["busy", "idle"]
    assert stream.between


@pytest.mark.parametrize(
    "tail", [b"\0", b"\0\5abc", b"\1\1a", b"\2" + struct.pack("!Q", 2**40) + b"x"]
)
def test_in_the_middle_of_a_message_nothing_may_be_added(tail: bytes) -> None:
    states, stream = follow([GREETING, READY + status("busy"), tail])
    assert states == ["busy"]
    assert not stream.between


@pytest.mark.parametrize(
    "greeting",
    [GREETING.replace(b"NULL\0", b"CURVE"), GREETING[:10] + b"\1" + GREETING[11:], b"GET / " * 20],
)
def test_what_cannot_be_followed_is_left_alone(greeting: bytes) -> None:
    states, stream = follow([greeting, status("busy"), b"\xff" * 1000])
    assert states == []
    assert stream.opaque
    assert not stream.between


@given(st.binary(max_size=300))
def test_babble_is_no_message(data: bytes) -> None:
    follow([GREETING, frame(b"<IDS|MSG>", more=True) + frame(data), data])


def test_a_message_without_end_does_not_fill_our_memory() -> None:
    _, stream = follow([GREETING, READY])
    for piece in (frame(b"", more=True) * 2000, frame(bytes(2**20), more=True) * 6):
        assert not list(stream.feed(piece * 3))
    assert stream.opaque
    assert not stream.between


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"execution_count": "x"}', b"[" * 99999])
def test_a_kernel_that_babbles_is_passed_over(content: bytes) -> None:
    with socket.socket() as client:
        link = Link(channel="iopub", client=client)
        for number in range(3000):
            header = {"msg_type": "execute_input"}
            link.note_told(Message(header=header, parent={"msg_id": number}, content=content))
        assert len(link.running) <= 1000
        assert not link.counts


@pytest.mark.parametrize("key", [b"secret", b""])
@pytest.mark.parametrize("scheme", ["hmac-sha256", "hmac-sha512"])
def test_a_front_end_takes_the_message(key: bytes, scheme: str) -> None:
    signer = Signer(key=key, scheme=scheme, session="s")
    content: dict[str, Any] = {"ename": "E", "evalue": "ä" * 500, "traceback": []}
    data = signer.message("error", content, PARENT, topic=b"error")
    frames = []
    while data:
        (more, size), start = ((data[0], data[1]), 2) if not data[0] & 2 else (
            struct.unpack_from("!BQ", data), 9)  # fmt: skip
        frames.append(data[start : start + size])
        assert bool(more & 1) == (len(data) > start + size)
        data = data[start + size :]
    session = Session(key=key, signature_scheme=scheme)
    _, parts = session.feed_identities([zmq.Frame(part) for part in frames], copy=False)
    message = session.deserialize(parts, copy=False)
    assert (message["msg_type"], message["content"], message["parent_header"]["msg_id"]) == (
        "error", content, "1",
    )  # fmt: skip
