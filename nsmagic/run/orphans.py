"""What a fork leaves behind in the child: locks, pools and debuggers of threads that are gone.

CPython itself sees to `threading`, `logging`, `random` and the global import lock.  Most of the
rest has no public way in: each repair looks for the attribute it needs and, in a Python or library
without it, leaves that one thing as the fork left it.

Beyond repair is a lock of the notebook's own code: who waits in the child for a lock, an event or
a queue of a thread that is gone, waits until the cell is interrupted or its time is up.
"""

from __future__ import annotations

import _frozen_importlib
import gc
import io
import queue
import sys
import threading
from dataclasses import dataclass
from importlib.machinery import ExtensionFileLoader
from typing import Any, Final

_BUFFERS: Final = frozenset({io.BufferedReader, io.BufferedWriter, io.BufferedRandom})
_LOADING: Final = (
    ExtensionFileLoader.create_module.__code__,
    ExtensionFileLoader.exec_module.__code__,
)
_BROKEN_POOL: Final = "this pool's processes belong to the notebook: make a pool in this cell"


def foreign_imports() -> dict[str, Any]:
    """Names of the modules that other threads are importing now, each with the lock of it."""
    own = threading.get_ident()
    locks = ((name, reference()) for name, reference in list(_module_locks().items()))
    return {name: lock for name, lock in locks if getattr(lock, "owner", None) not in {None, own}}


def _module_locks() -> dict[str, Any]:
    locks: dict[str, Any] = getattr(_frozen_importlib, "_module_locks", {})
    return locks


def unmendable_import() -> str:
    """Name a module that another thread is importing and the child could not import again, or "".

    C extensions (numpy's, torch's) load only once, and write into the modules around them.
    """
    for name, lock in foreign_imports().items():
        inside = [other for other in list(sys.modules) if other.startswith(f"{name}.")]
        if any(map(_is_extension, inside)) or _loads_extension(lock.owner):
            return name
    return ""


def _is_extension(name: str) -> bool:
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return isinstance(getattr(spec, "loader", None), ExtensionFileLoader)


def _loads_extension(ident: int) -> bool:
    frame = sys._current_frames().get(ident)
    while frame is not None:
        if frame.f_code in _LOADING:
            return True
        frame = frame.f_back
    return False


def drop_foreign_imports() -> None:
    """Forget imports that other threads had begun, so that the child can do them itself."""
    names, locks, own = foreign_imports(), _module_locks(), threading.get_ident()
    for name, reference in list(locks.items()):
        if getattr(reference(), "owner", None) != own:
            del locks[name]
    getattr(_frozen_importlib, "_blocking_on", {}).clear()
    for name in names:
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if getattr(spec, "_initializing", False):
            for other in list(sys.modules):
                if other == name or other.startswith(f"{name}."):
                    del sys.modules[other]


@dataclass(frozen=True, kw_only=True)
class Held:
    """What other threads may hold at the moment of the fork and the child needs."""

    locks: list[Any]
    buffers: list[Any]


def look_for_held(*, everywhere: bool) -> Held:
    """Find numpy's own generator and the standard streams; `everywhere`, all others too.

    That takes 10 ms per 10^5 objects, so only if there is a thread that may use them now.
    """
    legacy = getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None)
    streams = sys.__stdin__, sys.__stdout__, sys.__stderr__
    found: list[Any] = [getattr(stream, "buffer", None) for stream in streams]
    found.append(getattr(legacy, "_bit_generator", None))
    base = getattr(sys.modules.get("numpy.random"), "BitGenerator", None)
    kinds = _BUFFERS | (_subclasses(base) if base else set())
    if everywhere:
        found += gc.get_objects()
    found = [thing for thing in found if type(thing) in kinds]
    return Held(
        locks=[thing.lock for thing in found if type(thing) not in _BUFFERS],
        buffers=[thing for thing in found if type(thing) in _BUFFERS],
    )


