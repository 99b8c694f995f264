"""Each hang is shown without our repair, and gone with it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from nsmagic.run.threadpools import maps_cuda, refuse_cuda
from nsmagic.wish.errors import ForkHostile
from tests.support.forking import HANG, run

START = """
import os, sys, threading, time
from tests.support.forking import fork
def started(work):
    ready = threading.Event()
    def body():
        work(ready)
    threading.Thread(target=body, daemon=True).start()
    assert ready.wait(10)
"""
both_ways = pytest.mark.parametrize("mend", [False, True], ids=["naive", "mended"])


def outcome(mend: bool, good: str) -> str:
    return good if mend else HANG


@both_ways
def test_a_module_that_a_thread_is_importing_can_be_imported_in_the_child(
    tmp_path: Path, mend: bool
) -> None:
    (tmp_path / "gate.py").write_text(
        "import threading\nentered, go = threading.Event(), threading.Event()\n"
    )
    package = tmp_path / "slow"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from slow import early\nimport gate\ngate.entered.set()\ngate.go.wait()\nvalue = 7\n"
    )
    (package / "early.py").write_text("import os\npid = os.getpid()\n")
    program = f"""
sys.path.insert(0, {str(tmp_path)!r})
import gate
threading.Thread(target=__import__, args=("slow",), daemon=True).start()
gate.entered.wait()
def child():
    gate.go = threading.Event()
    gate.go.set()
    import slow
    return slow.value, slow.early.pid == os.getpid()
begin = time.monotonic()
print(fork(child, mend={mend}), time.monotonic() - begin < 3)
gate.go.set()
import slow
print(slow.value)
"""
    assert run(START + program).splitlines() == [f"{outcome(mend, '(7, True)')} True", "7"]


def test_an_import_that_ends_soon_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "brief.py").write_text(
        "import os, __main__\n__main__.ready.set()\n__main__.asked.wait()\npid = os.getpid()\n"
    )
    program = f"""
sys.path.insert(0, {str(tmp_path)!r})
from nsmagic.run import orphans
ready, asked, look = threading.Event(), threading.Event(), orphans.foreign_imports
def foreign():
    asked.set()
    return look()
threading.Thread(target=__import__, args=("brief",)).start()
ready.wait()
orphans.foreign_imports = foreign
print(fork(lambda: __import__("brief").pid, mend=True) == str(os.getpid()))
"""
    assert run(START + program) == "True"


def test_a_half_done_import_of_c_extensions_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "slow"
    package.mkdir()
    specs = map(importlib.util.find_spec, ("_json", "_queue", "_bisect"))
    origin = next(Path(s.origin) for s in specs if s and s.origin and s.has_location)
    (package / origin.name).symlink_to(origin)
    name = origin.name.partition(".")[0]
    (package / "__init__.py").write_text(
        f"from slow import {name}\nimport __main__\n__main__.half()\n"
    )
    program = f"""
sys.path.insert(0, {str(tmp_path)!r})
from nsmagic.run import quiesce
from nsmagic.wish.errors import ForkHostile
quiesce.IMPORT_SECONDS, quiesce.EXTENSION_SECONDS = 0.1, 0.2
entered, go = threading.Event(), threading.Event()
def half():
    entered.set()
    go.wait()
importer = threading.Thread(target=__import__, args=("slow",))
importer.start()
entered.wait()
try:
    fork(lambda: 0, mend=True)
except ForkHostile as error:
    print(error)
go.set()
importer.join()
print(fork(lambda: __import__("slow").{name}.__name__, mend=True))
"""
    refusal = (
        "a thread of this notebook is importing slow,"
        " whose C extensions do not survive a fork half-way"
    )
    assert run(START + program).splitlines() == [refusal, f"slow.{name}"]


@both_ways
def test_a_held_import_lock_is_refused_instead_of_waited_for(mend: bool) -> None:
    program = f"""
import _imp
from nsmagic.wish.errors import ForkHostile
def hold(ready):
    _imp.acquire_lock()
    ready.set()
    time.sleep(60)
started(hold)
try:
    print(fork(lambda: 0, mend={mend}))
except ForkHostile as error:
    print(error, "|", error.hint)
