"""A front end that only remembers, and a clock that moves only when it is told to."""

from __future__ import annotations

from pathlib import Path

from nsmagic.notebook.pacing import OutputLimits, Pace
from nsmagic.notebook.publish import CellOutput
from nsmagic.run.logs import LogFile


class Screen:
    """What a person sees of one cell, each thing with the time it came."""

    def __init__(
        self, directory: Path, *, limits: OutputLimits | None = None, counter: bool = True
    ) -> None:
        self.limits = limits or OutputLimits()
        self.time = 1000.0
        self.texts: list[tuple[float, str, str]] = []
        self.counters: list[tuple[float, str, bool]] = []
        self.pace = Pace(self.limits)
        self.log = LogFile(cell=1, hold=self.limits.head, directory=directory)
        self.cell = CellOutput(
            lambda stream, text: self.texts.append((self.time, stream, text)),
            log=self.log,
            limits=self.limits,
            now=lambda: self.time,
            counter=self.count if counter else None,
            pace=self.pace,
            sleep=self.sleep,
        )

    def count(self, line: str, final: bool) -> None:
        self.counters.append((self.time, line, final))

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.time += seconds

    def tick(self, seconds: float = 0.05) -> None:
        """Let time pass and tick, as the pump does."""
        self.time += seconds
        self.cell.tick(self.time)

    def shown(self, stream: str | None = None) -> str:
        return "".join(text for _, name, text in self.texts if stream in (None, name))

    @property
    def order(self) -> list[tuple[str, str]]:
        """Streams and texts, adjacent ones of the same stream joined."""
        joined: list[tuple[str, str]] = []
        for _, stream, text in self.texts:
            before = joined.pop()[1] if joined and joined[-1][0] == stream else ""
            joined.append((stream, before + text))
        return joined
