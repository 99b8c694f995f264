"""The forked copy of the notebook's kernel: what must be neutralised, then the cell itself.

Only the forking thread exists here.  The objects keep their identity: streams, display and input
are turned over to the channel by replacing single methods, because hooks, formatters and handlers
that captured the old objects go on using them.
"""

from __future__ import annotations

import builtins
import errno
import gc
import getpass
import os
import re
import signal
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any, Final, NoReturn

from IPython.core import async_helpers
from IPython.core.displayhook import CapturingDisplayHook
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.error import StdinNotImplementedError
from IPython.core.history import DummyDB
from jupyter_client.jsonutil import json_default

from nsmagic.linux import syscalls
from nsmagic.notebook import interpreter, otherroot
from nsmagic.notebook.body import Cell
from nsmagic.notebook.publishers import FRAMES
from nsmagic.run.channel import Channel, Frame
from nsmagic.run.spawning import close_own_spawner
from nsmagic.run.values import send_values

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# Compiled here, so that the child finds it in the cache of `re`: 5 ms of every cell otherwise.
_EXIT_ADVICE = re.compile("To exit: use 'exit', 'quit', or Ctrl-D", re.IGNORECASE)
_FILES_HINT: Final = (
    "Files that the notebook had open are not there in an isolated cell; open them inside it."
)
_UNANSWERED: Final[dict[str, type[BaseException]]] = {
    error.__name__: error for error in (KeyboardInterrupt, EOFError, StdinNotImplementedError)
}


