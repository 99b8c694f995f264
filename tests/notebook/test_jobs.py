"""`--bg`: a cell beside the notebook, its output in its own place, its end told by wait()."""

from __future__ import annotations

import ast
import os
import select
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.kernel_driver import CellRun, KernelDriver

pytestmark = pytest.mark.linux

# The notebook and a job speak over files: a job has no input and no variables of the notebook's.
TALK = """\
import os, pathlib, select
def wait_for(path):
    with open(path) as pipe: return pipe.read()
def tell(path, text='go'):
    with open(path, 'w') as pipe: pipe.write(text)
"""


@pytest.fixture
def gate(kernel: KernelDriver, tmp_path: Path) -> Path:
    """A named pipe on which a job waits until the notebook tells."""
    kernel.run(TALK, raise_error=True)
    path = tmp_path / "gate"
    kernel.run(f"os.mkfifo({str(path)!r}); gate = {str(path)!r}", raise_error=True)
    return path


def begin(kernel: KernelDriver, body: str, options: str = "") -> CellRun:
    run = kernel.run(f"%%unshare --uts --bg --proc job {options}\n{body}")
    run.raise_error()
    return run


def text(run: CellRun, parent: CellRun) -> str:
    """What arrived during `run` for the cell `parent`."""
    found = [m.content for m in run.messages if m.parent == parent.request and m.kind == "stream"]
    return "".join(content["text"] for content in found)


def test_a_job_from_start_to_end(kernel: KernelDriver, gate: Path) -> None:
    started = begin(kernel, "print('one')\nwait_for(gate)\nprint('two')\nx = 6 * 7", "--return x")
    assert started.result is not None
    assert ": running, log /" in started.result["text/plain"]
    state = kernel.run("print([repr(job.result), repr(job.wait(0.01)), 'x' in globals()])")
    assert state.stdout == "['None', 'None', False]\n"
    end = kernel.run("tell(gate); r = job.wait(); print([r.ok, r is job.result, x, repr(job)])")
    ok, same, x, name = ast.literal_eval(end.stdout)
    assert (ok, same, x) == (True, True, 42)
    assert ": done, log /" in name
    assert text(started, started) + text(state, started) + text(end, started) == "one\ntwo\n"
    log = ast.literal_eval(kernel.run("print([str(job.log)])").stdout)[0]
    assert Path(log).read_text() == "one\ntwo\n"


def test_two_jobs_and_the_notebook_each_in_its_own_cell(kernel: KernelDriver, gate: Path) -> None:
    body = (
        "import sys\nfor n in range(50):\n    print('{0}', n); print('{0}', n, file=sys.stderr)\n"
        "    if n % 10 == 0: display('{0}')\nwait_for(gate)"
    )
    first = begin(kernel, body.format("first"))
    between = kernel.run("job1 = job; os.mkfifo(gate + '2')")
    second = begin(kernel, "gate += '2'\n" + body.format("second"))
    third = kernel.run(
        "for n in range(50): print('mine', n)\n"
        "tell(gate); tell(gate + '2'); job1.wait(); job.wait()"
    )
    for parent, word in ((first, "first"), (second, "second"), (third, "mine")):
        arrived = [m for run in (first, between, second, third) for m in run.messages
                   if m.parent == parent.request]  # fmt: skip
        streams = {
            name: "".join(m.content["text"] for m in arrived
                          if m.kind == "stream" and m.content["name"] == name)
            for name in ("stdout", "stderr")
        }  # fmt: skip
        lines = "".join(f"{word} {n}\n" for n in range(50))
        assert streams == {"stdout": lines, "stderr": "" if word == "mine" else lines}
        displays = [m.content["data"] for m in arrived if m.kind == "display_data"]
        assert displays == ([] if word == "mine" else [{"text/plain": f"'{word}'"}] * 5)


