"""The interpreter of a forked cell as a process of its own: its streams, its loop, its end."""

from __future__ import annotations

import asyncio
import atexit
import builtins
import functools
import gc
import io
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TextIO

import IPython

import nsmagic

_OURS: Final = f"{Path(nsmagic.__file__).parent}/"
_IPYTHON: Final = f"{Path(IPython.__file__).parent}/"
_STREAM_METHODS = ("write", "writelines", "flush", "fileno", "isatty")


class Writer(io.TextIOWrapper):
    """A text stream on a descriptor that holds nothing back: progress dots must show at once."""

    def __init__(self, fd: int) -> None:
        raw = io.FileIO(fd, "w", closefd=False)
        super().__init__(
            io.BufferedWriter(raw), encoding="utf-8", errors="replace", line_buffering=True
        )

    def write(self, text: str) -> int:
        """Write and, without a line end, flush."""
        __tracebackhide__ = True
        count = super().write(text)
        if "\n" not in text:
            self.flush()
        return count


def end_in_the_cell(error: BaseException | None) -> None:
    """Cut our own frames off the end of a traceback: a cell knows that it called print(), not us.

    IPython never hides the last frame, whatever `__tracebackhide__` says, and has one of its own
    between print() and the stream.
    """
    last = before = None
    step = None if error is None else error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if file.startswith(_OURS):
            last = last or before
        elif not file.startswith(_IPYTHON):
            last = None
        before, step = step, step.tb_next
    if last is not None:
        last.tb_next = None


class DeferredInterrupt:
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


class Sent(list[dict[str, Any]]):
    """A list that nothing stays in: what is appended goes to `send`."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._send = send

    def append(self, thing: dict[str, Any]) -> None:
        """Send `thing`."""
        self._send(thing)


def own_streams() -> None:
    """Let sys.stdout and sys.stderr write to descriptors 1 and 2; handlers that hold them too."""
    for fd, name in ((1, "stdout"), (2, "stderr")):
        stream = Writer(fd)
        old = getattr(sys, name)
        if type(old).__name__ == "OutStream":  # ipykernel's, whose thread is gone
            for method in _STREAM_METHODS:
                old.__dict__[method] = getattr(stream, method)
            old.__dict__["close"] = old.__dict__["set_parent"] = lambda *_: None
        else:
            setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    builtins.print = _print_whole(builtins.print)


def _print_whole(by_parts: Callable[..., None]) -> Callable[..., None]:
    """Return a print() that writes once: as four writes, lines of two threads would mix."""

    @functools.wraps(by_parts)
    def print_whole(
        *values: object, sep: str | None = " ", end: str | None = "\n",
        file: TextIO | None = None, flush: bool = False,
    ) -> None:  # fmt: skip
        __tracebackhide__ = True
        target: TextIO | None = sys.stdout if file is None else file
        if target is None or not (target is sys.stdout or target is sys.stderr):
            by_parts(*values, sep=sep, end=end, file=file, flush=flush)
            return
        text = io.StringIO()
        by_parts(*values, sep=sep, end=end, file=text)
        target.write(text.getvalue())
        if flush:
            target.flush()

    return print_whole


def own_thread() -> None:
    """Be the main thread, alone; `nsmagic.run.orphans.leave_debugger` left the debugger behind."""
    sys.breakpointhook = sys.__breakpointhook__  # pdb, through input()
    threading.main_thread()._set_native_id()  # type: ignore[attr-defined]


def own_loop() -> None:
    """Make an event loop: the notebook's runs in the notebook, with descriptors of its own."""
    asyncio._set_running_loop(None)
    if sys.version_info >= (3, 14):
        asyncio.set_event_loop(asyncio.new_event_loop())
    else:  # a new policy makes the loop when it is asked for: 1 ms less for most cells
        asyncio.set_event_loop_policy(None)


def own_exit_handlers() -> None:
    """Leave to the notebook what runs at its end; keep what the cell registers from now on."""
    atexit._clear()
    finalizers: Any = weakref.finalize
    for finalizer in list(finalizers._registry):
        finalizer.atexit = False
    atexit.register(finalizers._exitfunc)
    processes: Any = sys.modules.get("multiprocessing.process")
    if processes is not None:  # or the cell's end would terminate the notebook's own pools
        processes._children = set()
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        util._finalizer_registry.clear()
        atexit.register(util._exit_function)


def end_interpreter() -> None:
    """Do what Python does at its end: wait for threads, run exit handlers, write files out."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    # After gc.freeze() these are the objects of the cell alone.
    for thing in gc.get_objects():
        if issubclass(type(thing), io.TextIOWrapper | io.BufferedWriter | io.BufferedRandom):
            _write_out(thing)


def _write_out(file: io.TextIOWrapper | io.BufferedWriter | io.BufferedRandom) -> None:
    try:
        if not file.closed:
            file.flush()
    except (OSError, ValueError) as problem:
        sys.stderr.write(f"{file!r} could not be written out: {problem}\n")


def exit_status(error: SystemExit) -> int:
    """Return the status that sys.exit() means."""
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1


def text_of(error: BaseException) -> str:
    """Return str() of an exception, whatever its own code makes of it."""
    try:
        return str(error)
    except Exception as problem:  # noqa: BLE001 - it is the code of anybody's class
        return f"<str() of it raised {type(problem).__name__}>"
