"""A terminal as a widget, by xterm.js; what is typed and shown goes through two callables."""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Mapping
from typing import Any, Final, Protocol

import traitlets

from nsmagic.widgets.assets import script, style
from nsmagic.widgets.live import LiveWidget

KEPT: Final = 1 << 17  # bytes that a late view is shown
_AHEAD: Final = 1 << 18  # bytes that the views may be behind before the program has to wait
_PATIENCE: Final = 2.0  # s
_LINES: Final = 40
# CSI, OSC, and the two-character sequences, ECMA-48.
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\].*?(?:\x07|\x1b\\)|[@-Z\\-_=>]|[()].)")


class Typing(Protocol):
    """Where keys go and who hears of the size: `nsmagic.run.terminal.Keyboard`."""

    def type(self, keys: bytes) -> None:
        """Type keys."""

    def resize(self, rows: int, columns: int) -> None:
        """Change the size."""


def _kept(_: object, widget: Terminal) -> bytes:
    return bytes(widget.kept)


def _status(_: object, widget: Terminal) -> str:
    return widget.status_now


class Terminal(LiveWidget):
    """A terminal; `push` what the program writes, from one thread."""

    _esm = traitlets.Unicode(script("common.js", "terminal.js")).tag(sync=True)
    _css = traitlets.Unicode(style("vendor/xterm.css", "common.css", "terminal.css")).tag(sync=True)
    xterm = traitlets.Unicode(script("vendor/xterm.mjs")).tag(sync=True)
    fit = traitlets.Unicode(script("vendor/addon-fit.mjs")).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    answers = traitlets.Bool(False).tag(sync=True)
    screen = traitlets.Any(None).tag(sync=True, to_json=_kept)
    status = traitlets.Any(None).tag(sync=True, to_json=_status)

    def __init__(self, title: str, typing: Typing) -> None:
        self.kept = bytearray()
        self.status_now = ""
        self._typing = typing
        self._behind = 0
        self._caught_up = threading.Event()
        super().__init__(title=title)
        self.answers = self.while_busy

    def push(self, data: bytes) -> None:
        """Show what was written.  Waits while somebody looks whose view is far behind."""
        while self.watched and self._behind > _AHEAD:
            self._caught_up.clear()
            if not self._caught_up.wait(_PATIENCE):
                break
        with self._lock:
            self.kept += data
            del self.kept[:-KEPT]
            self._behind += len(data)
            self.tell({"out": len(data)}, [data])

    def end(self, text: str) -> None:
        """Say that the program has ended."""
        with self._lock:
            self.status_now = text
            self.tell({"ended": text})
        self.leave_still()

    def asked(self, what: str, content: Mapping[str, Any]) -> None:
        """Type, resize, or take note of what a view has drawn."""
        if what == "type":
            self._typing.type(str(content["keys"]).encode("utf-8", errors="surrogateescape"))
        elif what == "size":
            self._typing.resize(int(content["rows"]), int(content["columns"]))
        elif what == "drawn":
            self._behind = max(0, self._behind - int(content["count"]))
            self._caught_up.set()

    def line(self) -> str:
        """Return what it is."""
        return self.title

    def text(self) -> str:
        """Return the last lines, without colours."""
        plain = _ESCAPES.sub("", self.kept.decode("utf-8", errors="replace"))
        lines = [line.rstrip().rpartition("\r")[2] for line in plain.split("\n")]
        ending = [self.status_now] if self.status_now else []
        return "\n".join([self.title, *lines[-_LINES:], *ending])

    def still(self) -> dict[str, str]:
        """Return the last lines as HTML, once it is over."""
        if not self.status_now:
            return {}
        return {"text/html": f"<pre>{html.escape(self.text())}</pre>"}
