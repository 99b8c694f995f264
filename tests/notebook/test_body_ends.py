"""How a Python body can end, what it then says, and what is written out before."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.kernel_driver import CellRun, KernelDriver

pytestmark = pytest.mark.linux

INSIDE, OUTSIDE = "--pid --mount --mount-proc", "--uts"


def cell(kernel: KernelDriver, body: str, options: str = OUTSIDE) -> CellRun:
    return kernel.run(f"%%unshare {options}\n{body}")


@pytest.mark.parametrize("options", [INSIDE, OUTSIDE])
@pytest.mark.parametrize(
    "end", ["exit()", "quit()", "import sys; sys.exit()", "import sys; sys.exit(0)",
            "raise SystemExit", "import os; os._exit(0)"],
)  # fmt: skip
def test_leaving_with_success(kernel: KernelDriver, end: str, options: str) -> None:
    run = cell(kernel, f"print('so far', end='')\n{end}\nprint('not reached')", options)
    assert (run.stdout, run.stderr, run.status, run.error) == ("so far", "", "ok", None)


CRASH = "import ctypes; ctypes.string_at(0)"
# The end, what is said of it where the cell is an ordinary process, and what where it is PID 1.
ENDS = [
    ("import sys; sys.exit(3)", "exited with status 3", None),
    ("def f(): raise SystemExit(4)\nf()", "exited with status 4", None),
    ("import os; os._exit(3)", "exited with status 3", None),
    (CRASH, "killed by SIGSEGV: it crashed", None),
    ("import os; os.abort()", "killed by SIGABRT: it called abort()", "killed by SIGSEGV"),
    ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL", ""),
    ("import os; os.kill(os.getpid(), 15)", "killed by SIGTERM", ""),
    ("import os; os.kill(os.getpid(), 11)", "killed by SIGSEGV", ""),
    ("import os; os.kill(os.getpid(), 40)", "killed by SIGRTMIN+", ""),
]


@pytest.mark.parametrize("options", [INSIDE, OUTSIDE])
@pytest.mark.parametrize(("end", "said", "in_pid_1"), ENDS)
def test_leaving_with_failure(
    kernel: KernelDriver, end: str, said: str, in_pid_1: str | None, options: str
) -> None:
    run = cell(kernel, f"print('so far', end='')\n{end}", options)
    assert run.stdout == "so far"
    expected = in_pid_1 if options == INSIDE and in_pid_1 is not None else said
    if not expected:  # signals from inside do not reach a PID 1 that has no handler for them
        assert run.status == "ok"
        return
    assert (run.error or {})["ename"] == "CellFailed"
    assert f"the cell {'' if 'status' in said else 'was '}{expected}" in (run.error or {})["evalue"]
    assert len((run.error or {})["traceback"]) == 1


def test_sys_exit_with_a_text(kernel: KernelDriver) -> None:
    run = cell(kernel, "import sys; sys.exit('the reason')")
    assert run.stderr == "the reason\n"
    assert (run.error or {})["evalue"] == "the cell exited with status 1"


def test_the_kernel_is_the_same_afterwards(kernel: KernelDriver) -> None:
    pid = kernel.run("import os; print(os.getpid())").stdout
    cell(kernel, CRASH)
    cell(kernel, "exit()")
    assert kernel.run("print(os.getpid())").stdout == pid


def test_files_left_open_are_written(kernel: KernelDriver, tmp_path: Path) -> None:
    path = tmp_path / "file"
    cell(kernel, f"f = open({str(path)!r}, 'w'); f.write('text'); g = [f, open('/dev/null', 'w')];")
    assert path.read_text() == "text"
    cell(kernel, f"f = open({str(path)!r}, 'w'); f.write('more'); 1/0")
    assert path.read_text() == "more"


def test_exit_handlers_of_the_cell_run_and_those_of_the_notebook_do_not(
    kernel: KernelDriver, tmp_path: Path
) -> None:
    kept, mark = tmp_path / "kept", tmp_path / "mark"
    kernel.run(
        "import atexit, pathlib, tempfile, weakref\n"
        f"def leave_mark(): pathlib.Path({str(mark)!r}).touch()\n"
        "atexit.register(leave_mark)\n"
        f"kept = pathlib.Path({str(kept)!r}); kept.mkdir()\n"
        "thing = tempfile.TemporaryDirectory(dir=kept)",
        raise_error=True,
    )
    run = cell(
        kernel,
        "atexit.register(print, 'bye')\n"
        f"other = tempfile.TemporaryDirectory(dir={str(tmp_path)!r}, prefix='ofcell')",
    )
    kernel.run("atexit.unregister(leave_mark)")
    assert run.stdout == "bye\n"
    assert len(list(kept.iterdir())) == 1
    assert not mark.exists()
    assert not list(tmp_path.glob("ofcell*"))
    kernel.run("thing.cleanup()")


def test_pools_of_the_notebook_live_on(kernel: KernelDriver) -> None:
    kernel.run("import multiprocessing, os\npool = multiprocessing.get_context('fork').Pool(2)")
    before = kernel.run("print(sorted(p.pid for p in multiprocessing.active_children()))").stdout
    run = cell(
        kernel, "with multiprocessing.get_context('fork').Pool(2) as p: print(p.map(abs, [-1]))"
    )
    assert run.stdout == "[1]\n"
    after = kernel.run(
        "print(sorted(p.pid for p in multiprocessing.active_children()))\n"
        "print(pool.map(abs, [-5])); pool.terminate(); pool.join()"
    )
    assert after.stdout == f"{before}[5]\n"


def test_threads_are_waited_for(kernel: KernelDriver) -> None:
    run = cell(
        kernel,
        "import threading\ndone = threading.Event()\n"
        "def work():\n    done.wait(); print('late')\n    raise ValueError('in a thread')\n"
        "threading.Thread(target=work).start()\nprint('end')\ndone.set()",
    )
    assert run.stdout == "end\nlate\n"
    # 3.13 colours it, because ipykernel asks all programs to
    assert "ValueError" in run.stderr
    assert "in a thread" in run.stderr
    assert run.status == "ok"


def test_a_copy_that_runs_to_the_end(kernel: KernelDriver) -> None:
    body = (
        "import os\nfrom IPython.display import HTML\npid = os.fork()\n"
        "if pid: os.waitpid(pid, 0)\nprint('cell' if pid else 'copy')\ndisplay(HTML('x'))\npid > 0"
    )
    run = cell(kernel, body, INSIDE)
    assert run.status == "ok"
    assert re.fullmatch(r"copy\n<.*HTML object>\nFalse\ncell\n", run.stdout)
    assert run.result == {"text/plain": "True"}
    assert len(run.displays) == 1


def test_a_copy_that_fails(kernel: KernelDriver) -> None:
    run = cell(
        kernel, "import os\npid = os.fork()\nif not pid: 1/0\nprint(os.waitpid(pid, 0)[1] >> 8)"
    )
    assert (run.stdout, run.status, run.error) == ("1\n", "ok", None)
    assert "ZeroDivisionError" in run.stderr
