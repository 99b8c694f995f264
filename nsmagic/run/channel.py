"""Frames between a child and us: lengths, a JSON object, raw buffers; never a pickle on its own.

The child is the isolated side and may send anything: every length is checked before a byte is
reserved, and what is not a frame is a ChannelError.
"""

from __future__ import annotations

import json
import select
import socket
import struct
from array import array
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from nsmagic.wish.errors import ChannelError

_HEAD: Final = struct.Struct("!II")
_LENGTH: Final = struct.Struct("!Q")
MAX_JSON: Final = 64 * 2**20
MAX_BUFFERS: Final = 4096
MAX_BYTES: Final = 8 * 2**30
_MAX_FDS: Final = 16
_MAX_PARTS: Final = 64  # of one sendmsg(2), which takes IOV_MAX, 1024
_PIECE: Final = 32 * 2**20  # bytes reserved ahead of what has arrived

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One message: a JSON object whose `kind` says what it is, and the raw buffers beside it."""

    kind: str
    data: dict[str, Any]
    buffers: list[bytearray] = field(default_factory=list)


class Channel:
    """Both ends of the conversation, over a stream socket (file descriptors may travel beside)."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fds: list[int] = []
        self.closed = False
        self._answered = False
        self.room = MAX_BYTES  # of the buffers of one frame
        self.default: Callable[[Any], Any] | None = None  # of json.dumps
        self._parser = self._parse()
        self._wanted = memoryview(next(self._parser))

    def send(
        self, kind: str, /, *, buffers: Sequence[Buffer] = (), fds: Sequence[int] = (), **data: Any
    ) -> None:
        """Send one frame whole; BrokenPipeError or ConnectionResetError if nobody listens.

        ChannelError, and nothing is sent, if it is larger than the other end takes.
        """
        text = json.dumps({"kind": kind, **data}, default=self.default).encode()
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        self._check_sizes(len(text), [len(view) for view in views])
        head = _HEAD.pack(len(text), len(views)) + b"".join(_LENGTH.pack(len(v)) for v in views)
        parts = [memoryview(head + text), *views]
        # In one call: the other end is woken once, and finds all that it will read.
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        sent = self.sock.sendmsg(parts[:_MAX_PARTS], rights)
        for part in parts:
            if sent < len(part):
                self.sock.sendall(part[sent:])
            sent = max(0, sent - len(part))

    def answer(self, kind: str, /, **data: Any) -> None:
        """Answer the frame at hand, for which the other end waits; ChannelError if it does not.

        `waiting` then ends: what the other end writes to a pipe now comes before its next frame.
        """
        room = select.poll()
        room.register(self.sock, select.POLLOUT)
        if not room.poll(0):  # many answers unread: sendall() would wait for ever
            raise ChannelError("the cell does not read what it is answered")
        self._answered = True
        with suppress(BrokenPipeError, ConnectionResetError):  # killed meanwhile
            self.send(kind, **data)

    def receive(self) -> Frame | None:
        """Wait for the next frame; None at the end of the stream."""
        while not self.closed:
            frame = self._step(0)
            if frame is not None:
                return frame
        return None

    def waiting(self) -> Generator[Frame]:
        """Yield the frames that are complete now, without waiting; sets `closed` at the end.

        Ends early after `answer`: the next frame, which makes the socket readable anew, may have
        text before it.
        """
        while not self.closed:
            try:
                frame = self._step(socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if frame is not None:
                self._answered = False
                yield frame
                if self._answered:
                    return

    def close(self) -> None:
        """Close the socket and every descriptor that arrived and nobody took."""
        self.closed = True
        self.sock.close()
        while self.fds:
            socket.close(self.fds.pop())

    def _step(self, flags: int) -> Frame | None:
        """Read once into the part that is being filled; return a frame when that completed one."""
        try:
            count, ancillary, _, _ = self.sock.recvmsg_into(
                [self._wanted], socket.CMSG_SPACE(_MAX_FDS * 4), flags | socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            count, ancillary = 0, []
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                whole = len(payload) - len(payload) % 4
                self.fds += struct.unpack(f"{whole // 4}i", payload[:whole])
        if len(self.fds) > _MAX_FDS:
            raise ChannelError("file descriptors that nobody asked for")
        if count == 0:
            self.closed = True
            return None
        self._wanted = self._wanted[count:]
        frame = None
        while not self._wanted:
            step = next(self._parser)
            if isinstance(step, Frame):
                frame, step = step, next(self._parser)
                assert not isinstance(step, Frame)
            self._wanted = memoryview(step)
        return frame

    def _parse(self) -> Generator[Any]:
        """Yield the bytearray to fill next, or a Frame when one is complete."""
        while True:
            yield (head := bytearray(_HEAD.size))
            json_length, count = _HEAD.unpack(head)
            self._check_sizes(json_length, [0] * min(count, MAX_BUFFERS + 1))
            if count:
                yield (table := bytearray(count * _LENGTH.size))
            lengths = [n for (n,) in _LENGTH.iter_unpack(table)] if count else []
            self._check_sizes(json_length, lengths)
            text = yield from _fill(json_length)
            buffers: list[bytearray] = []
            for length in lengths:
                buffers += [(yield from _fill(length))]
            yield _frame(text, buffers)

    def _check_sizes(self, json_length: int, lengths: Sequence[int]) -> None:
        if not 0 < json_length <= MAX_JSON:
            raise ChannelError(f"frame of {json_length} bytes refused")
        if len(lengths) > MAX_BUFFERS or sum(lengths) > self.room:
            raise ChannelError(f"frame with {len(lengths)} buffers of {sum(lengths)} bytes refused")


def _fill(length: int) -> Generator[bytearray, None, bytearray]:
    """Return `length` bytes, yielding the pieces to fill: memory is taken as they arrive."""
    whole = bytearray()
    while len(whole) < length:
        piece = bytearray(min(length - len(whole), _PIECE))
        yield piece
        if not whole:
            whole = piece
        else:
            whole += piece
    return whole


def _frame(text: bytearray, buffers: list[bytearray]) -> Frame:
    try:
        data = json.loads(text)
        kind = data.pop("kind")
    except (ValueError, RecursionError, KeyError, AttributeError, TypeError) as error:
        raise ChannelError(f"frame is not a JSON object with a kind: {error}") from None
    if not isinstance(kind, str):
        raise ChannelError("frame kind is not a string")
    return Frame(kind=kind, data=data, buffers=buffers)
