"""The parent's side of an isolated cell: output, display, input, values and errors of the child."""

from __future__ import annotations

import getpass
import signal
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nsmagic.notebook.explain import ExplainView
from nsmagic.notebook.publish import CaptureOutput, CellOutput
from nsmagic.notebook.publishers import IOPubPublisher, TerminalPublisher
from nsmagic.run.channel import Channel, Frame
from nsmagic.run.result import Result
from nsmagic.run.values import read_value
from nsmagic.wish.errors import ChannelError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class CellListener:
    """Shows what a cell says in the place where its output belongs, and keeps what it returns."""

    def __init__(
        self,
        shell: InteractiveShell,
        output: CellOutput | CaptureOutput,
        publisher: IOPubPublisher | TerminalPublisher,
        explained: ExplainView | None,
    ) -> None:
        self._shell, self._out, self._publisher = shell, output, publisher
        self._explained = explained
        self.output = output.output
        self.deadline = output.deadline
        self.asks = True
        self.error: dict[str, Any] | None = None
        self.refused: dict[str, str] = {}
        self._values: dict[str, Frame] = {}

    def ready(self, result: Result) -> None:
        """Fill the table of --explain in."""
        if self._explained is not None:
            self._explained.update(result)

    def tick(self) -> None:
        """Publish what is due."""
        self._out.tick(time.monotonic())

    def message(self, frame: Frame, channel: Channel) -> None:
        """Take a frame of the child: display, question, value, or its end."""
        take = getattr(self, f"_on_{frame.kind}", None)
        if take is None:
            raise ChannelError(f"the cell sent a frame of unknown kind {frame.kind!r}")
        try:
            take(frame, channel)
        except (KeyError, TypeError, AttributeError) as problem:
            raise ChannelError(f"the cell sent a broken {frame.kind!r} frame: {problem}") from None

    def values(self, before: Mapping[str, Any]) -> dict[str, Any]:
        """Return what came back, by name; `before` is the namespace as it was at the fork."""
        return {name: read_value(frame, before) for name, frame in self._values.items()}

    def _on_publish(self, frame: Frame, channel: Channel) -> None:
        self._out.settle()
        data = frame.data
        self._publisher.display(data["msg_type"], data["content"], data["metadata"], frame.buffers)
        channel.send("done")

    def _on_input(self, frame: Frame, channel: Channel) -> None:
        self._out.settle()
        answer = self._ask(str(frame.data["prompt"]), bool(frame.data["password"]))
        channel.send("line", text=answer.get("text"), problem=answer.get("problem"))

    def _ask(self, prompt: str, password: bool) -> dict[str, str]:
        if not self.asks:
            return {"problem": "a background cell has nobody to ask"}
        kernel: Any = getattr(self._shell, "kernel", None)
        asked: Any = getpass.getpass if password else input
        if kernel is not None:
            asked = kernel.getpass if password else kernel.raw_input
        try:
            with on_sigint(signal.default_int_handler):
                return {"text": asked(prompt)}
        except KeyboardInterrupt:
            return {"problem": "interrupt"}
        except EOFError as problem:
            return {"problem": str(problem) or "end of input"}

    def _on_value(self, frame: Frame, _: Channel) -> None:
        self._values[frame.data["name"]] = frame

    def _on_refused(self, frame: Frame, _: Channel) -> None:
        self.refused[frame.data["name"]] = str(frame.data["why"])

    def _on_end(self, frame: Frame, _: Channel) -> None:
        self.error = frame.data["error"]


@contextmanager
def on_sigint(handler: Callable[..., object]) -> Generator[None]:
    """Handle SIGINT by `handler`; does nothing but in the main thread, where alone one can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
