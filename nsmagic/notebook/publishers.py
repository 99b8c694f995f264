"""Ways out of the parent: messages on iopub with the cell's own parent header, or a terminal."""

from __future__ import annotations

import html
import shutil
import sys
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO

from nsmagic.wish.errors import ChannelError
from nsmagic.wish.printing import NO_MATH

if TYPE_CHECKING:
    from ipykernel.kernelbase import Kernel
    from IPython.core.interactiveshell import InteractiveShell

    Buffer = bytes | bytearray | memoryview[Any]

NOTEBOOK_COLUMNS: Final = 100
_DISPLAYS: Final = frozenset({"display_data", "update_display_data", "execute_result"})
_COMMS: Final = frozenset({"comm_open", "comm_msg", "comm_close"})
# What a cell may publish.  With `status` or `execute_input` it could end or rewrite its own cell.
FRAMES: Final = _DISPLAYS | _COMMS | {"clear_output"}


class Publisher(Protocol):
    """Takes what a cell shows: the notebook, a terminal, or somebody who keeps it."""

    @property
    def columns(self) -> int:
        """How many characters fit into a line."""

    def text(self, stream: str, text: str) -> None:
        """Take output of `stdout` or `stderr`."""

    def note(self, line: str) -> None:
        """Take something that nsmagic itself has to say."""

    def counter(self, line: str, final: bool) -> None:
        """Take how much output there is that is not shown, in place of what was said before."""

    def bundle(
        self, data: Mapping[str, str], display_id: str, *, update: bool, settled: bool
    ) -> None:
        """Take a MIME bundle of our own."""

    def display(
        self, msg_type: str, content: Mapping[str, Any], metadata: Mapping[str, Any] | None = None,
        buffers: Sequence[Buffer] = (),
    ) -> None:  # fmt: skip
        """Take a display or comm message of the cell; ChannelError for any other kind."""


class IOPubPublisher:
    """Sends to the cell whose request is `parent`, from any thread, past the parent's sys.stdout.

    IPython 9 keeps everything that is written to sys.stdout in memory, for good.  The socket is
    ipykernel's BackgroundSocket: its IOPub thread sends, in the order of the calls.
    """

    def __init__(self, kernel: Kernel, parent: Mapping[str, Any]) -> None:
        assert kernel.session is not None
        self._session = kernel.session
        self._socket = kernel.iopub_socket
        self._topic = f"kernel.{kernel.ident}."
        self._parent = dict(parent)
        self._counter = ""
        for stream in (sys.stdout, sys.stderr):
            # Text of the parent waits up to 0.2 s in its OutStream and would arrive after ours.  A
            # flush waits for another thread, so it is spared where nothing is known to wait.
            if getattr(stream, "_buffers", True):
                stream.flush()

    @property
    def columns(self) -> int:
        """How many characters fit into a line of text."""
        return NOTEBOOK_COLUMNS

    def text(self, stream: str, text: str) -> None:
        """Show `text` as output of `stream`."""
        self._send("stream", {"name": stream, "text": text})

    def note(self, line: str) -> None:
        """Show `line` dimmed: something that nsmagic itself has to say."""
        self._send("display_data", {"data": dim(line), "metadata": {}, "transient": {}})

    def counter(self, line: str, final: bool) -> None:
        """Show `line` where the counter stands; a `clear_output` makes it start anew."""
        update = bool(self._counter)
        self._counter = self._counter or uuid.uuid4().hex
        self.bundle(dim(line), self._counter, update=update, settled=final)

    def bundle(
        self,
        data: Mapping[str, str],
        display_id: str,
        *,
        update: bool,
        settled: bool,  # noqa: ARG002
    ) -> None:
        """Show a MIME bundle of our own, or with `update` put it in the place of an earlier one."""
        content = {"data": dict(data), "metadata": {}, "transient": {"display_id": display_id}}
        self._send("update_display_data" if update else "display_data", content)

    def display(
        self,
        msg_type: str,
        content: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
        buffers: Sequence[Buffer] = (),
    ) -> None:
        """Pass a display or comm message of the cell on; ChannelError for any other kind."""
        check_frame(msg_type, content)
        if msg_type == "clear_output":
            self._counter = ""
        self._send(msg_type, content, metadata, buffers)

    def _send(
        self,
        msg_type: str,
        content: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
        buffers: Sequence[Buffer] = (),
    ) -> None:
        self._session.send(
            self._socket,
            msg_type,
            dict(content),
            parent=self._parent,
            ident=(self._topic + msg_type).encode(),
            buffers=[memoryview(buffer) for buffer in buffers],
            metadata=dict(metadata or {}),
        )