os._exit(0)
"""
    refusal = (
        "a thread of this notebook holds Python's import lock, for which fork waits"
        " | wait until it is done, or use --fresh"
    )
    assert run(START + program, timeout=3) == outcome(mend, refusal)


@both_ways
@pytest.mark.parametrize(
    ("lock", "use"),
    [
        ("np.random.mtrand._rand._bit_generator.lock", "np.random.rand() < 1"),
        ("rng.bit_generator.lock", "rng.random() < 1"),
    ],
    ids=["global", "generator"],
)
def test_random_numbers_while_a_thread_draws_some(lock: str, use: str, mend: bool) -> None:
    pytest.importorskip("numpy")
    program = f"""
import numpy as np
rng = np.random.default_rng()
def hold(ready):
    with {lock}:
        ready.set()
        time.sleep(60)
started(hold)
print(fork(lambda: {use}, mend={mend}))
os._exit(0)
"""
    assert run(START + program) == outcome(mend, "True")


@both_ways
def test_standard_error_that_a_thread_is_writing_to(mend: bool) -> None:
    program = f"""
import io
read, full = os.pipe()
sys.__stderr__ = io.TextIOWrapper(io.BufferedWriter(io.FileIO(full, "w")))
def write(ready):
    ready.set()
    sys.__stderr__.write("x" * 1_000_000)
    sys.__stderr__.flush()
started(write)
os.read(read, 1)  # it is inside of the write now, and stays there
def child():
    empty, other = os.pipe()
    os.dup2(other, full)
    sys.__stderr__.buffer.write(b"mine")
    sys.__stderr__.buffer.flush()
    return os.read(empty, 99)
print(fork(child, mend={mend}))
os._exit(0)
"""
    assert run(START + program) == outcome(mend, "b'mine'")


@both_ways
def test_a_thread_pool_of_the_notebook_works_in_the_child(mend: bool) -> None:
    program = f"""
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(1)
pool.submit(print).result()
print(fork(lambda: pool.submit(os.getpid).result() == os.getpid(), mend={mend}))
print(pool.submit(lambda: "parent").result())
"""
    assert run(START + program).split() == [outcome(mend, "True"), "parent"]


@both_ways
@pytest.mark.parametrize(
    ("pool", "call", "refusal"),
    [
        ("concurrent.futures.ProcessPoolExecutor(1)", "submit(abs, -1).result()", "belong to the"),
        ("multiprocessing.Pool(1)", "apply(abs, (-1,))", "Pool not running"),
    ],
    ids=["ProcessPoolExecutor", "Pool"],
)
def test_a_process_pool_of_the_notebook_refuses(
    pool: str, call: str, refusal: str, mend: bool
) -> None:
    program = f"""
import concurrent.futures, multiprocessing
pool = {pool}
print(pool.{call})
print(fork(lambda: pool.{call}, mend={mend}))
print(pool.{call})
sys.stdout.flush()
os.killpg(0, 9)
"""
    first, middle, last = run("import os\nos.setsid()" + START + program).splitlines()
    assert (first, last) == ("1", "1")
    assert (refusal in middle) if mend else (middle == HANG)


@both_ways
def test_shared_memory_does_not_warn_of_the_parents_tracker(mend: bool) -> None:
    program = f"""
import warnings
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
first = SharedMemory(create=True, size=1)
def child():
    os.dup2(os.open("/", os.O_PATH), parents)  # as plug_all_but does
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        memory = SharedMemory(create=True, size=1)
        memory.close()
        memory.unlink()
    return [str(warning.message)[:16] for warning in seen]
parents = resource_tracker._resource_tracker._fd
print(fork(child, mend={mend}))
first.close()
first.unlink()
"""
    assert run(START + program) == ("[]" if mend else "['resource_tracker']")


def test_logging_is_mended_by_python_itself() -> None:
    program = """
import logging
handler = logging.StreamHandler(sys.stdout)
logging.getLogger().addHandler(handler)
def hold(ready):
    with handler.lock:
        ready.set()
        time.sleep(60)
started(hold)
print(fork(lambda: logging.warning("logged"), mend=True))
os._exit(0)
"""
    assert "None" in run(START + program)


def test_a_lock_of_the_notebooks_own_hangs_the_child_but_can_be_interrupted() -> None:
    program = """
import signal
lock = threading.Lock()
def hold(ready):
    with lock:
        ready.set()
        time.sleep(60)