def test_a_failure_is_a_line_there_and_raised_by_wait(kernel: KernelDriver) -> None:
    started = begin(kernel, "never = 1\n1/0", "--return never")
    waited = kernel.run("job.wait()")
    assert (waited.error or {})["ename"] == "ZeroDivisionError"
    assert any("ZeroDivisionError" in line for line in waited.error["traceback"])  # type: ignore[index]
    notes = [m.content["data"]["text/plain"] for run in (started, waited) for m in run.messages
             if m.parent == started.request and m.kind == "display_data"]  # fmt: skip
    assert [note.split(": ", 1)[1] for note in notes] == ["ZeroDivisionError: division by zero"]
    assert kernel.run("'never' in globals()").result == {"text/plain": "False"}
    again = kernel.run(
        "try: job.wait()\nexcept Exception as e: print(repr(e), ': failed' in repr(job))"
    )
    assert again.stdout == "ZeroDivisionError('division by zero') True\n"


def test_kill_ends_all_of_it(kernel: KernelDriver) -> None:
    body = (
        "import signal, subprocess\n"
        "for n in (2, 15): signal.signal(n, signal.SIG_IGN)\n"
        "p = subprocess.Popen(['sleep', '1000']); print(p.pid, flush=True)\nsignal.pause()"
    )
    begin(kernel, body)
    log = "import time\nwhile '\\n' not in job.log.read_text(): time.sleep(0.01)\n"
    pid = int(kernel.run(log + "print(job.log.read_text())").stdout)
    assert Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
    pidfd = os.pidfd_open(pid)
    killed = kernel.run("job.kill(); print(job.result.stopped, ': killed' in repr(job))")
    assert killed.stdout == "interrupted True\n"
    ended = select.select([pidfd], [], [], 0)[0]  # it may be a zombie until its new parent looks
    os.close(pidfd)
    assert ended
    waited = kernel.run("job.wait()")
    assert (waited.error or {})["ename"] == "CellFailed"
    assert (waited.error or {})["evalue"].endswith("was ended by kill()")
    assert kernel.run("job.kill()").status == "ok"  # once more does no harm


def test_the_stop_button_leaves_it(kernel: KernelDriver, gate: Path) -> None:
    begin(kernel, "wait_for(gate)\nprint('to the end')")
    waiting = kernel.start("print('waits', flush=True)\njob.wait()")
    kernel.wait(waiting, until=lambda run: "waits" in run.stdout)
    kernel.interrupt()
    kernel.wait(waiting)
    assert (waiting.error or {})["ename"] == "KeyboardInterrupt"
    assert kernel.run("tell(gate); print(job.wait().ok)", raise_error=True).stdout == "True\n"


def test_a_job_has_nobody_to_ask(kernel: KernelDriver) -> None:
    begin(kernel, "try: input('? ')\nexcept EOFError as e: why = str(e)", "--return why")
    run = kernel.run("job.wait(); why")
    assert run.prompts == []
    assert run.result == {"text/plain": "'a background cell has nobody to ask'"}


def test_what_cannot_come_back_is_said_by_wait_without_our_code(kernel: KernelDriver) -> None:
    begin(kernel, "import threading\ngood, bad = 1, threading.Lock()", "--return good,bad")
    run = kernel.run("job.wait()")
    assert run.error is not None
    assert "bad: cannot pickle '_thread.lock' object" in run.error["evalue"]
    assert not any("nsmagic/" in line for line in run.error["traceback"])
    assert kernel.run("good").result == {"text/plain": "1"}


def test_a_timeout_of_a_job(kernel: KernelDriver) -> None:
    begin(kernel, "import signal\nsignal.pause()", "--timeout 0.3")
    run = kernel.run("job.wait()")
    assert (run.error or {})["ename"] == "CellFailed"
    assert "--timeout" in (run.error or {})["evalue"]


def test_its_pid_is_that_of_the_body_from_the_first_moment(kernel: KernelDriver) -> None:
    told = kernel.run(
        "import signal\n"
        "for _ in range(5):\n"
        "    job = get_ipython().run_cell_magic('unshare', '--pid --bg', 'signal.pause()')\n"
        "    while not (first := job.pid): pass\n"  # others come before it, for milliseconds
        "    numbers = open(f'/proc/{first}/status').read().partition('NSpid:')[2].split()\n"
        "    print('pid', *numbers[:2])\n"
        "    job.kill()",
        raise_error=True,
    )
    pids = [line.split() for line in told.stdout.splitlines() if line.startswith("pid ")]
    assert len(pids) == 5
    assert all(inside == "1" for _, _, inside in pids), pids
