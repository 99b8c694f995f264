"""Thread pools of C libraries around a fork: GNU OpenMP and OpenBLAS, the real ones."""

from __future__ import annotations

import ctypes.util

import pytest

from tests.run.test_quiesce import START, both_ways, outcome
from tests.support.forking import HANG, run
from tests.support.skips import needs, probe

OPENMP = (
    START
    + """
import ctypes
openmp = ctypes.CDLL("libgomp.so.1")
Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def region(threads=2):
    seen = set()
    body = Body(lambda _: seen.add(threading.get_native_id()))
    openmp.GOMP_parallel(body, None, threads, 0)  # `#pragma omp parallel num_threads(2)`
    return len(seen)
"""
)
BLAS = (
    START
    + """
import numpy as np
from threadpoolctl import threadpool_info
def threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
before = threads()
"""
)


@probe
def gnu_openmp() -> str | None:
    """Is libgomp installed?"""
    return None if ctypes.util.find_library("gomp") else "no libgomp: apt-get install libgomp1"


@probe
def parallel_openblas() -> str | None:
    """Does numpy come with an OpenBLAS that makes threads of its own?"""
    np = pytest.importorskip("numpy")
    from threadpoolctl import threadpool_info

    assert np
    pools = [pool for pool in threadpool_info() if pool["internal_api"] == "openblas"]
    if any(p["num_threads"] > 1 and p["threading_layer"] == "pthreads" for p in pools):
        return None
    return "numpy's BLAS is no OpenBLAS with threads"


@both_ways
@needs(gnu_openmp)
def test_parallel_regions_work_on_both_sides_of_a_fork(mend: bool) -> None:
    program = f"""
print(region(), fork(region, mend={mend}), region())
"""
    assert run(OPENMP + program) == f"2 {outcome(mend, '2')} 2"


@needs(gnu_openmp)
def test_a_library_loaded_after_the_first_fork_is_seen() -> None:
    program = """
print(fork(lambda: "first", mend=True))
"""
    both = START + program + OPENMP + "print(region(), fork(region, mend=True))"
    assert run(both) == "first\n2 2"


@needs(gnu_openmp)
def test_inside_of_a_parallel_region_the_child_gets_one_thread_and_that_is_said_once() -> None:
    program = """
from nsmagic.run.quiesce import take_notes
openmp.omp_set_max_active_levels(2)
results, main = [], threading.get_ident()
def inside(_):
    if threading.get_ident() == main:
        results.append(fork(lambda: region(0), mend=True))
body = Body(inside)
for _ in range(2):
    openmp.GOMP_parallel(body, None, 2, 0)
print(results, take_notes(), take_notes(), region())
"""
    note = "OpenMP was used in this notebook: parallel regions use one thread in isolated cells"
    assert run(OPENMP + program) == f"['1', '1'] ['{note}'] [] 2"


CALLING = """
stop, calls = False, 0
matrix = np.random.rand(400, 400)
def call(ready):
    global calls
    while not stop:
        matrix @ matrix
        calls += 1
        ready.set()
started(call)
for _ in range({forks}):
    fork(lambda: 0, mend={mend})
now = calls
while calls < now + 3:
    time.sleep(0.01)
print("still calling", threads() == before)
print(fork(lambda: bool((matrix @ matrix).shape) and threads(), mend={mend}))
os._exit(0)
"""


@needs(parallel_openblas)
def test_forking_while_a_thread_multiplies_matrices_hangs_one_of_them_for_good() -> None:
    assert run(BLAS + CALLING.format(forks=50, mend=False), timeout=6) == HANG


@needs(parallel_openblas)
def test_forking_while_a_thread_multiplies_matrices() -> None:
    text = run(BLAS + CALLING.format(forks=25, mend=True))
    assert text == "still calling True\n[1]"


@needs(parallel_openblas)
def test_one_long_call_refuses_the_fork_and_leaves_all_threads_to_the_notebook() -> None:
    program = """
from nsmagic.run import threadpools
from nsmagic.wish.errors import ForkHostile
threadpools.BLAS_SECONDS = 0.2
matrix = np.random.rand(4000, 4000)
def call(ready):
    ready.set()
    while True:
        matrix @ matrix
started(call)
spent = time.process_time()
while time.process_time() < spent + 0.2:  # it is well inside of its first call
    time.sleep(0.01)
try:
    print(fork(lambda: 0, mend=True))
except ForkHostile as error:
    print(error, "|", error.hint, "|", threads() == before)
os._exit(0)
"""
    text, hint, restored = run(BLAS + program).split(" | ")
    assert text.startswith("the thread 'Thread-1 (body)' (line ")
    assert "in call) has been inside one BLAS call" in text
    assert (hint, restored) == ("wait until it is done, or use --fresh", "True")


@needs(parallel_openblas)
def test_threads_that_wait_cost_the_child_nothing() -> None:
    program = """
def wait(ready):
    ready.set()
    threading.Event().wait()
started(wait)
from nsmagic.run.quiesce import take_notes
print(fork(threads, mend=True) == str(before), take_notes())
"""
    assert run(BLAS + program) == "True []"


@needs(parallel_openblas)
def test_a_thread_that_may_compute_holds_blas_to_one_thread_in_the_child() -> None:
    program = """
from nsmagic.run.quiesce import BLAS_NOTE, take_notes
def wait(ready):
    ready.set()
    time.sleep(60)
started(wait)
print(fork(threads, mend=True), threads() == before, take_notes() == [BLAS_NOTE])
os._exit(0)
"""
    assert run(BLAS + program) == "[1] True True"