started(hold)
def child():
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    lock.acquire()
print(fork(child, mend=True))
os._exit(0)
"""
    assert run(START + program) == "KeyboardInterrupt()"


def test_tracing_profiling_and_the_debuggers_events_end_in_the_child() -> None:
    program = """
seen, pid = [], os.getpid()
def note(*_):
    seen.append(os.getpid() != pid)
sys.settrace(note), sys.setprofile(note), threading.settrace(note), threading.setprofile(note)
def traced(): pass
if sys.version_info >= (3, 12):
    tool, events = sys.monitoring.DEBUGGER_ID, sys.monitoring.events
    sys.monitoring.use_tool_id(tool, "a debugger")
    sys.monitoring.register_callback(tool, events.PY_START, note)
    sys.monitoring.register_callback(tool, events.LINE, note)
    sys.monitoring.set_events(tool, events.PY_START)
    sys.monitoring.set_local_events(tool, traced.__code__, events.LINE)
def child():
    seen.clear()
    traced()
    thread = threading.Thread(target=traced)
    thread.start()
    thread.join()
    return seen, sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile()
print(fork(child, mend=True), end=" ")
seen.clear()
traced()
print(len(seen) > 0)
"""
    assert run(START + program) == "([], None, None, None, None) True"


@pytest.mark.parametrize(
    "setting",
    [
        "import tracemalloc; tracemalloc.start(25)",
        "import faulthandler; faulthandler.dump_traceback_later(60)",
        "import gc; gc.set_threshold(1)",
        "import signal; signal.setitimer(signal.ITIMER_REAL, 60)",
        "import asyncio; asyncio.set_event_loop(asyncio.new_event_loop())",
    ],
    ids=lambda setting: setting.split()[1].rstrip(";"),
)
def test_what_needs_no_mending(setting: str) -> None:
    program = f"""
import asyncio
{setting}
def churn(ready):
    ready.set()
    while True:
        [str(number) for number in range(1000)]
started(churn)
started(churn)
def child():
    import signal
    timer = signal.getitimer(signal.ITIMER_REAL)
    return asyncio.run(asyncio.sleep(0, "ran")), timer, len([[] for _ in range(10000)])
print({{fork(child, mend=True, seconds=10) for _ in range(15)}})
sys.stdout.flush()
os._exit(0)
"""
    assert run(START + program) == "{\"('ran', (0.0, 0.0), 10000)\"}"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="perf trampolines came with Python 3.12")
def test_perf_trampolines_need_no_mending() -> None:
    program = "print(fork(lambda: sum(map(int, '123')), mend=True))"
    assert run(START + program, "-X", "perf", "-W", "ignore") == "6"


MAPS = """\
7f1e6c000000-7f1e6c021000 rw-p 00000000 00:00 0
7f1e7a400000-7f1e7a622000 r--p 00000000 08:01 2231  /usr/lib/x86_64-linux-gnu/{}
7ffd3b9e4000-7ffd3ba05000 rw-p 00000000 00:00 0     [stack]
"""


@pytest.mark.parametrize(
    ("library", "loaded"),
    [
        ("libcuda.so.535.183.01", True),
        ("libcuda.so.1", True),
        ("libcudart.so.12", False),
        ("libnvidia-ml.so.1", False),
        ("libcuda.so.d/other", False),
    ],
)
def test_cudas_driver_is_seen_in_the_maps(library: str, loaded: bool) -> None:
    assert maps_cuda(MAPS.format(library)) is loaded


@pytest.mark.parametrize(
    ("target", "used"),
    [
        ("/dev/nvidia0", True),
        ("/dev/nvidia-uvm", True),
        ("/dev/dxg", True),
        ("/dev/nvidiactl", False),
        ("/dev/null", False),
        ("/home/me/dev/nvidia0", False),
    ],
)
def test_an_open_graphics_card_refuses_the_fork(tmp_path: Path, target: str, used: bool) -> None:
    descriptors = tmp_path / "fd"
    descriptors.mkdir()
    for number, path in enumerate(("/dev/null", "socket:[31337]", target)):
        (descriptors / str(number)).symlink_to(path)
    if used:
        with pytest.raises(ForkHostile, match=f"{target} is open") as caught:
            refuse_cuda(tmp_path)
        assert caught.value.hint == "use --fresh: the cell then starts in a new Python"
    else:
        refuse_cuda(tmp_path)
