"""Lets clicks reach a widget while a cell runs: they are handled in a subshell of ipykernel 7.

JupyterLab asks for subshells by itself, other front ends do not.  ipykernel 7.4 brings a comm's
messages back to the shell that last sent on it, which is the busy one.  So the kernel keeps one
subshell of ours, and our comms name it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from nsmagic.widgets.latecomers import Latecomers
from nsmagic.widgets.staybusy import StayBusy

_WAIT = 5.0  # s; making a subshell takes a millisecond
_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class _Made:
    """What was added to a kernel; None where this ipykernel cannot."""

    subshell: str
    late: Latecomers | None
    status: StayBusy | None


_made: dict[int, _Made] = {}  # by the identity of a kernel, of which a process has one


def route(comm: Any, kernel: Any) -> bool:  # noqa: ANN401 - ipykernel has no annotations
    """Have the messages of `comm` handled while a cell runs; False where that cannot be.

    Private names of ipykernel: where they are missing (before 7.4), the front end decides.
    """
    if not hasattr(comm, "_reply_subshell_for") or not _ready(kernel):
        return False
    comm._reply_subshell_for = lambda _data, asked: asked or _subshell(kernel)
    return True


def close(kernel: Any) -> None:  # noqa: ANN401
    """End our subshell; messages go to the main shell again."""
    with _lock:
        made = _made.pop(id(kernel), None)
    if made is None:
        return
    if made.status is not None:
        made.status.end()
    loop = kernel.shell_channel_thread.io_loop
    if made.late is not None:
        loop.add_callback(made.late.end)
    loop.add_callback(kernel.shell_channel_thread.manager._delete_subshell, made.subshell)


def _subshell(kernel: Any) -> str | None:  # noqa: ANN401
    made = _made.get(id(kernel))
    return None if made is None else made.subshell


def _ready(kernel: Any) -> bool:  # noqa: ANN401
    with _lock:
        if id(kernel) in _made:
            return True
        subshell = _make(kernel)
        if subshell is None:
            return False
        late = Latecomers(kernel, subshell) if Latecomers.possible(kernel) else None
        status = StayBusy(kernel) if StayBusy.possible(kernel) else None
        if late is not None:
            kernel.shell_channel_thread.io_loop.add_callback(late.begin)
        if status is not None:
            status.begin()
        _made[id(kernel)] = _Made(subshell=subshell, late=late, status=status)
        return True


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
