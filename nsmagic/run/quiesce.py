"""Forking a process with threads: what to wait for, what to refuse, what to mend in the child.

`before_fork`, posix.fork, then `after_fork_in_child` or `after_fork_in_parent`.
"""

from __future__ import annotations

import _imp
import re
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nsmagic.run import orphans
from nsmagic.run.busy import busy_threads
from nsmagic.run.threadpools import (
    HeldBlas,
    end_openmp_pools,
    hold_blas,
    libraries,
    refuse_cuda,
)
from nsmagic.wish.errors import ForkHostile

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadpoolctl import LibController

IMPORT_SECONDS: Final = 1.0
EXTENSION_SECONDS: Final = 10.0
_TICK: Final = 0.005
_FORKER: Final = "nsmagic.run.fork"
_WARNING: Final = r".*use of (posix\.)?fork\(\) may lead to deadlocks"

OPENMP_NOTE: Final = (
    "OpenMP was used in this notebook: parallel regions use one thread in isolated cells"
)
BLAS_NOTE: Final = (
    "another thread of this notebook may be computing: numpy's BLAS uses one thread in isolated"
    " cells (threadpoolctl.threadpool_limits(N) in the cell changes that)"
)
_shown: set[str] = set()
_pending: list[str] = []


@dataclass(frozen=True, kw_only=True)
class ForkState:
    """What `before_fork` found and did, for both sides of the fork."""

    held: orphans.Held
    openmp: tuple[LibController, ...]
    blas: HeldBlas


def before_fork() -> ForkState:
    """Wait until a fork is safe; ForkHostile if it would hang or corrupt.  Usually 0.1 ms.

    Call it right before the fork, in the same thread: what it found out holds until then.
    """
    _quiet_the_warning()
    held = orphans.look_for_held(everywhere=bool(busy_threads()))
    end = time.monotonic() + EXTENSION_SECONDS
    while True:
        _wait_for_imports(end)
        loaded = libraries()
        if loaded.cuda:
            refuse_cuda()
        blas = hold_blas(loaded.openblas)
        if not orphans.unmendable_import():
            break
        blas.restore()  # that took a while, and another import began
    stuck = end_openmp_pools(loaded.gomp)
    _note(OPENMP_NOTE, bool(stuck))
    _note(BLAS_NOTE, bool(blas.threads))
    return ForkState(held=held, openmp=stuck, blas=blas)


def after_fork_in_parent(state: ForkState) -> None:
    """Undo what was held for the fork, whether it worked or not."""
    state.blas.restore()


def after_fork_in_child(state: ForkState) -> None:
    """Mend what other threads left behind; first thing in the child, makes no thread."""
    orphans.leave_debugger()
    orphans.drop_foreign_imports()
    orphans.free(state.held)
    orphans.reset_pools()
    orphans.forget_helpers()
    for pool in state.openmp:
        pool.set_num_threads(1)


def take_notes() -> list[str]:
    """Lines to show: what forks have met since the last call, each once per session."""
    notes = _pending.copy()
    _pending.clear()
    return notes


def _wait_for_imports(end: float) -> None:
    # Those that begin meanwhile, or take longer, are begun anew in the child.
    begun = list(orphans.foreign_imports().values())
    _wait(IMPORT_SECONDS, lambda: any(lock.owner is not None for lock in begun))
    if _wait(end - time.monotonic(), orphans.unmendable_import):
        raise ForkHostile(
            f"a thread of this notebook is importing {orphans.unmendable_import() or 'a module'},"
            " whose C extensions do not survive a fork half-way",
            hint="wait until it is done, or use --fresh",
        )
    if _wait(IMPORT_SECONDS, _imp.lock_held):
        raise ForkHostile(
            "a thread of this notebook holds Python's import lock, for which fork waits",
            hint="wait until it is done, or use --fresh",
        )


def _note(line: str, happened: bool) -> None:
    if happened and line not in _shown:
        _shown.add(line)
        _pending.append(line)


def _wait(seconds: float, busy: Callable[[], object]) -> bool:
    """Wait up to `seconds` while `busy()`; return whether it still is."""
    end = time.monotonic() + seconds
    while still := bool(busy()):
        if time.monotonic() > end:
            break
        time.sleep(_TICK)
    return still


def _quiet_the_warning() -> None:
    # Python 3.12 warns of fork in a process with threads, and shows it if a cell has asked for all
    # warnings.  Filters set later stand before ours, so look each time; ours is for one module.
    ours = ("ignore", re.compile(_WARNING, re.IGNORECASE), DeprecationWarning)
    first = warnings.filters[0] if warnings.filters else None
    if first is None or first[:3] != ours:
        warnings.filterwarnings(
            "ignore", _WARNING, DeprecationWarning, module=rf"{re.escape(_FORKER)}\Z"
        )
