"""What a cell produced, as a front end sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# For a cell that the stop button will end.  One long sleep can miss it: Python looks for signals
# before the system call and after it, and one that comes while the call is entered waits with it;
# a thread of the kernel's that passes an interrupt on gets the GIL at that very moment.
UNTIL_STOPPED = "import time\nwhile True: time.sleep(0.01)"


class CellError(AssertionError):
    """A cell failed that a test expected to work; carries its name, value and traceback."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message as it arrived: its type, its content, and the request it says it belongs to."""

    kind: str
    content: dict[str, Any]
    parent: str
    metadata: dict[str, Any]


@dataclass(kw_only=True)
class CellRun:
    """What one cell produced.

    `messages` holds messages of other parents too; `replies` are those to other requests, by
    request.  `idle` once the kernel said that it is done with this one.
    """

    request: str
    messages: list[Message] = field(default_factory=list)
    reply: dict[str, Any] | None = None
    idle: bool = False
    replies: dict[str, dict[str, Any]] = field(default_factory=dict)
    prompts: list[str] = field(default_factory=list)

    @property
    def own(self) -> list[Message]:
        """The messages whose parent is this cell's request, in order of arrival."""
        return [message for message in self.messages if message.parent == self.request]

    def _contents(self, kind: str) -> list[dict[str, Any]]:
        return [message.content for message in self.own if message.kind == kind]

    def _stream(self, name: str) -> str:
        return "".join(c["text"] for c in self._contents("stream") if c["name"] == name)

    @property
    def begun(self) -> bool:
        """Whether the kernel has taken it up."""
        return bool(self._contents("execute_input"))

    @property
    def stdout(self) -> str:
        """All text on the stream stdout."""
        return self._stream("stdout")

    @property
    def stderr(self) -> str:
        """All text on the stream stderr."""
        return self._stream("stderr")

    @property
    def displays(self) -> list[dict[str, Any]]:
        """The MIME bundles of display_data."""
        return [content["data"] for content in self._contents("display_data")]

    @property
    def updates(self) -> list[dict[str, Any]]:
        """The contents of update_display_data."""
        return self._contents("update_display_data")

    @property
    def result(self) -> dict[str, Any] | None:
        """The MIME bundle of execute_result: what `Out[n]` shows."""
        results = self._contents("execute_result")
        return results[-1]["data"] if results else None

    @property
    def text(self) -> str:
        """The plain text of `Out[n]`, empty if there is none."""
        return str((self.result or {}).get("text/plain", ""))

    @property
    def error(self) -> dict[str, Any] | None:
        """ename, evalue and traceback as published; a UsageError has none, only a reply."""
        errors = self._contents("error")
        return errors[-1] if errors else None

    @property
    def status(self) -> str:
        """`ok`, `error` or `aborted`: what decides whether "Run All" goes on."""
        assert self.reply is not None, "the cell has not ended"
        return str(self.reply["status"])

    def raise_error(self) -> None:
        """Raise CellError unless the cell worked."""
        if self.status != "ok":
            trace = "\n".join((self.error or {}).get("traceback", []))
            raise CellError(f"{self.reply}\n{trace}\nstdout: {self.stdout}\nstderr: {self.stderr}")
