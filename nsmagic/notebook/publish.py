"""Output of a cell process: batched, in order, bounded on the screen and whole in the log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from nsmagic.notebook.pacing import (
    Message,
    OutputLimits,
    Pace,
    Tail,
    decoders,
    head_end,
    message,
    pieces,
)
from nsmagic.run.logs import LogFile, readable_size

_COUNTER_EVERY: Final = 0.5  # seconds
_ORDERED: Final = 200.0  # changes of stream that may be shown in a burst, and ...
_ORDERED_PER_S: Final = 30.0  # ... how fast they come back: with the batches below 200 messages/s
_NAP: Final = 0.05  # seconds after which a wait looks whether hurry() was called


class CellOutput:
    """Where a cell's bytes go: to `publish(stream, text)` as far as `limits` allow, all to `log`.

    After the head `counter(line, final)` tells how much more came, each line in the place of the
    one before; `finish()` shows the tail.  One thread feeds one cell.
    """

    def __init__(
        self,
        publish: Callable[[str, str], None],
        *,
        log: LogFile,
        limits: OutputLimits,
        now: Callable[[], float],
        counter: Callable[[str, bool], None] | None = None,
        pace: Pace | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._publish = publish
        self._log = log
        self._limits = limits
        self._now = now
        self._counter = counter
        self._pace = pace or Pace(limits)
        self._sleep = sleep
        self._decoders = decoders()
        self._runs: list[tuple[str, bytearray]] = []
        self._pending = 0
        self._queue: deque[Message] = deque()
        self._due = now()
        self._ordered, self._ordered_at = _ORDERED, self._due
        self._room = limits.head
        self._last = b"\n"
        self._tail: Tail | None = None
        self._more = self._counted = self._unsent = 0
        self._said = self._hurried = self._done = False

    def output(self, stream: str, data: bytes) -> None:
        """Take `data` that just arrived on `stream`, "stdout" or "stderr"."""
        self._log.write(data)
        if self._tail is not None:
            self._more += len(data)
            self._tail.append(stream, data)
            return
        if len(data) > self._room:
            self._close_head(stream, data)
        else:
            self._room -= len(data)
            self._hold(stream, data)
            self._last = data or self._last
        now = self._now()
        if now >= self._due or (self._pending >= self._limits.batch and not self._queue):
            self._flush(now)

    def deadline(self) -> float | None:
        """When the next tick() is wanted, in the seconds of `now`; None while nothing waits."""
        waiting = self._queue or self._runs or self._more > self._counted
        return self._due if waiting else None

    def tick(self, now: float) -> None:
        """Publish what has waited long enough and bring the counter up to date."""
        if now >= self._due:
            self._flush(now)

    def settle(self) -> None:
        """Publish all pending text and book one more message: the display that comes next.

        Waits while the server's rate limit would drop it, unless `hurry()` was called.
        """
        self._drain()
        self._wait_for(0)

    def hurry(self) -> None:
        """Stop waiting for the rate limit, also from a signal handler; unsent head is left out."""
        self._hurried = True

    def finish(self) -> None:
        """Publish the rest: pending text, what was left out and where it is, the tail."""
        if self._done:
            return
        self._done = True
        self._log.close()
        self._drain()
        runs = self._tail.take() if self._tail else []
        left_out = self._unsent + (self._tail.dropped if self._tail else 0)
        if left_out or self._counted:
            self._show_counter(self._verdict(left_out), final=True)
        self._hurried = False  # the tail is small and always comes
        self._enqueue(runs)
        for stream, decoder in self._decoders.items():
            self._append(stream, decoder.decode(b"", final=True), 0)
        self._drain()

    def _hold(self, stream: str, data: bytes) -> None:
        if self._runs and self._runs[-1][0] == stream:
            self._runs[-1][1].extend(data)
        elif data:
            self._runs.append((stream, bytearray(data)))
        self._pending += len(data)

    def _close_head(self, stream: str, data: bytes) -> None:
        cut = head_end(data, self._room, at_line_start=self._last.endswith(b"\n"))
        self._hold(stream, data[:cut])
        self._enqueue(self._take_runs())
        self._tail = Tail(self._limits.tail)
        for name, decoder in self._decoders.items():
            self._tail.append(name, decoder.getstate()[0])  # a character not yet complete
            decoder.reset()
        self._tail.append(stream, data[cut:])
        self._more = len(data) - cut

    def _take_runs(self) -> list[tuple[str, bytearray]]:
        """Pending runs; one for each stream when they alternate faster than can be shown."""
        now = self._now()
        self._ordered += (now - self._ordered_at) * _ORDERED_PER_S
        self._ordered, self._ordered_at = min(self._ordered, _ORDERED), now
        runs, self._runs, self._pending = self._runs, [], 0
        if len(runs) <= 2 + self._ordered:
            self._ordered -= max(0, len(runs) - 2)
            return runs
        merged: dict[str, bytearray] = {}
        for stream, data in runs:
            merged.setdefault(stream, bytearray()).extend(data)
        return list(merged.items())

    def _enqueue(self, runs: Iterable[tuple[str, bytes | bytearray]]) -> None:
        for stream, data in runs:
            for piece in pieces(bytes(data), self._limits.batch):
                self._append(stream, self._decoders[stream].decode(piece), len(piece))

    def _append(self, stream: str, text: str, size: int) -> None:
        if text:
            self._queue.append(message(stream, text, size))

    def _flush(self, now: float) -> None:
        self._due = now + self._limits.interval
        if not self._queue:
            self._enqueue(self._take_runs())
        while self._queue:
            later = self._pace.take(self._queue[0].wire, now)
            if later > now:
                self._due = later
                return
            self._send()
        if self._more > self._counted:
            self._counted = self._more
            self._due = now + _COUNTER_EVERY
            self._show_counter(self._progress(), final=False)
        self._log.flush()
        self._say_trouble()

    def _drain(self) -> None:
        while self._queue or self._runs:
            if not self._queue:
                self._enqueue(self._take_runs())
            while self._queue and self._wait_for(self._queue[0].wire):
                self._send()
            self._unsent += sum(left.size for left in self._queue)
            self._queue.clear()
        self._say_trouble()

    def _wait_for(self, size: int) -> bool:
        """Whether `size` bytes may go out now; False only in a hurry."""
        while (later := self._pace.take(size, now := self._now())) > now:
            if self._hurried:
                return False
            self._sleep(min(later - now, _NAP))
        return True

    def _send(self) -> None:
        ready = self._queue.popleft()
        self._publish(ready.stream, ready.text)

    def _say_trouble(self) -> None:
        if self._log.trouble and not self._said:
            self._said = True
            self._publish("stderr", f"nsmagic: {self._log.trouble}\n")

    def _show_counter(self, line: str, *, final: bool) -> None:
        if self._counter is not None:
            self._counter(line, final)
        elif final:
            self._publish("stderr", line + "\n")

    def _progress(self) -> str:
        assert self._tail is not None
        line = f"… {readable_size(self._more)} more{self._where(', all of it in ')}"
        last = self._tail.last_line()
        return f"{line}\n{last}" if last else line

    def _verdict(self, left_out: int) -> str:
        amount = f"{readable_size(left_out)} left out here" if left_out else "the end follows"
        return f"… {amount}{self._where('; the whole output is in ')}"

    def _where(self, words: str) -> str:
        if self._log.path is None:
            return ""
        return f"{'; what was kept is in ' if self._log.trouble else words}{self._log.path}"


class CaptureOutput:
    """Keeps the whole of some streams, never capped, and passes the others on to `shown`."""

    def __init__(self, shown: CellOutput, *, streams: Iterable[str]) -> None:
        self._captured = {stream: bytearray() for stream in streams}
        self.deadline = shown.deadline
        self.tick = shown.tick
        self.settle = shown.settle
        self.hurry = shown.hurry
        self.finish = shown.finish
        self._pass_on = shown.output

    def output(self, stream: str, data: bytes) -> None:
        """Take `data` that just arrived on `stream`, "stdout" or "stderr"."""
        if stream in self._captured:
            self._captured[stream] += data
        else:
            self._pass_on(stream, data)

    def text(self, stream: str) -> str:
        """All that came on a captured `stream`; KeyError if it is not captured."""
        return self._captured[stream].decode("utf-8", errors="replace")
