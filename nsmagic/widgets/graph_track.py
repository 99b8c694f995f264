"""What a cgroup graph remembers: a bounded ring of rows, and events in words."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nsmagic.widgets.graph_fields import FIELDS, NAN, Reading
from nsmagic.wish.limits import BY_KEY, Sample, rates

MOST_ROWS: Final = 6000  # ten minutes at 10 Hz, 1 MB
MOST_EVENTS: Final = 400
QUIET: Final = 2.0  # s without a hit until the next one is an event of its own
_MOST_NAMED: Final = 2  # processes that one mark names
_MOST_COMMAND: Final = 40  # characters
_ROW: Final = struct.Struct(f"<{1 + len(FIELDS)}d")


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened.  `at` is in seconds of the graph; `plot` is "" for all panels."""

    at: float
    kind: str
    text: str
    plot: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """What the front end is told."""
        return {"at": self.at, "kind": self.kind, "text": self.text, "plot": self.plot}


# Counters whose growth is an event: metric, kind, panel, words.
_HITS: Final = (
    ("mem.max_hits", "max", "mem", "memory.max hit"),
    ("mem.high_hits", "high", "mem", "memory.high: slowed"),
    ("cpu.throttled", "throttled", "cpu", "throttled"),
    ("pids.max_hits", "pids", "pids", "pids.max: fork refused"),
)


@dataclass(kw_only=True, slots=True)
class _Killed:
    """An OOM kill whose victim has not gone yet: Linux counts it when it sends the signal."""

    at: float
    count: float = 0
    patience: int = 5  # readings


class Track:
    """Rows of FIELDS since `start`, in seconds of CLOCK_MONOTONIC, and what happened."""

    def __init__(self, start: float) -> None:
        self.start = start
        self.samples: deque[Sample] = deque(maxlen=MOST_ROWS)
        self.rows: deque[bytes] = deque(maxlen=MOST_ROWS)
        self.events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self.last: Reading | None = None
        self._hit: dict[str, float] = {}
        self._killed: _Killed | None = None

    def add(self, reading: Reading) -> tuple[bytes, list[Event]]:
        """Take in a reading; return its row, packed, and the events since the one before."""
        growth = {} if self.last is None else rates(self.last.sample, reading.sample)
        at = reading.sample.at - self.start
        values = (field.read(reading, growth) for field in FIELDS)
        row = _ROW.pack(at, *(NAN if value is None else value for value in values))
        events = [] if self.last is None else list(self._happened(self.last, reading, at))
        self.last = reading
        self.samples.append(reading.sample)
        self.rows.append(row)
        self.events.extend(events)
        return row, events

    def end(self, at: float, text: str) -> list[Event]:
        """Note that the group is no more."""
        events = [*self._tell_killed(""), Event(at=at - self.start, kind="gone", text=text)]
        self.events.extend(events)
        return events

    def columns(self) -> dict[str, list[float]]:
        """Return what is kept as lists by field name, NaN where it is not known, and `at`."""
        rows = [_ROW.unpack(row) for row in list(self.rows)]
        names = ("at", *(field.name for field in FIELDS))
        return {name: [row[place] for row in rows] for place, name in enumerate(names)}

    def _tell_killed(self, victims: str) -> Iterator[Event]:
        if self._killed is not None:
            count = f" ×{self._killed.count:.0f}" if self._killed.count > 1 else ""
            text = f"OOM kill{count}{': ' if victims else ''}{victims}"
            yield Event(at=self._killed.at, kind="oom", plot="mem", text=text)
            self._killed = None

    def _happened(self, before: Reading, now: Reading, at: float) -> Iterator[Event]:
        went = [pid for pid in before.processes if pid not in now.processes]
        killed = _grown(before, now, "mem.oom_kills")
        if killed:
            self._killed = self._killed or _Killed(at=at)
            self._killed.count += killed
        if self._killed is not None:
            self._killed.patience -= 1
            if went or self._killed.patience < 0:
                yield from self._tell_killed(_named(before.processes, went[:_MOST_NAMED]))
        elif went:
            yield Event(at=at, kind="died", plot="pids", text=_many(before.processes, went, "died"))
        if came := [pid for pid in now.processes if pid not in before.processes]:
            yield Event(at=at, kind="born", plot="pids", text=_many(now.processes, came, "born"))
        for metric, kind, plot, text in _HITS:
            if _grown(before, now, metric):
                quiet = at - self._hit.get(metric, -QUIET) >= QUIET
                self._hit[metric] = at
                if quiet:
                    yield Event(at=at, kind=kind, plot=plot, text=text)
        if before.frozen != now.frozen and None not in (before.frozen, now.frozen):
            yield Event(at=at, kind="frozen" if now.frozen else "thawed",
                        text="frozen" if now.frozen else "thawed")  # fmt: skip
        yield from _moved(before.limits, now.limits, at)


def _moved(before: Mapping[str, Any], now: Mapping[str, Any], at: float) -> Iterator[Event]:
    for field in FIELDS:
        if field.key and before.get(field.key) != now.get(field.key) and field.key in now:
            text = f"{field.label} = {BY_KEY[field.key].unit.show(now[field.key])}"
            yield Event(at=at, kind="limit", plot=field.plot, text=text)


def _grown(before: Reading, now: Reading, name: str) -> float:
    then, since = before.sample.values.get(name), now.sample.values.get(name)
    return max(0.0, since - then) if then is not None and since is not None else 0.0


def _many(commands: Mapping[int, str], pids: list[int], what: str) -> str:
    if len(pids) > _MOST_NAMED:
        return f"{len(pids)} processes {what}"
    return f"{_named(commands, pids)} {what}"


def _named(commands: Mapping[int, str], pids: list[int]) -> str:
    return ", ".join(
        f"{(commands[pid].split(' ')[0].rpartition('/')[2] or 'process')[:_MOST_COMMAND]} {pid}"
        for pid in pids
    )
