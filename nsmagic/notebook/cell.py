"""The parent's side of an isolated cell: output, display, input, values and errors of the child."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nsmagic.notebook.failures import Interrupted, raise_as_in_cell, show_as
from nsmagic.notebook.publish import CaptureOutput, CellOutput
from nsmagic.notebook.publishers import IOPubPublisher, TerminalPublisher
from nsmagic.run.channel import Channel, Frame
from nsmagic.run.result import Result
from nsmagic.run.sandbox import Sandbox
from nsmagic.run.values import read_value
from nsmagic.wish.errors import CellFailed, ChannelError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class CellListener:
    """Shows what a cell says in the place where its output belongs."""

    def __init__(
        self,
        shell: InteractiveShell,
        output: CellOutput | CaptureOutput,
        publisher: IOPubPublisher | TerminalPublisher,
    ) -> None:
        self._shell, self._out, self._publisher = shell, output, publisher
        self.output = output.output
        self.deadline = output.deadline
        self.error: dict[str, Any] | None = None
        self.ended = False
        self.values: dict[str, Frame] = {}
        self.refused: dict[str, str] = {}

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

    def _on_publish(self, frame: Frame, channel: Channel) -> None:
        self._out.settle()
        data = frame.data
        self._publisher.display(data["msg_type"], data["content"], data["metadata"], frame.buffers)
        channel.send("done")

    def _on_input(self, frame: Frame, channel: Channel) -> None:
        self._out.settle()
        channel.send("line", **self._ask(str(frame.data["prompt"]), bool(frame.data["password"])))

    def _ask(self, prompt: str, password: bool) -> dict[str, str]:
        if threading.current_thread() is not threading.main_thread():
            return {"problem": "a background cell has nobody to ask"}
        asked: Any = getattr(self._shell, "kernel", None)
        try:
            with _sigint(signal.default_int_handler):
                if asked is not None:
                    return {"text": (asked.getpass if password else asked.raw_input)(prompt)}
                import getpass

                return {"text": (getpass.getpass if password else input)(prompt)}
        except KeyboardInterrupt:
            return {"problem": "interrupt"}
        except EOFError as problem:
            return {"problem": str(problem) or "end of input"}

    def _on_value(self, frame: Frame, channel: Channel) -> None:  # noqa: ARG002
        self.values[frame.data["name"]] = frame

    def _on_refused(self, frame: Frame, channel: Channel) -> None:  # noqa: ARG002
        self.refused[frame.data["name"]] = str(frame.data["why"])

    def _on_end(self, frame: Frame, channel: Channel) -> None:  # noqa: ARG002
        self.ended = True
        self.error = frame.data["error"]


@contextmanager
def _sigint(handler: Any) -> Generator[None]:
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run_to_end(sandbox: Sandbox) -> Result:
    """Run `sandbox` so that the stop button, which is SIGINT, stops the cell and not us."""
    if threading.current_thread() is not threading.main_thread():
        return sandbox.run()
    with _sigint(lambda *_: sandbox.interrupt()):
        return sandbox.run()


def raise_for(listener: CellListener, result: Result, what: str) -> None:
    """Raise what the cell raised, or CellFailed saying in words how it ended."""
    if listener.error is not None:
        error = listener.error
        raise_as_in_cell(str(error["ename"]), str(error["evalue"]), list(error["traceback"]))
    if result.stopped == "interrupted":
        stopped = Interrupted("interrupted")
        show_as(stopped, ["\x1b[31mInterrupted\x1b[0m: the cell was stopped"])
        raise stopped
    if not result.ok:
        raise CellFailed(f"{what} {ending(result)}", result)


def ending(result: Result) -> str:
    """Say in words how the cell ended badly."""
    if result.stopped == "timeout":
        return f"timed out after {result.seconds:.1f} s and was killed"
    if result.stopped == "start":
        return "did not get going within 10 s and was killed"
    if result.signal is not None:
        return f"was killed by {result.signal.name}"
    return f"exited with status {result.exit_code}"


def returned(listener: CellListener, names: tuple[str, ...], before: Any) -> dict[str, Any]:
    """Return the values that came back, by name."""
    return {name: read_value(listener.values[name], before) for name in names
            if name in listener.values}  # fmt: skip
