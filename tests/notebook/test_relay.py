"""The relay between a front end and a kernel, both played by plain sockets."""

from __future__ import annotations

import json
import os
import socket
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest

from nsmagic.notebook.connection import CHANNELS, Connection
from nsmagic.notebook.links import LastWords
from nsmagic.notebook.relay import Relay
from nsmagic.notebook.zmtp import Message, Signer, Stream
from tests.support.zmtp import GREETING, READY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORDS = LastWords(name="KernelDied", text="it was killed", hint="Give it more.")
SIGNER = Signer(key=b"k", session="s")


class Ends:
    """A relay, and both ends of its connections by channel."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        data: dict[str, Any] = {"key": "k", "transport": "ipc", "ip": f"{folder}/front"}
        data |= {f"{name}_port": number for number, name in enumerate(CHANNELS, start=1)}
        self.front = Connection(data=data)
        kernel = self.front.at(f"{folder}/kernel")
        self.listeners = {name: stack.enter_context(kernel.listen(name)) for name in CHANNELS}
        self.relay = Relay(self.front, kernel)
        self._stack = stack

    def connect(self, channel: str) -> tuple[socket.socket, socket.socket]:
        """Return a front end's connection to a channel, and what the kernel gets of it."""
        client = self._stack.enter_context(self.front.dial(channel))
        client.settimeout(10)
        kernel, _ = self.listeners[channel].accept()
        self._stack.enter_context(kernel)
        for end, other in ((client, kernel), (kernel, client)):
            end.sendall(GREETING + READY)
            assert other.recv(1000) == GREETING + READY
        return client, kernel

    def asked(self, count: int) -> None:
        """Wait until the relay knows of so many cells that wait for a reply."""
        while max(len(link.running) for link in self.relay._links) < count:
            pass


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    with ExitStack() as stack:
        yield Ends(tmp_path, stack)


def request(number: int) -> bytes:
    return SIGNER.message("execute_request", {"code": str(number)}, {})


def read_all(client: socket.socket) -> list[Message]:
    stream = Stream()
    found: list[Message] = []
    list(stream.feed(GREETING))
    while data := client.recv(100_000):
        found += stream.feed(data)
    return found


def test_what_is_asked_after_the_kernel_died_is_answered_too(ends: Ends) -> None:
    shell, kernel_shell = ends.connect("shell")
    iopub, kernel_iopub = ends.connect("iopub")
    shell.sendall(request(1))
    ends.asked(1)
    kernel_shell.close()
    kernel_iopub.close()
    shell.sendall(request(2))
    ends.asked(2)
    shell.sendall(request(3))
    ends.asked(3)
    assert ends.relay.close(WORDS)
    replies = [json.loads(message.content) for message in read_all(shell)]
    assert [reply["status"] for reply in replies] == ["error", "aborted", "aborted"]
    assert replies[0]["evalue"] == "it was killed"
    kinds = [message.header["msg_type"] for message in read_all(iopub)]
    assert kinds == ["error", "status"]


def test_in_the_middle_of_a_message_nothing_is_added(ends: Ends) -> None:
    shell, kernel_shell = ends.connect("shell")
    iopub, kernel_iopub = ends.connect("iopub")
    shell.sendall(request(1))
    ends.asked(1)
    torn = SIGNER.message("stream", {"text": "x" * 1000}, {}, topic=b"s")[:-1]
    kernel_iopub.sendall(torn)
    kernel_iopub.close()
    kernel_shell.close()
    assert ends.relay.close(WORDS)  # on the other channel
    assert len(read_all(shell)) == 1
    received = b""
    while data := iopub.recv(100_000):
        received += data
    assert received == torn


def test_a_front_end_that_does_not_read_gets_no_torn_message(ends: Ends) -> None:
    shell, kernel_shell = ends.connect("shell")
    iopub, kernel_iopub = ends.connect("iopub")
    shell.sendall(request(1))
    ends.asked(1)
    output = SIGNER.message("stream", {"text": "x" * 20_000_000}, {}, topic=b"s")
    kernel_iopub.setblocking(False)
    sent = 0
    with suppress(BlockingIOError):
        while True:
            sent += kernel_iopub.send(output[sent : sent + 65536])
    kernel_iopub.close()
    kernel_shell.close()
    assert ends.relay.close(WORDS)
    received = 0
    while data := iopub.recv(1_000_000):
        received += len(data)
    assert received <= sent  # nothing of ours came after the part


def test_what_is_big_arrives_whole_and_in_both_directions(ends: Ends) -> None:
    shell, kernel_shell = ends.connect("shell")
    for source, target in ((shell, kernel_shell), (kernel_shell, shell)):
        data = os.urandom(5_000_000)
        writer = threading.Thread(target=source.sendall, args=(data,))
        writer.start()
        received = b""
        while len(received) < len(data):
            received += target.recv(1_000_000)
        writer.join()
        assert received == data
    assert not ends.relay.close()


def test_a_front_end_that_hangs_up_is_forgotten(ends: Ends) -> None:
    shell, kernel_shell = ends.connect("shell")
    shell.close()
    assert kernel_shell.recv(1) == b""
    assert not ends.relay.close(WORDS)
