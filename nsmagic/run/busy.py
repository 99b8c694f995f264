"""Other Python threads, and which of them may be computing."""

from __future__ import annotations

import concurrent.futures.thread
import selectors
import sys
import threading
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Final

# Innermost functions in which a thread waits.
_WAITS: Final[frozenset[CodeType]] = frozenset(
    function.__code__
    for owner, name in (
        (threading.Condition, "wait"),
        (threading.Thread, "join"),
        (threading.Thread, "_wait_for_tstate_lock"),  # until 3.12
        (selectors.EpollSelector, "select"),
        (selectors.PollSelector, "select"),
        (concurrent.futures.thread, "_worker"),
    )
    if (function := getattr(owner, name, None)) is not None
)
# Files whose functions wait or copy bytes, and never compute.
_CARRIERS: Final = (
    "/ipykernel/",
    "/zmq/",
    "/IPython/core/history.py",
    "/multiprocessing/connection.py",
    "/subprocess.py",
)


@dataclass(frozen=True, kw_only=True)
class BusyThread:
    """A thread that is not known to wait: its gettid(2), or 0 for one made without `threading`."""

    name: str
    tid: int
    function: str
    line: int

    def __str__(self) -> str:
        return f"the thread {self.name!r} (line {self.line}, in {self.function})"


def busy_threads() -> list[BusyThread]:
    """The other threads whose innermost Python function may be computing; about 20 µs."""
    known = {thread.ident: thread for thread in threading.enumerate()}
    own = threading.get_ident()
    found = []
    for ident, frame in sys._current_frames().items():
        if ident == own or _waits(frame):
            continue
        thread = known.get(ident)
        found.append(
            BusyThread(
                name=thread.name if thread else str(ident),
                tid=(thread.native_id or 0) if thread else 0,
                function=frame.f_code.co_name,
                line=frame.f_lineno,
            )
        )
    return found


def _waits(frame: FrameType) -> bool:
    code = frame.f_code
    return code in _WAITS or any(part in code.co_filename for part in _CARRIERS)