class TerminalPublisher:
    """Writes to what sys.stdout and sys.stderr are now: a terminal, or what %%capture put there."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._display_pub = shell.display_pub
        self._streams: dict[str, TextIO] = {"stdout": sys.stdout, "stderr": sys.stderr}
        self._at_line_start = True
        self._written: set[str] = set()

    @property
    def columns(self) -> int:
        """How many characters fit into a line."""
        return shutil.get_terminal_size((NOTEBOOK_COLUMNS, 24)).columns

    def text(self, stream: str, text: str) -> None:
        """Write and flush `text`; what the encoding of the terminal lacks becomes `?`."""
        out = self._streams[stream]
        encoding = getattr(out, "encoding", None) or "utf-8"
        out.write(text.encode(encoding, errors="replace").decode(encoding))
        out.flush()
        self._at_line_start = text.endswith("\n")

    def note(self, line: str) -> None:
        """Write `line`: something that nsmagic itself has to say."""
        self.text("stderr", f"{line}\n")

    def counter(self, line: str, final: bool) -> None:
        """Rewrite the counter's line on a terminal; elsewhere only the final one is written."""
        terminal = self._streams["stderr"].isatty()
        start = "" if self._at_line_start else "\n"
        if final:
            self.text("stderr", ("\r\x1b[K" if terminal else start) + line + "\n")
        elif terminal:
            width = shutil.get_terminal_size().columns - 1
            self.text("stderr", start + "\r\x1b[K" + line.partition("\n")[0][:width])
            self._at_line_start = True

    def bundle(
        self,
        data: Mapping[str, str],
        display_id: str,
        *,
        update: bool,  # noqa: ARG002
        settled: bool,
    ) -> None:
        """Write the text of a MIME bundle once, when it is `settled`: nothing can be taken back."""
        if settled and display_id not in self._written:
            self._written.add(display_id)
            self.text("stdout", ("" if self._at_line_start else "\n") + data["text/plain"] + "\n")

    def display(
        self,
        msg_type: str,
        content: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,  # noqa: ARG002
        buffers: Sequence[Buffer] = (),  # noqa: ARG002
    ) -> None:
        """Show a display of the cell as IPython would; comm messages have nobody to go to."""
        check_frame(msg_type, content)
        if msg_type == "clear_output":
            self._display_pub.clear_output(  # type: ignore[no-untyped-call]
                wait=bool(content.get("wait"))
            )
        elif msg_type in _DISPLAYS:
            self._display_pub.publish(
                data=content.get("data", {}),
                metadata=content.get("metadata", {}),
                transient=content.get("transient", {}),
                update=msg_type == "update_display_data",
            )


def publisher_for(shell: InteractiveShell, parent: Mapping[str, Any] | None = None) -> Publisher:
    """The way out for the cell that runs now; `parent` is its request, asked of the kernel if None.

    Call it in the cell's own thread, before anything of the cell is shown.
    """
    kernel = getattr(shell, "kernel", None)
    # %%capture and contextlib.redirect_stdout put something else in the place of OutStream.
    streams = sys.stdout, sys.stderr
    if kernel is None or not all(hasattr(stream, "pub_thread") for stream in streams):
        return TerminalPublisher(shell)
    return IOPubPublisher(kernel, parent or kernel.get_parent("shell"))


def dim(line: str) -> dict[str, str]:
    """The MIME bundle of a line that stands behind the cell's own output."""
    style = (
        "opacity:.65;white-space:pre-wrap;font-family:var(--jp-code-font-family,monospace);"
        "font-size:var(--jp-code-font-size,inherit)"
    )
    return {
        "text/plain": line,
        "text/html": f'<div class="{NO_MATH}" style="{style}">{html.escape(line)}</div>',
    }


def check_frame(msg_type: str, content: object) -> None:
    """ChannelError unless a cell may publish this kind of message, with a dictionary in it."""
    if msg_type not in FRAMES:
        raise ChannelError(f"a cell may not publish a message of the kind {msg_type!r}")
    if not isinstance(content, Mapping):
        raise ChannelError(f"{msg_type} without content")
