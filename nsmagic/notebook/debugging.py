"""%debug after an isolated cell: in the notebook's own frames, for the cell's are gone with it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from nsmagic.notebook.failures import CellError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_MARK: Final = "nsmagic_before"
_GONE: Final = (
    "The cell's process has ended, and its variables with it.  To look at them where it fails: "
    "%pdb on, then run the cell again."
)
_INNER: Final = frozenset({"nsmagic", "IPython", "contextlib"})


def install(shell: InteractiveShell) -> None:
    """Let the debugger open above the frames of nsmagic, and once: the cell's own has been open."""
    remove(shell)
    before: Callable[..., None] = shell.debugger

    def debugger(force: bool = False) -> None:
        error: Any = getattr(sys, "last_value", None)
        if isinstance(error, CellError):
            if shell.call_pdb:
                return
            sys.stdout.write(f"{_GONE}\n")
        if hasattr(error, "_render_traceback_"):
            error.__traceback__ = sys.last_traceback = without_inner(error.__traceback__)
        before(force=force)

    setattr(debugger, _MARK, before)
    vars(shell)["debugger"] = debugger


def remove(shell: InteractiveShell) -> None:
    """Let the shell do alone, also after a load before this one."""
    own: Any = vars(shell).get("debugger")
    if hasattr(own, _MARK):
        del vars(shell)["debugger"]


def without_inner(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback up to the last frame that is neither ours nor IPython's."""
    frames = []
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    while len(frames) > 1 and _is_inner(frames[-1]):
        frames.pop()
    cut: TracebackType | None = None
    for each in reversed(frames):
        cut = TracebackType(cut, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return cut


def _is_inner(trace: TracebackType) -> bool:
    return str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0] in _INNER
