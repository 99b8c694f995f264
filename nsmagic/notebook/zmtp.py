"""What passes on a Jupyter channel, read and written as bytes: ZMTP 3 (rfc.zeromq.org/spec/23).

A relay between front end and kernel stays transparent if it copies bytes.  It follows them here to
know which request runs, and where one message ends, so that it can add messages of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

_GREETING: Final = 64  # bytes: signature, version, mechanism, as-server, filler
_VERSION, _MECHANISM = 10, slice(12, 32)
_MORE, _LONG, _COMMAND = 1, 2, 4
_LARGEST: Final = 1 << 20  # of the frames that are looked at; what is larger is output
_MOST: Final = 1024  # frames of a message; together they may hold 4 * _LARGEST
_DELIMITER: Final = b"<IDS|MSG>"

Headers = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Message:
    """The JSON parts of one Jupyter message, unchecked."""

    header: Headers
    parent: Headers
    content: bytes


class Stream:
    """Follows the bytes of one direction of a connection.

    `opaque`: they cannot be followed (CURVE encryption, another protocol).  `between`: all that was
    fed so far are whole messages, so another one may be written now.  `torn`: the other end may
    not have got all of it.
    """

    def __init__(self) -> None:
        self.opaque = self.torn = False
        self._pending = bytearray()
        self._greeted = False
        self._skip = 0
        self._more = False
        self._frames: list[bytes] = []

    @property
    def between(self) -> bool:
        """Whether a message may be written now."""
        middle = self._pending or self._skip or self._frames or self._more
        return self._greeted and not middle and not self.opaque and not self.torn

    def feed(self, data: bytes | memoryview) -> Iterator[Message]:
        """Take what passed; yield the Jupyter messages that are complete with it."""
        if not self.opaque:
            self._pending += data
            yield from self._messages()

    def _messages(self) -> Iterator[Message]:
        if not self._greeted and not self._greet():
            return
        while self._skip_body() and not self.opaque and (head := self._head()):
            flags, start, size = head
            if size > _LARGEST:
                body, self._skip = b"", start + size
            elif len(self._pending) < start + size:
                return
            else:
                body = bytes(self._pending[start : start + size])
                del self._pending[: start + size]
            if not flags & _COMMAND and (message := self._take(body, bool(flags & _MORE))):
                yield message

    def _greet(self) -> bool:
        if len(self._pending) < _GREETING:
            return False
        mechanism = bytes(self._pending[_MECHANISM]).rstrip(b"\0")
        self.opaque = self._pending[_VERSION] < 3 or mechanism != b"NULL"
        self._greeted = True
        del self._pending[:_GREETING]
        return not self.opaque

    def _skip_body(self) -> bool:
        done = min(self._skip, len(self._pending))
        del self._pending[:done]
        self._skip -= done
        return not self._skip

    def _head(self) -> tuple[int, int, int] | None:
        """Return flags, length of the head and size of the body of the next frame."""
        if len(self._pending) < 2:
            return None
        flags = self._pending[0]
        if not flags & _LONG:
            return flags, 2, self._pending[1]
        if len(self._pending) < 9:
            return None
        return flags, 9, struct.unpack_from("!Q", self._pending, 1)[0]

    def _take(self, body: bytes, more: bool) -> Message | None:
        self._frames.append(body)
        self._more = more
        if more:
            if len(self._frames) > _MOST or sum(map(len, self._frames)) > 4 * _LARGEST:
                self.opaque = True  # no Jupyter message: the kernel shall not fill our memory
                self._frames.clear()
                self._pending.clear()
            return None
        frames, self._frames = self._frames, []
        return _read(frames)


def _read(frames: Sequence[bytes]) -> Message | None:
    try:
        start = frames.index(_DELIMITER)
        header, parent = (json.loads(part) for part in frames[start + 2 : start + 4])
        return Message(header=dict(header), parent=dict(parent), content=frames[start + 5])
    except (ValueError, IndexError, TypeError, RecursionError):  # heartbeat, subscription, babble
        return None


@dataclass(frozen=True, kw_only=True)
class Signer:
    """Writes messages as the kernel `session` would: with the connection file's key and scheme."""

    key: bytes
    scheme: str = "hmac-sha256"
    session: str = ""

    def message(
        self, kind: str, content: Mapping[str, Any], parent: Headers, *, topic: bytes = b""
    ) -> bytes:
        """Return one message as the bytes of its frames; `topic` goes first where it is given."""
        header = {
            "msg_id": uuid.uuid4().hex, "msg_type": kind, "username": "kernel", "version": "5.3",
            "session": self.session, "date": datetime.now(UTC).isoformat(),
        }  # fmt: skip
        parts = [json.dumps(part).encode() for part in (header, parent, {}, content)]
        frames = [_DELIMITER, self._sign(parts), *parts]
        return _frames([topic, *frames] if topic else frames)

    def _sign(self, parts: Sequence[bytes]) -> bytes:
        if not self.key:
            return b""
        digest = getattr(hashlib, self.scheme.removeprefix("hmac-"))
        return hmac.new(self.key, b"".join(parts), digest).hexdigest().encode()


def _frames(parts: Sequence[bytes]) -> bytes:
    written = bytearray()
    for number, part in enumerate(parts, start=1):
        more = _MORE if number < len(parts) else 0
        if len(part) < 256:
            written += bytes((more, len(part)))
        else:
            written += struct.pack("!BQ", more | _LONG, len(part))
        written += part
    return bytes(written)
