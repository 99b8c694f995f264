"""Isolated cells in a kernel whose state is hostile to fork."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.run.test_quiesce_libraries import gnu_openmp
from tests.support.skips import needs

if TYPE_CHECKING:
    from tests.support.kernel_driver import KernelDriver

pytestmark = pytest.mark.linux
CELL = '%%unshare\nprint("inside")'


@pytest.mark.parametrize("action", ["error", "always"])
def test_the_warning_of_threads_is_never_ours(kernel: KernelDriver, action: str) -> None:
    shown = kernel.run(
        f'import warnings\nsettings = warnings.filters[:]\nwarnings.simplefilter("{action}")'
    )
    assert shown.status == "ok"
    try:
        run = kernel.run(CELL)
    finally:
        kernel.run("warnings.filters[:] = settings; warnings._filters_mutated()")
    assert (run.status, run.stdout, run.stderr) == ("ok", "inside\n", "")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the warning came with Python 3.12")
def test_the_users_own_fork_still_warns(kernel: KernelDriver) -> None:
    kernel.run(CELL, raise_error=True)
    run = kernel.run("import os\nif not (pid := os.fork()): os._exit(0)\nos.waitpid(pid, 0);")
    assert "use of fork() may lead to deadlocks" in run.stderr


@needs(gnu_openmp)
def test_openmp_in_the_notebook_and_in_the_cell(kernel: KernelDriver) -> None:
    define = """
import ctypes, threading
openmp = ctypes.CDLL("libgomp.so.1")
Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def region():
    seen = set()
    body = Body(lambda _: seen.add(threading.get_native_id()))
    openmp.GOMP_parallel(body, None, 2, 0)
    return len(seen)
"""
    kernel.run(define, raise_error=True)
    for code in ("print(region())", "%%unshare --user --pid\nprint(region())", "print(region())"):
        assert kernel.run(code).stdout == "2\n"


def test_a_refused_fork_is_one_clean_error_and_the_next_cell_works(kernel: KernelDriver) -> None:
    hold = """
import _imp, threading
held, let_go = threading.Event(), threading.Event()
def hold():
    _imp.acquire_lock()
    held.set()
    let_go.wait()
    _imp.release_lock()
holder = threading.Thread(target=hold)
holder.start()
held.wait()
"""
    kernel.run(CELL, raise_error=True)  # what the first one imports is imported
    kernel.run(hold, raise_error=True)
    try:
        run = kernel.run(CELL)
    finally:
        kernel.run("let_go.set(); holder.join()")
    assert run.status == "error"
    assert run.error is not None
    assert run.error["ename"] == "ForkHostile"
    assert run.error["evalue"].startswith("a thread of this notebook holds Python's import lock")
    assert kernel.run(CELL).stdout == "inside\n"


class Debugger:
    """A front end's debugger: requests of the Debug Adapter Protocol over the control channel."""

    def __init__(self, kernel: KernelDriver) -> None:
        assert kernel.client is not None
        self._client, self._number = kernel.client, 0
        self._client.control_channel.start()

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Send one request and return the body of its answer."""
        self._number += 1
        content = {"type": "request", "seq": self._number, "command": command}
        content["arguments"] = arguments
        message = self._client.session.msg("debug_request", content)
        self._client.control_channel.send(message)
        while True:
            answer = self._client.get_control_msg(timeout=20)
            if answer["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                assert answer["content"].get("success"), json.dumps(answer["content"])
                return dict(answer["content"].get("body") or {})


def test_a_breakpoint_is_passed_by_in_the_child(fresh_kernel: KernelDriver) -> None:
    pytest.importorskip("debugpy")
    source = "def stop_here():\n    here = 1\n    return here"
    debugger = Debugger(fresh_kernel)
    debugger.ask("initialize", clientID="test", adapterID="", pathFormat="path")
    debugger.ask("attach")
    path = debugger.ask("dumpCell", code=source)["sourcePath"]
    set_to = debugger.ask("setBreakpoints", source={"path": path}, breakpoints=[{"line": 2}])
    assert set_to["breakpoints"][0]["verified"]
    debugger.ask("configurationDone")
    fresh_kernel.run(source, raise_error=True)
    body = "import threading\nthread = threading.Thread(target=stop_here)\nthread.start()\n"
    run = fresh_kernel.run(f"%%unshare\n{body}thread.join()\nprint(stop_here())", timeout=15)
    assert (run.stdout, run.stderr) == ("1\n", "")
    stopped = fresh_kernel.start("stop_here()")  # and the notebook's own debugging goes on

    def at_breakpoint(run: object) -> bool:
        events = (message.content for message in stopped.messages if message.kind == "debug_event")
        return any(event.get("event") == "stopped" for event in events)

    fresh_kernel.wait(stopped, until=at_breakpoint, timeout=15)
    debugger.ask("continue", threadId=debugger.ask("threads")["threads"][0]["id"])
    assert fresh_kernel.wait(stopped).status == "ok"


LOAD = """
import importlib, logging, sys, threading
import numpy as np
matrix, generator, over = np.random.rand(200, 200), np.random.default_rng(), threading.Event()
stream = open("/dev/null", "w")
logger = logging.getLogger("load")
logger.addHandler(logging.StreamHandler(stream))
logger.propagate = False
def printing():
    while not over.wait(0.0005):
        print("x" * 100, file=stream)
        logger.warning("logged")
def importing():
    while not over.is_set():
        for name in ("this_is_no_module", "colorsys", "sndhdr_not", "wave"):
            sys.modules.pop(name, None)
            try:
                importlib.import_module(name)
            except ImportError:
                pass
def drawing():
    while not over.is_set():
        np.random.rand(20_000)
        generator.random(20_000)
threads = [threading.Thread(target=work) for work in (printing, importing, drawing)]
for thread in threads:
    thread.start()
"""
FORKS = """
from IPython import get_ipython
body = '''
import colorsys, contextlib, wave
with contextlib.suppress(OSError):  # files of the notebook are not open in the cell
    print("in the child", file=stream, flush=True)
logger.handlers[0].acquire()
assert np.random.rand() < 1 and generator.random() < 1
assert (matrix @ matrix).shape == (200, 200)
print("ran")
'''
for _ in range({count}):
    get_ipython().run_cell_magic("unshare", "", body)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_three_hundred_forks_among_busy_threads(fresh_kernel: KernelDriver) -> None:
    pytest.importorskip("numpy")
    fresh_kernel.run(LOAD, raise_error=True)
    run = fresh_kernel.run(FORKS.format(count=300), timeout=200)
    assert (run.status, run.stdout) == ("ok", "ran\n" * 300)
    alive = fresh_kernel.run(
        "print([thread.is_alive() for thread in threads])\nover.set()\n"
        "for thread in threads: thread.join()"
    )
    assert alive.stdout == "[True, True, True]\n"


def test_a_few_forks_among_busy_threads(fresh_kernel: KernelDriver) -> None:
    pytest.importorskip("numpy")
    fresh_kernel.run(LOAD, raise_error=True)
    run = fresh_kernel.run(FORKS.format(count=10), timeout=60)
    fresh_kernel.run("over.set()\nfor thread in threads: thread.join()", raise_error=True)
    assert (run.status, run.stdout) == ("ok", "ran\n" * 10)
