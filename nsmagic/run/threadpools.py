"""Thread pools of C libraries at the moment of a fork: OpenMP, OpenBLAS, CUDA.

GNU's libgomp: a parallel region of the child waits for ever for threads that only the parent has,
so the pool is ended before the fork (both sides make a new one when they need it).  LLVM's libomp
and Intel's libiomp5 see to this themselves.

OpenBLAS ends its threads in a pthread_atfork(3) handler.  If another thread is inside a call that
uses them, a job is lost: the fork or that call never returns.  So calls are held to one thread,
which never touches the pool, until those under way are done.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nsmagic.run.busy import BusyThread, busy_threads
from nsmagic.wish.errors import ForkHostile

if TYPE_CHECKING:
    from threadpoolctl import LibController

BLAS_SECONDS: Final = 3.0
_TICK: Final = 0.005
_SELF: Final = Path("/proc/self")
_POOLED: Final = re.compile(r"/lib(gomp|\w*openblas)[^/\n]*\.so", re.MULTILINE)
_CUDA: Final = re.compile(r"/libcuda\.so[^/\n]*$", re.MULTILINE)
_CUDA_DEVICE: Final = re.compile(r"/dev/(nvidia(\d+|-uvm)|dxg)$")  # dxg: WSL
_OMP_PAUSE_SOFT: Final = 1  # omp_pause_resource_t, OpenMP 5.0


@dataclass(frozen=True, kw_only=True)
class Libraries:
    """What is loaded now of the libraries whose threads or contexts a fork breaks."""

    gomp: tuple[LibController, ...] = ()
    openblas: tuple[LibController, ...] = ()
    cuda: bool = False


def libraries() -> Libraries:
    """Look at what is loaded; 0.05 ms, and a millisecond after a library came or went."""
    status = (_SELF / "status").read_bytes()
    # proc_pid_status(5): the size of all mapped code.  len(sys.modules) would miss ctypes.
    start = status.find(b"VmLib:")
    return _libraries(status[start : status.find(b"\n", start)], len(sys.modules))


@lru_cache(maxsize=1)
def _libraries(code_size: bytes, modules: int) -> Libraries:  # noqa: ARG001 - the cache's key
    maps = (_SELF / "maps").read_text(errors="replace")
    cuda = maps_cuda(maps)
    if not _POOLED.search(maps):
        return Libraries(cuda=cuda)
    before = set(os.environ)
    from threadpoolctl import ThreadpoolController

    for name in set(os.environ) - before:  # KMP_INIT_AT_FORK, which programs would inherit
        del os.environ[name]

    pools = ThreadpoolController().lib_controllers
    return Libraries(
        gomp=tuple(pool for pool in pools if pool.prefix == "libgomp"),
        openblas=tuple(
            pool
            for pool in pools
            if pool.internal_api == "openblas" and pool.threading_layer == "pthreads"
        ),
        cuda=cuda,
    )


def maps_cuda(maps: str) -> bool:
    """Tell from the text of proc_pid_maps(5) whether CUDA's driver library is loaded."""
    return _CUDA.search(maps) is not None


def refuse_cuda(proc: Path = _SELF) -> None:
    """ForkHostile if the process `proc`, which has libcuda loaded, has a graphics card open."""
    for entry in (proc / "fd").iterdir():
        try:
            device = os.readlink(entry)
        except FileNotFoundError:
            continue  # the descriptor of the listing itself
        if _CUDA_DEVICE.match(device):
            raise ForkHostile(
                f"CUDA is in use in this notebook ({device} is open), and does not survive a fork",
                hint="use --fresh: the cell then starts in a new Python",
            )


def end_openmp_pools(gomp: tuple[LibController, ...]) -> tuple[LibController, ...]:
    """End the calling thread's OpenMP pools; return the libraries that cannot do that."""
    return tuple(pool for pool in gomp if not _paused(pool))


def _paused(pool: LibController) -> bool:
    # libgomp has it since GCC 9; it refuses inside of a parallel region.
    pause: Any = getattr(pool.dynlib, "omp_pause_resource_all", None)
    return pause is not None and pause(_OMP_PAUSE_SOFT) == 0


@dataclass(frozen=True, kw_only=True)
class HeldBlas:
    """OpenBLAS libraries held to one thread, and how many each had."""

    threads: tuple[tuple[LibController, int], ...] = ()

    def restore(self) -> None:
        """Let them use all their threads again, in the process that held them."""
        for pool, count in self.threads:
            pool.set_num_threads(count)


def hold_blas(openblas: tuple[LibController, ...]) -> HeldBlas:
    """Return when no other thread is inside a BLAS call that uses threads; ForkHostile after 3 s.

    A thread that waits, or that belongs to Jupyter, is none to worry about; if there is no other,
    nothing is held.  The child stays held: a lock of the pool may be lost, and threads made before
    the plan's steps would forbid a new user namespace.
    """
    pools = [(pool, pool.num_threads) for pool in openblas]
    held = HeldBlas(threads=tuple((pool, count) for pool, count in pools if count > 1))
    if not held.threads or not busy_threads():
        return HeldBlas()
    try:
        for pool, _ in held.threads:
            pool.set_num_threads(1)
        _wait_for_quiet()
    except BaseException:
        held.restore()
        raise
    return held


def _wait_for_quiet() -> None:
    end = time.monotonic() + BLAS_SECONDS
    while callers := _callers():
        if time.monotonic() > end:
            raise ForkHostile(
                f"{callers[0]} has been inside one BLAS call (numpy, scipy) for "
                f"{BLAS_SECONDS:.0f} s: forking now would hang this notebook",
                hint="wait until it is done, or use --fresh",
            )
        time.sleep(_TICK)


def _callers() -> list[BusyThread]:
    """Threads that may be inside a call with helpers: both they and a helper are running.

    OpenBLAS's threads spin for a tenth of a second before they sleep, so a sleeping one has
    nothing to do.
    """
    running = [thread for thread in busy_threads() if not thread.tid or _runs(thread.tid)]
    if not running:
        return []
    python = {thread.native_id for thread in threading.enumerate()}
    tids = {int(name) for name in os.listdir("/proc/self/task")} - python
    return running if any(_runs(tid) for tid in tids) else []


def _runs(tid: int) -> bool:
    try:
        stat = Path(f"/proc/self/task/{tid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(b")")[2].split()[0] in {b"R", b"D"}
