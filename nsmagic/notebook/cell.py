"""The parent's side of an isolated cell: output, display, input, values and errors of the child."""

from __future__ import annotations

import getpass
import json
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from IPython.core.error import StdinNotImplementedError

from nsmagic.notebook.publish import CaptureOutput, CellOutput
from nsmagic.notebook.publishers import Publisher
from nsmagic.notebook.stopping import on_sigint
from nsmagic.run.channel import Channel, Frame
from nsmagic.run.result import Result
from nsmagic.run.unpickling import Refused, Untrusted
from nsmagic.run.values import read_value
from nsmagic.wish.errors import ChannelError
from nsmagic.wish.printing import printable

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nsmagic.notebook.explain import ExplainView


_UNANSWERED: Final = (KeyboardInterrupt, EOFError, StdinNotImplementedError)
# A payload can also end the kernel or open an editor: these two only show something.
_PAYLOADS: Final = frozenset({"page", "set_next_input"})


class CellListener:
    """Shows what a cell says in the place where its output belongs, and keeps what it returns."""

    def __init__(
        self,
        shell: InteractiveShell,
        output: CellOutput | CaptureOutput,
        publisher: Publisher,
        explained: ExplainView | None,
    ) -> None:
        self._shell, self._out, self._publisher = shell, output, publisher
        self._explained = explained
        self.output = output.output
        self.deadline = output.deadline
        self.asks = True
        self.asking: Callable[[], AbstractContextManager[None]] = nullcontext
        self.wanted: frozenset[str] | None = None
        self.error: dict[str, Any] | None = None
        self.refused: dict[str, str] = {}
        self.hint = ""
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
        except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as problem:
            raise ChannelError(f"the cell sent a broken {frame.kind!r} frame: {problem}") from None

    def values(self, before: Mapping[str, Any], *, trusted: bool) -> dict[str, Any]:
        """Return what came back, by name; `before` is the namespace as it was at the fork.

        Pickles that could run code are read only from a cell that is `trusted`.
        """
        values = {}
        for name, frame in self._values.items():
            try:
                values[name] = read_value(frame, before, trusted=trusted)
            except Refused as problem:
                self.refused[name] = str(problem)
                if isinstance(problem, Untrusted):
                    self.hint = "--allow-pickle   takes it all the same, from a cell that you trust"
        return values

    def _on_publish(self, frame: Frame, channel: Channel) -> None:
        self._out.settle()
        data = frame.data
        self._publisher.display(data["msg_type"], data["content"], data["metadata"], frame.buffers)
        channel.answer("done")

    def _on_input(self, frame: Frame, channel: Channel) -> None:
        self._out.settle()
        answer = self._ask(str(frame.data["prompt"]), bool(frame.data["password"]))
        channel.answer("line", **answer)

    def _ask(self, prompt: str, password: bool) -> dict[str, str | None]:
        if not self.asks:
            return {"problem": "EOFError", "text": "a background cell has nobody to ask"}
        kernel: Any = getattr(self._shell, "kernel", None)
        asked: Any = getpass.getpass if password else input
        if kernel is not None:
            asked = kernel.getpass if password else kernel.raw_input
        try:
            with on_sigint(signal.default_int_handler), self.asking():
                return {"problem": None, "text": asked(prompt)}
        except _UNANSWERED as problem:
            kind = next(kind for kind in _UNANSWERED if isinstance(problem, kind))
            return {"problem": kind.__name__, "text": str(problem)}

    def _on_value(self, frame: Frame, _: Channel) -> None:
        name = frame.data["name"]
        if self.wanted is not None and name not in self.wanted:
            raise ChannelError(f"the cell sent a value that was not asked for: {name!r}")
        self._values[name] = frame

    def _on_refused(self, frame: Frame, _: Channel) -> None:
        self.refused[frame.data["name"]] = str(frame.data["why"])

    def _on_end(self, frame: Frame, _: Channel) -> None:
        error = frame.data["error"]
        if error is not None:
            lines = [_sendable(line) for line in error["traceback"]]
            self.error = {
                "ename": printable(str(error["ename"])), "evalue": _sendable(error["evalue"]),
                "traceback": lines,
            }  # fmt: skip
        manager: Any = getattr(self._shell, "payload_manager", None)
        for item in frame.data["payload"]:
            # A background cell ends while another one runs, to which it would be attached.
            if item["source"] in _PAYLOADS and self.asks and manager is not None:
                # ipykernel's reply would never come if it could not be sent.
                json.dumps(item, ensure_ascii=False, allow_nan=False).encode()
                manager.write_payload(item)


def _sendable(text: object) -> str:
    """Return text without halves of surrogate pairs, which no Jupyter message takes."""
    return str(text).encode(errors="backslashreplace").decode()
