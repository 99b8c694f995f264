"""Lets clicks reach a widget while a cell runs: they are handled in a subshell of ipykernel 7.

JupyterLab asks for subshells by itself, other front ends do not.  ipykernel 7.4 brings a comm's
messages back to the shell that last sent on it, which is the busy one.  So the kernel keeps one
subshell of ours, and our comms name it.
"""

from __future__ import annotations

import threading
from typing import Any

from nsmagic.widgets.latecomers import Latecomers

_WAIT = 5.0  # s; making a subshell takes a millisecond
_lock = threading.Lock()
_made: dict[int, str] = {}  # by the identity of a kernel, of which a process has one
_latecomers: dict[int, Latecomers] = {}


def route(comm: Any, kernel: Any) -> bool:  # noqa: ANN401 - ipykernel has no annotations
    """Have the messages of `comm` handled while a cell runs; False where that cannot be.

    Private names of ipykernel: where they are missing (before 7.4), the front end decides.
    """
    if not hasattr(comm, "_reply_subshell_for") or _subshell(kernel) is None:
        return False
    comm._reply_subshell_for = lambda _data, asked: asked or _made.get(id(kernel))
    return True


def close(kernel: Any) -> None:  # noqa: ANN401
    """End our subshell; messages go to the main shell again."""
    with _lock:
        made = _made.pop(id(kernel), None)
        late = _latecomers.pop(id(kernel), None)
    if made is not None:
        thread = kernel.shell_channel_thread
        if late is not None:
            thread.io_loop.add_callback(late.end)
        thread.io_loop.add_callback(thread.manager._delete_subshell, made)


def _subshell(kernel: Any) -> str | None:  # noqa: ANN401
    with _lock:
        if id(kernel) not in _made:
            made = _make(kernel)
            if made is None:
                return None
            _made[id(kernel)] = made
            if Latecomers.possible(kernel):
                late = _latecomers[id(kernel)] = Latecomers(kernel, made)
                kernel.shell_channel_thread.io_loop.add_callback(late.begin)
        return _made[id(kernel)]


def _make(kernel: Any) -> str | None:  # noqa: ANN401
    thread: Any = getattr(kernel, "shell_channel_thread", None)
    manager: Any = getattr(thread, "manager", None)
    supported = getattr(kernel, "_supports_kernel_subshells", False)
    if not supported or not hasattr(manager, "_create_subshell"):
        return None
    if not thread.is_alive():  # in a forked cell, to which no message can come
        return None
    found: list[str] = []
    done = threading.Event()

    def make() -> None:
        try:
            found.append(manager._create_subshell())
        finally:
            done.set()

    thread.io_loop.add_callback(make)
    done.wait(_WAIT)
    return found[0] if found else None