class ChildShell:
    """Runs one cell in the forked shell and tells the parent how it went."""

    def __init__(self, shell: InteractiveShell, channel: Channel) -> None:
        self._shell, self._channel = shell, channel
        channel.default = json_default  # what Jupyter makes of dates and numpy's numbers
        self._lock = threading.Lock()
        self._error: dict[str, Any] | None = None
        self._in_display = False
        self._is_copy = self._other_root = False

    def run(self, cell: Cell) -> NoReturn:
        """Run `cell` as IPython runs a cell; end the process with its status."""
        status: int | None = None
        try:
            with interpreter.DeferredInterrupt():
                self._neutralise()
                if cell.other_root:
                    self._other_root = True
                    otherroot.import_nothing_more()
                    otherroot.own_system(self._shell)
            status = self._run_body(cell)
            interpreter.end_interpreter()
            close_own_spawner()
        except KeyboardInterrupt as stopped:
            self._keep_error(type(stopped), stopped, [])
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._finish(status)

    def _run_body(self, cell: Cell) -> int | None:
        """Return the status that sys.exit() asked for, None if the cell did not call it."""
        before = dict(self._shell.user_ns) if cell.returns else {}
        shell: Any = self._shell
        done = shell.run_cell(cell.padded, store_history=True)
        error = done.error_before_exec or done.error_in_exec
        if isinstance(error, SystemExit):
            self._error = None
            return interpreter.exit_status(error)
        if error is not None and self._error is None:
            self._keep_error(type(error), error, [])  # IPython has printed it
        elif error is None and not self._in_display:
            self._tell_error()
        if self._error is None and cell.returns and not self._is_copy:
            with self._lock, interpreter.DeferredInterrupt():
                send_values(self._channel, cell.returns, self._shell.user_ns, before)
        return None

    def _finish(self, status: int | None) -> NoReturn:
        code = 1 if self._error is not None else status or 0
        if self._is_copy:  # made by an os.fork() in the cell: the channel is not for two
            self._tell_error()
        sys.stdout.flush()
        sys.stderr.flush()
        syscalls.flush_c_streams()
        with self._lock:  # a daemon thread may be in the middle of a frame
            if not self._is_copy:
                self._channel.send("end", error=self._error, payload=self._payload())
            os._exit(code)

    def _payload(self) -> list[dict[str, Any]]:
        """What is for the front end besides output: a page of help, the text of a next cell."""
        manager: Any = getattr(self._shell, "payload_manager", None)
        return [] if manager is None else list(manager.read_payload())

    def _neutralise(self) -> None:
        gc.freeze()  # or the collector touches, and so copies, every page of the notebook
        os.register_at_fork(after_in_child=self._become_copy)
        interpreter.own_thread()
        interpreter.own_exit_handlers()
        interpreter.own_streams()
        self._own_loop()
        self._own_history()
        self._own_messages()
        self._own_errors()
        self._own_capture()

    def _become_copy(self) -> None:
        self._is_copy = True
        self._lock = threading.Lock()

    def _own_loop(self) -> None:
        interpreter.own_loop()
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
        # The same cell with the same number, and what its own last line is decides on `;`.
        self._shell.execution_count = self._shell.displayhook.prompt_count
        parsed = manager.input_hist_parsed
        manager.store_inputs = lambda _, source, *__: parsed.__setitem__(-1, source)
        manager.store_output = lambda *_: None
        shell: Any = self._shell
        shell._format_exception_for_storage = lambda *_, **__: None

    def _own_messages(self) -> None:
        shell: Any = self._shell
        shell._showtraceback = self._keep_error
        kernel = getattr(shell, "kernel", None)
        if kernel is not None:
            kernel.session.send = self._publish
            kernel._input_request = self._ask
        else:
            builtins.input = lambda prompt="": self._ask(str(prompt))
            getpass.getpass = lambda prompt="Password: ", *_: self._ask(prompt, password=True)

    def _own_errors(self) -> None:
        shell: Any = self._shell

        def ask_exit() -> NoReturn:
            raise SystemExit

        shell.ask_exit = ask_exit
        shell.show_usage_error = lambda error: self._keep_error(type(error), error, [])
        show = shell.showtraceback

        def showtraceback(exc_tuple: Any = None, *args: Any, **options: Any) -> None:
            error = exc_tuple[1] if exc_tuple else sys.exc_info()[1]
            if isinstance(error, OSError) and error.errno == errno.EBADF:
                error.add_note(_FILES_HINT)
            if self._other_root:
                otherroot.explain(error)
            interpreter.end_in_the_cell(error)
            if not isinstance(error, SystemExit):
                show(exc_tuple, *args, **options)

        shell.showtraceback = showtraceback
        warnings.filterwarnings("ignore", message=_EXIT_ADVICE.pattern)

    def _own_capture(self) -> None:
        """Send to the notebook's %%capture, around this cell, what its copy would keep here."""
        outputs = interpreter.Sent(self._publish_kept)
        publisher: Any = self._shell.display_pub
        if isinstance(self._shell.display_pub, CapturingDisplayPublisher):
            publisher.outputs = outputs
            publisher.clear_output = lambda wait=False: self._publish(
                None, "clear_output", {"wait": wait}
            )
        if isinstance(sys.displayhook, CapturingDisplayHook):
            sys.displayhook.outputs = outputs

    def _publish_kept(self, kept: dict[str, Any]) -> None:
        message = "update_display_data" if kept.pop("update", False) else "display_data"
        self._publish(None, message, kept)

    def _keep_error(self, etype: type, evalue: BaseException, stb: list[str]) -> None:
        """Keep a traceback for the end, when it is clear whether it is what fails the cell."""
        self._tell_error()
        self._in_display = getattr(self._shell.displayhook, "msg", None) is not None
        self._error = {
            "ename": etype.__name__,
            "evalue": interpreter.text_of(evalue),
            "traceback": list(stb),
        }

    def _tell_error(self) -> None:
        """Print a traceback that did not fail the cell, or for which there is no other way."""
        if self._error is not None:
            lines = self._error["traceback"] or [f"{self._error['ename']}: {self._error['evalue']}"]
            sys.stderr.write("\n".join(lines) + "\n")
            self._error = None

    def _publish(
        self, _stream: Any, message: Any, content: Any = None, _parent: Any = None,
        _ident: Any = None, buffers: Any = None, *, metadata: Any = None, **_: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Stand in for jupyter_client's Session.send, the only way out of ipykernel."""
        if isinstance(message, dict):
            content, metadata = message["content"], message["metadata"]
            buffers = message.get("buffers") or buffers
            message = message["msg_type"]
        if message == "stream":  # of a cell in this cell
            getattr(sys, content["name"]).write(content["text"])
        elif message in FRAMES and self._is_copy:
            sys.stdout.write(content.get("data", {}).get("text/plain", "") + "\n")
        elif message in FRAMES:
            sys.stdout.flush()
            sys.stderr.flush()
            self._exchange(
                "publish", buffers=buffers or (),
                msg_type=message, content=content, metadata=metadata or {},
            )  # fmt: skip
        return {"header": {"msg_id": ""}, "content": content}

    def _ask(self, prompt: str, *_: Any, password: bool = False) -> str:
        __tracebackhide__ = True
        if self._is_copy:
            raise EOFError("only the cell's first process can ask")
        sys.stdout.flush()
        sys.stderr.flush()
        answer = self._exchange("input", prompt=prompt, password=password).data
        if answer["problem"] is not None:
            raise _UNANSWERED[answer["problem"]](answer["text"])
        text: str = answer["text"]
        return text

    def _exchange(self, kind: str, *, buffers: Any = (), **data: Any) -> Frame:
        """Send a frame and wait for the answer; an interrupt in between is raised afterwards."""
        with self._lock, interpreter.DeferredInterrupt():
            self._channel.send(kind, buffers=buffers, **data)
            answer = self._channel.receive()
        if answer is None:
            os._exit(255)  # the notebook is gone
        return answer
