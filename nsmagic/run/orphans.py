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
from importlib.machinery import ExtensionFileLoader
from typing import Any, Final

_BROKEN_POOL: Final = "this pool's processes belong to the notebook: make a pool in this cell"


def foreign_imports() -> list[str]:
    """Names of the modules that other threads are importing now."""
    own = threading.get_ident()
    return [
        name
        for name, reference in list(_module_locks().items())
        if getattr(reference(), "owner", None) not in {None, own}
    ]


def _module_locks() -> dict[str, Any]:
    locks: dict[str, Any] = getattr(_frozen_importlib, "_module_locks", {})
    return locks


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
            _forget(name)


def _forget(name: str) -> None:
    """Drop a half-made module and its submodules, but no C extension: numpy's load only once."""
    for other, module in list(sys.modules.items()):
        if other == name or other.startswith(f"{name}."):
            spec = getattr(module, "__spec__", None)
            made = not getattr(spec, "_initializing", False)
            if not (made and isinstance(getattr(spec, "loader", None), ExtensionFileLoader)):
                del sys.modules[other]


def random_locks(everywhere: bool) -> list[Any]:
    """Locks of numpy's own generator and, `everywhere`, of all others (10 ms per 10^5 objects)."""
    module: Any = sys.modules.get("numpy.random")
    base = getattr(module, "BitGenerator", None)
    if base is None:
        return []
    legacy = getattr(getattr(module, "mtrand", None), "_rand", None)
    generators = [getattr(legacy, "_bit_generator", None)]
    if everywhere:
        kinds = _subclasses(base)
        generators += [thing for thing in gc.get_objects() if type(thing) in kinds]
    return [generator.lock for generator in generators if generator is not None]


def _subclasses(base: type) -> set[type]:
    below: list[type] = base.__subclasses__()
    return {base, *below, *(kind for sub in below for kind in _subclasses(sub))}


def reset_locks(locks: list[Any]) -> None:
    """Make each lock free, whoever held it."""
    for lock in locks:
        reset = getattr(lock, "_at_fork_reinit", None)
        if reset is not None:
            reset()


def reset_streams() -> None:
    """Free the buffers of the first sys.stdin, stdout and stderr, and drop what is in them.

    A thread that is inside a write holds the buffer's lock, and the text is the parent's to write.
    """
    for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
        buffer: Any = getattr(stream, "buffer", None)
        if type(buffer) in {io.BufferedReader, io.BufferedWriter} and not buffer.closed:
            buffer.__init__(buffer.raw)  # makes a new lock; there is no other way


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
        reset_locks([helper._lock])
    server: Any = sys.modules.get("multiprocessing.forkserver")
    if (helper := getattr(server, "_forkserver", None)) is not None:
        helper._forkserver_address = helper._forkserver_alive_fd = helper._forkserver_pid = None
        reset_locks([helper._lock])


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
