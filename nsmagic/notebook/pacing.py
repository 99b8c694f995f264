"""How much of a cell's output is shown, how fast, and which end of it: pure, without Jupyter."""

from __future__ import annotations

import codecs
import json
import re
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from nsmagic.wish.errors import WishError

_WINDOW: Final = 3.0  # seconds over which the Jupyter server averages (rate_limit_window)
_ENVELOPE: Final = 1000  # bytes of headers and signature around the text of one message
_BLOCK: Final = 2**14
_REACH: Final = 4096  # so far, in bytes, a cut moves to fall between two lines
_RUNS: Final = 150  # changes of stream in the tail: each is a message and an output area
_LINE_END: Final = re.compile(rb"\r?\n|\r")
_CONTROL: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\0-\x1f\x7f]"
)


@dataclass(frozen=True, kw_only=True)
class OutputLimits:
    """What a cell shows: the first `head` and last `tail` bytes, in messages of `batch` bytes.

    Text goes out at once after a silence, else every `interval` seconds.  The rates stay below the
    limits of the Jupyter server (iopub_data_rate_limit 1,000,000 bytes/s, iopub_msg_rate_limit
    1,000 messages/s), above which it drops everything, tracebacks too.
    """

    head: int = 1_000_000
    tail: int = 256_000
    batch: int = 256_000
    interval: float = 0.05
    bytes_per_s: float = 800_000
    messages_per_s: float = 800

    def __post_init__(self) -> None:
        if self.head < 0 or self.tail < 0:
            raise WishError("output limits cannot be negative: try output=1M")


class Message(NamedTuple):
    """One run of text of one stream: `size` bytes came from the cell, `wire` bytes go to iopub."""

    stream: str
    text: str
    size: int
    wire: int


def message(stream: str, text: str, size: int = 0) -> Message:
    """Weigh `text` as the server will: JSON makes six bytes of a control character."""
    wire = len(json.dumps(text, ensure_ascii=False).encode()) + _ENVELOPE
    return Message(stream, text, size, wire)


class Pace:
    """Keeps a sliding window below the limits; cells that run at once may share one."""

    def __init__(self, limits: OutputLimits) -> None:
        self._bytes = limits.bytes_per_s * _WINDOW
        self._messages = limits.messages_per_s * _WINDOW
        self._sent: deque[tuple[float, int]] = deque()
        self._size = 0
        self._lock = threading.Lock()

    def take(self, size: int, now: float) -> float:
        """Book a message of `size` bytes and return `now`, or return when to ask again."""
        with self._lock:
            while self._sent and self._sent[0][0] + _WINDOW <= now:
                self._size -= self._sent.popleft()[1]
            count, total, later = len(self._sent), self._size, now
            for sent, freed in self._sent:
                if count < self._messages and total + size <= self._bytes:
                    break
                count, total, later = count - 1, total - freed, sent + _WINDOW
            if count == len(self._sent):
                self._sent.append((now, size))
                self._size += size
                return now
            return later


class Tail:
    """The last `limit` bytes of a flood, in order of arrival and undecoded."""

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self._limit = limit
        self._blocks: deque[tuple[str, bytes | bytearray]] = deque()
        self._most = limit // _BLOCK + _RUNS
        self._size = 0
        self._stream = ""
        self._open = bytearray()
        self._at_line_start = True

    def append(self, stream: str, data: bytes) -> None:
        """Take `data`, drop the oldest; the cost does not depend on what is held."""
        if stream == self._stream and len(self._open) + len(data) <= _BLOCK:
            self._open += data
        elif len(data) < _BLOCK:
            self._stream, self._open = stream, bytearray(data)
            self._blocks.append((stream, self._open))
        else:
            self._stream = ""
            self._blocks.append((stream, data))
        self._size += len(data)
        if self._size > self._limit or len(self._blocks) > self._most:
            self._drop()

    def take(self) -> list[tuple[str, bytes]]:
        """Runs of the tail, beginning where a line or at least a character does."""
        runs: list[tuple[str, bytes]] = []
        if self._blocks:
            self._cut()
        begun = set() if self.dropped else {"stdout", "stderr"}
        for stream, block in self._blocks:
            data = bytes(block)
            if stream not in begun:
                start = _character_start(data, 0)
                data = data[start:]
                self.dropped += start
            begun.add(stream)
            if runs and runs[-1][0] == stream:
                data = runs.pop()[1] + data
            runs.append((stream, data))
        return runs

    def last_line(self) -> str:
        """The last line that says something, without control sequences, for a glance."""
        if not self._blocks:
            return ""
        end = bytes(self._blocks[-1][1][-_REACH:]).decode(errors="replace")
        lines = (_CONTROL.sub("", line).strip() for line in re.split(r"[\r\n]+", end))
        return next((line[:100] for line in reversed(list(lines)) if line), "")

    def _drop(self) -> None:
        blocks = self._blocks
        while len(blocks) > 1 and (
            self._size - len(blocks[0][1]) >= self._limit or len(blocks) > self._most
        ):
            _, block = blocks.popleft()
            self._size -= len(block)
            self.dropped += len(block)
            self._at_line_start = block.endswith((b"\n", b"\r"))

    def _cut(self) -> None:
        """Shorten the first block so that the limit holds and a line starts."""
        stream, block = self._blocks.popleft()
        cut = max(0, self._size - self._limit)
        if self.dropped or cut:
            before = self._at_line_start if cut == 0 else block[cut - 1 : cut] in (b"\n", b"\r")
            if not before:
                line = _LINE_END.search(block, cut, cut + _REACH)
                cut = line.end() if line else _character_start(block, cut)
        self.dropped += cut
        self._size -= cut
        self._blocks.appendleft((stream, block[cut:]))


def decoders() -> dict[str, codecs.IncrementalDecoder]:
    """A decoder for each stream that waits for the rest of a character split over two chunks."""
    make = codecs.getincrementaldecoder("utf-8")
    return {stream: make(errors="replace") for stream in ("stdout", "stderr")}


def head_end(data: bytes, room: int, *, at_line_start: bool) -> int:
    """Where the head ends within `data`, of which `room` bytes may still be shown."""
    newline = data.rfind(b"\n", max(0, room - _REACH), room)
    if newline >= 0:
        return newline + 1
    return 0 if at_line_start and room <= _REACH else _character_start(data, room)


def pieces(data: bytes, most: int) -> Iterator[bytes]:
    """`data` in parts of at most `most` bytes, cut after a line end where one is near."""
    start = 0
    while len(data) - start > most:
        newline = data.rfind(b"\n", start + most - _REACH, start + most)
        end = newline + 1 if newline >= start else start + most
        yield data[start:end]
        start = end
    yield data[start:]


def _character_start(data: bytes | bytearray, at: int) -> int:
    """The first place from `at` on that is not inside a UTF-8 character."""
    for place in range(at, min(at + 3, len(data))):
        if data[place] & 0xC0 != 0x80:
            return place
    return min(at + 3, len(data))
