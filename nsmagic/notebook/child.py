"""The forked copy of the notebook's kernel: what must be neutralised, then the cell itself.

Only the forking thread exists here.  The objects keep their identity: streams, display and input
are turned over to the channel by replacing single methods, because hooks, formatters and handlers
that captured the old objects go on using them.
"""

from __future__ import annotations

import asyncio
import atexit
import builtins
import gc
import getpass
import io
import os
import re
import signal
import sys
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from IPython.core import async_helpers
from IPython.core.history import DummyDB

from nsmagic.notebook.publishers import FRAMES
from nsmagic.run.channel import Channel, Frame

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# Compiled here, so that the child finds it in the cache of `re`: 5 ms of every cell otherwise.
_EXIT_ADVICE = re.compile("To exit: use 'exit', 'quit', or Ctrl-D", re.IGNORECASE)

_STREAM_METHODS = ("write", "writelines", "flush", "fileno", "isatty")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The body to run, and how many lines stood above it in the notebook's cell."""

    body: str
    head: str = ""
    returns: tuple[str, ...] = ()


class ChildShell:
    """Runs one cell in the forked shell and tells the parent how it went."""

    def __init__(self, shell: InteractiveShell, channel: Channel) -> None:
        self._shell, self._channel = shell, channel
        self._lock = threading.Lock()
        self._error: dict[str, Any] | None = None

    def run(self, cell: Cell) -> NoReturn:
        """Run `cell` as IPython runs a cell; end the process with its status."""
        self._neutralise()
        before = dict(self._shell.user_ns) if cell.returns else {}
        shell: Any = self._shell
        done = shell.run_cell(_padded(cell), store_history=False)
        error = done.error_before_exec or done.error_in_exec
        status = _exit_status(error)
        if error is None and cell.returns:
            from nsmagic.run.values import send_values

            send_values(self._channel, cell.returns, self._shell.user_ns, before)
        self._finish(status, self._error if status is None else None)

    def _finish(self, status: int | None, error: dict[str, Any] | None) -> NoReturn:
        # As the interpreter does at its end: threads that are not daemons are waited for.
        threading._shutdown()  # type: ignore[attr-defined]
        sys.stdout.flush()
        sys.stderr.flush()
        self._channel.send("end", error=error)
        os._exit(1 if error is not None else status or 0)

    def _neutralise(self) -> None:
        gc.freeze()  # or the collector touches, and so copies, every page of the notebook
        atexit._clear()
        sys.settrace(None)
        threading.settrace(None)
        threading.main_thread()._set_native_id()  # type: ignore[attr-defined]
        self._own_streams()
        self._own_loop()
        self._own_history()
        self._own_messages()
        self._own_exit()

    def _own_streams(self) -> None:
        for fd, name in ((1, "stdout"), (2, "stderr")):
            stream = _Writer(fd)
            old = getattr(sys, name)
            if type(old).__name__ == "OutStream":  # ipykernel's, whose thread is gone
                for method in _STREAM_METHODS:
                    old.__dict__[method] = getattr(stream, method)
                old.__dict__["close"] = old.__dict__["set_parent"] = lambda *_: None
            else:
                setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)

    def _own_loop(self) -> None:
        asyncio._set_running_loop(None)
        if sys.version_info >= (3, 14):
            asyncio.set_event_loop(asyncio.new_event_loop())
        else:  # a new policy makes the loop when it is asked for: 1 ms less for most cells
            asyncio.set_event_loop_policy(None)
        async_helpers._asyncio_event_loop = None
        scripts = self._shell.magics_manager.registry.get("ScriptMagics")
        if scripts is not None:  # %%bash runs on a loop of its own, in a thread that is gone
            scripts.event_loop = None
            scripts.bg_processes = []
            if getattr(scripts, "_event_loop_finalizer", None) is not None:
                scripts._event_loop_finalizer.detach()
                scripts._event_loop_finalizer = None

    def _own_history(self) -> None:
        manager = self._shell.history_manager
        if manager is None:
            return
        # Kept, so that sqlite never closes here what the kernel has open.
        self._kept = (manager.db, getattr(manager, "save_thread", None))
        manager.enabled = False
        manager.save_thread = None
        manager.db = DummyDB()

    def _own_messages(self) -> None:
        shell: Any = self._shell
        shell._showtraceback = self._keep_error
        kernel = getattr(shell, "kernel", None)
        if kernel is not None:
            kernel.session.send = self._publish
            kernel._input_request = lambda prompt, *_, password=False: self._ask(prompt, password)
        else:
            builtins.input = lambda prompt="": self._ask(str(prompt), False)
            getpass.getpass = lambda prompt="Password: ", *_, **__: self._ask(prompt, True)

    def _own_exit(self) -> None:
        shell: Any = self._shell

        def ask_exit() -> NoReturn:
            raise SystemExit

        shell.ask_exit = ask_exit
        show = shell.showtraceback

        def showtraceback(exc_tuple: Any = None, *args: Any, **options: Any) -> None:
            kind = exc_tuple[0] if exc_tuple else sys.exc_info()[0]
            if kind is not SystemExit:
                show(exc_tuple, *args, **options)

        shell.showtraceback = showtraceback
        warnings.filterwarnings("ignore", message=_EXIT_ADVICE.pattern)

    def _keep_error(self, etype: type, evalue: BaseException, stb: list[str]) -> None:
        self._error = {"ename": etype.__name__, "evalue": str(evalue), "traceback": list(stb)}

    def _publish(
        self, _stream: Any, message: Any, content: Any = None, _parent: Any = None,
        _ident: Any = None, buffers: Any = None, *, metadata: Any = None, **_: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Stand in for jupyter_client's Session.send, the only way out of ipykernel."""
        if isinstance(message, dict):
            content, metadata = message["content"], message["metadata"]
            buffers = message.get("buffers") or buffers
            message = message["msg_type"]
        if message in FRAMES:
            sys.stdout.flush()
            sys.stderr.flush()
            self._exchange(
                "publish", buffers=buffers or (),
                msg_type=message, content=content, metadata=metadata or {},
            )  # fmt: skip
        return {"header": {"msg_id": ""}, "content": content}

    def _ask(self, prompt: str, password: bool) -> str:
        sys.stdout.flush()
        answer = self._exchange("input", prompt=prompt, password=password)
        problem = answer.data.get("problem")
        if problem == "interrupt":
            raise KeyboardInterrupt("Interrupted by user")
        if problem is not None:
            raise EOFError(problem)
        text: str = answer.data["text"]
        return text

    def _exchange(self, kind: str, *, buffers: Any = (), **data: Any) -> Frame:
        """Send a frame and wait for the answer; an interrupt in between is raised afterwards."""
        with self._lock, _DeferredInterrupt():
            self._channel.send(kind, buffers=buffers, **data)
            answer = self._channel.receive()
        if answer is None:
            os._exit(255)  # the notebook is gone
        return answer


class _DeferredInterrupt:
    """Holds SIGINT back, or a half-read answer would put the channel out of step."""

    def __enter__(self) -> None:
        self._seen = False
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGINT, self._note)

    def _note(self, *_: object) -> None:
        self._seen = True

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)
            if self._seen:
                signal.raise_signal(signal.SIGINT)


class _Writer(io.TextIOWrapper):
    """A text stream on a descriptor that holds nothing back: progress dots must show at once."""

    def __init__(self, fd: int) -> None:
        raw = io.FileIO(fd, "w", closefd=False)
        super().__init__(
            io.BufferedWriter(raw), encoding="utf-8", errors="replace", line_buffering=True
        )

    def write(self, text: str) -> int:
        """Write and, without a line end, flush."""
        count = super().write(text)
        if "\n" not in text:
            self.flush()
        return count


def _padded(cell: Cell) -> str:
    """Put the magic's own lines above the body as comments: line numbers are the notebook's."""
    if cell.body.lstrip().startswith("%%"):
        return cell.body  # a cell magic must stand first
    return "".join(f"#{line}\n" for line in cell.head.splitlines()) + cell.body


def _exit_status(error: BaseException | None) -> int | None:
    """Return the status that sys.exit() asked for, None if the cell did not call it."""
    if not isinstance(error, SystemExit):
        return None
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1