def _subclasses(base: type) -> set[type]:
    below: list[type] = base.__subclasses__()
    return {base, *below, *(kind for sub in below for kind in _subclasses(sub))}


def free(held: Held) -> None:
    """Make all of it free, whoever held it; what is still in the buffers is the parent's to write.

    A thread that is inside a write to a file holds the lock of its buffer.
    """
    _reset_locks(held.locks)
    for buffer in held.buffers:
        try:
            raw = buffer.raw
            if type(raw) is io.FileIO and not raw.closed:
                buffer.__init__(raw)  # makes a new lock; there is no other way
        except ValueError:
            continue  # detached


def _reset_locks(locks: list[Any]) -> None:
    for lock in locks:
        reset = getattr(lock, "_at_fork_reinit", None)
        if reset is not None:
            reset()


def reset_pools() -> None:
    """Let thread pools start threads anew, and process pools refuse work instead of hanging."""
    threads: Any = sys.modules.get("concurrent.futures.thread")
    for thread in list(getattr(threads, "_threads_queues", ())):
        reference, *_ = getattr(thread, "_args", None) or (None,)
        _empty_pool(reference and reference())
    processes: Any = sys.modules.get("concurrent.futures.process")
    for manager in list(getattr(processes, "_threads_wakeups", ())):
        executor = getattr(manager, "executor_reference", lambda: None)()
        if executor is not None:
            executor._broken = _BROKEN_POOL
    util: Any = sys.modules.get("multiprocessing.util")
    for finalizer in list(getattr(util, "_finalizer_registry", {}).values()):
        owner = getattr(finalizer, "_weakref", None)
        pool = owner and owner()
        if getattr(finalizer._callback, "__name__", "") == "_terminate_pool" and pool is not None:
            pool._state = "CLOSE"  # multiprocessing.pool: "Pool not running"


def _empty_pool(pool: Any) -> None:  # noqa: ANN401 - its attributes are private
    if not hasattr(pool, "_threads"):
        return
    pool._threads = set()
    pool._work_queue = queue.SimpleQueue()
    pool._idle_semaphore = threading.Semaphore(0)
    pool._shutdown_lock = threading.Lock()


def forget_helpers() -> None:
    """Let multiprocessing start its helper processes anew: their pipes stay with the parent."""
    tracker: Any = sys.modules.get("multiprocessing.resource_tracker")
    if (helper := getattr(tracker, "_resource_tracker", None)) is not None:
        helper._fd = helper._pid = None
        _reset_locks([helper._lock])
    server: Any = sys.modules.get("multiprocessing.forkserver")
    if (helper := getattr(server, "_forkserver", None)) is not None:
        helper._forkserver_address = helper._forkserver_alive_fd = helper._forkserver_pid = None
        _reset_locks([helper._lock])


def leave_debugger() -> None:
    """Stop tracing and profiling here: the debugger's other threads, which answer, are gone."""
    tracing: Any = sys.modules.get("_pydevd_bundle.pydevd_constants")
    if (holder := getattr(tracing, "GlobalDebuggerHolder", None)) is not None:
        holder.global_dbg = None  # or each new thread reports to it
    replaced: Any = sys.modules.get("pydevd_tracing")
    if (restore := getattr(replaced, "restore_sys_set_trace_func", None)) is not None:
        restore()
    sys.settrace(None)
    sys.setprofile(None)
    threading.settrace(None)
    threading.setprofile(None)
    monitoring: Any = getattr(sys, "monitoring", None)  # 3.12
    if monitoring is None or monitoring.get_tool(monitoring.DEBUGGER_ID) is None:
        return
    monitoring.set_events(monitoring.DEBUGGER_ID, 0)
    for name, event in vars(monitoring.events).items():  # those set on single functions stay on
        if name.isupper() and event and event & (event - 1) == 0:
            monitoring.register_callback(monitoring.DEBUGGER_ID, event, None)
    monitoring.free_tool_id(monitoring.DEBUGGER_ID)
