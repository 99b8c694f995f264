"""The stop button: SIGINT to the kernel's process group, as Jupyter sends it."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nsmagic.notebook.stopping import StopButton, on_sigint
from tests.notebook.ending import (
    UNWILLING,
    WAYS,
    begin,
    called,
    children,
    fresh_name,
    message,
)
from tests.support.kernel_driver import KernelDriver
from tests.support.process import on_this_machine
from tests.support.sandboxes import readonly_cgroup, sandboxes_work
from tests.support.skips import needs

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.linux, needs(sandboxes_work)]

LIMIT = 2.0  # seconds until everything is gone
MOMENTS = 20  # stops while a cell is being set up, for each kind of body


@pytest.fixture
def sigint() -> Iterator[None]:
    """SIGINT as in a notebook: a shell that begins us in the background lets us ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def kept() -> Iterator[KernelDriver]:
    """A kernel that can make no cgroup."""
    with KernelDriver(prefix=readonly_cgroup([])) as driver:
        yield driver


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> tuple[KernelDriver, str]:
    """A kernel, and the options with which its cells are held together in one of the three ways."""
    kernel = request.getfixturevalue("kept" if request.param == "keeper" else "kernel")
    return kernel, WAYS[request.param]


@pytest.mark.parametrize("name", UNWILLING)
def test_the_stop_button_ends(name: str, way: tuple[KernelDriver, str]) -> None:
    kernel, options = way
    cell, title = UNWILLING[name], fresh_name()
    run = begin(kernel, cell.cell(options, title))
    assert len(called(title)) >= cell.processes, "the test looks at its processes"
    pressed = time.monotonic()
    kernel.interrupt()
    kernel.wait(run)
    assert called(title) == []
    assert time.monotonic() - pressed < on_this_machine(LIMIT)
    assert run.stdout.startswith("ready"), "the output so far stays"
    assert run.error is not None
    assert run.error["ename"] == "Interrupted"
    assert message(run).endswith("was stopped")
    assert "SIGKILL" not in message(run)
    assert "nsmagic/" not in message(run)
    assert "Traceback" not in run.stderr
    assert kernel.run("6 * 7").result == {"text/plain": "42"}, "the notebook goes on"


def test_python_shows_where_it_was(kernel: KernelDriver) -> None:
    body = "threading.Timer(0.1, print, ['ready']).start()\ntime.sleep(1000)"
    run = begin(kernel, f"%%unshare --uts\nimport threading, time\n{body}")
    kernel.interrupt()
    text = message(kernel.wait(run))
    assert "----> 4 time.sleep(1000)" in text
    assert "KeyboardInterrupt" in text
    assert text.splitlines()[-1] == "Interrupted: the cell was stopped"


def test_a_line_that_is_no_cell_says_that_it_was_not_done(kernel: KernelDriver) -> None:
    slow = "%lab start 01\nfrom nsmagic.labs import guard\nread = guard.compare\n"
    slow += "def slowly(*_): print('ready', flush=True); __import__('time').sleep(1000)\n"
    kernel.run(f"{slow}guard.compare = slowly", raise_error=True)
    run = begin(kernel, "%lab guard")
    kernel.interrupt()
    assert message(kernel.wait(run)) == "Interrupted: stopped before it was done"
    kernel.run("guard.compare = read\n%lab reset", raise_error=True)


def test_a_cell_may_clean_up(kernel: KernelDriver) -> None:
    body = "try:\n    print('ready')\n    time.sleep(1000)\nfinally:\n    print('tidy')"
    run = begin(kernel, f"%%unshare --uts\nimport time\n{body}")
    kernel.interrupt()
    assert kernel.wait(run).stdout == "ready\ntidy\n"


def test_a_program_may_clean_up(kernel: KernelDriver) -> None:
    body = "trap 'echo tidy; exit 3' INT\necho ready\nwhile :; do sleep 0.1; done"
    run = begin(kernel, f"%%unshare --uts bash\n{body}")
    kernel.interrupt()
    assert kernel.wait(run).stdout == "ready\ntidy\n"
    assert message(run) == "Interrupted: bash was stopped"


def test_stop_when_the_cell_was_stopped(way: tuple[KernelDriver, str]) -> None:
    kernel, options = way
    name = fresh_name()
    run = begin(kernel, UNWILLING["a sleep of bash"].cell(options, name))
    (sleeper,) = called(name)
    bash = int(Path(f"/proc/{sleeper}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(bash, signal.SIGSTOP)
    kernel.interrupt()
    kernel.wait(run, timeout=10)
    assert message(run) == "Interrupted: bash was stopped"
    assert called(name) == []


def test_a_second_press_kills_at_once(way: tuple[KernelDriver, str]) -> None:
    kernel, options = way
    kernel.run("import nsmagic.run.tree as t; grace, t.GRACE_SECONDS = t.GRACE_SECONDS, 1000.0")
    try:
        name = fresh_name()
        bash = f"trap 'echo heard' INT\ntrap '' TERM\necho ready\n(exec -a {name} sleep 1000) &"
        run = begin(kernel, f"%%unshare {options} bash\n{bash}\nwhile :; do wait; done")
        kernel.interrupt()
        kernel.wait(run, until=lambda run: "heard" in run.stdout)
        kernel.interrupt()
        kernel.wait(run, timeout=20)
        assert message(run) == "Interrupted: bash was stopped"
        assert called(name) == []
    finally:
        kernel.run("t.GRACE_SECONDS = grace")


def test_stop_in_input(way: tuple[KernelDriver, str]) -> None:
    kernel, options = way
    run = kernel.start(f"%%unshare {options}\nprint('ready')\ninput('name? ')\nprint('never')")
    with pytest.raises(AssertionError, match="no answer is left"):
        kernel.wait(run)
    kernel.interrupt()
    kernel.wait(run)
    assert run.error is not None
    assert run.error["ename"] in {"KeyboardInterrupt", "Interrupted"}
    assert run.stdout == "ready\n"
    assert kernel.run(f"%%unshare {options}\ninput('name? ')", stdin=["Ada"]).result == {
        "text/plain": "'Ada'"
    }


@pytest.mark.parametrize("program", ["", "bash"], ids=["python", "program"])
def test_stop_while_the_cell_starts(way: tuple[KernelDriver, str], program: str) -> None:
    kernel, options = way
    name = fresh_name()
    body = f"trap 'exit 3' INT\n(exec -a {name} sleep 1000) & wait"
    if not program:
        body = f"import ctypes, time\nctypes.CDLL(None).prctl(15, b'{name}')\ntime.sleep(1000)"
    kernel.run(f"""
import os, signal, threading
def cell_and_stop(delay):
    threading.Timer(delay, os.killpg, (os.getpgrp(), signal.SIGINT)).start()
    get_ipython().run_cell_magic("unshare", "{options} {program}", {body!r})
""")
    moments = random.Random(program)  # the same ones in every run
    for _ in range(MOMENTS):
        delay = moments.uniform(0, 0.05)
        run = kernel.run(f"cell_and_stop({delay})", timeout=10)
        assert run.error is not None, delay
        # KeyboardInterrupt: before the magic began it was any cell's.
        assert run.error["ename"] in {"KeyboardInterrupt", "Interrupted"}, delay
        assert called(name) == [], delay
        assert kernel.run("6 * 7").result == {"text/plain": "42"}, delay
    assert all("nsmagic.run.spawner" in line for line in children(kernel.pid)), "and no zombie"
    kernel.run("del cell_and_stop")


def test_strict_without_a_fork(way: tuple[KernelDriver, str]) -> None:
    """The cell's only process is the one that set it up."""
    kernel, _ = way
    body = "trap '' INT TERM\necho ready\nwhile :; do :; done"
    run = begin(kernel, f"%%unshare --strict --user --time bash\n{body}")
    kernel.interrupt()
    kernel.wait(run, timeout=10)
    assert message(run) == "Interrupted: bash was stopped"


@pytest.mark.parametrize("program", ["", "bash"], ids=["python", "program"])
def test_timeout(way: tuple[KernelDriver, str], program: str) -> None:
    kernel, options = way
    name = "Python that ignores all" if not program else "bash that ignores all"
    title = fresh_name()
    run = kernel.run(UNWILLING[name].cell(f"{options} --timeout 0.8", title), timeout=20)
    assert called(title) == []
    assert run.stdout == "ready\n"
    assert run.error is not None
    assert run.error["ename"] == "CellFailed"
    assert "ran into its --timeout and was stopped after" in message(run)
    assert "SIGKILL" not in message(run)
    assert kernel.run("6 * 7").result == {"text/plain": "42"}


def test_timeout_in_the_middle_of_a_flood(kernel: KernelDriver) -> None:
    run = kernel.run("%%unshare --uts --timeout 1 bash\nexec yes", timeout=30)
    assert "ran into its --timeout" in message(run)
    assert run.stdout.startswith("y\ny\n")


@pytest.mark.usefixtures("sigint")
def test_a_press_at_the_very_end_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The notebook's own handler is back, and we are still there."""
    give_back = signal.signal

    def and_press(number: int, handler: signal.Handlers) -> None:
        give_back(number, handler)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as raised, on_sigint(lambda *_: None):
        monkeypatch.setattr(signal, "signal", and_press)
    (line,) = raised.value._render_traceback_()  # type: ignore[attr-defined]
    assert line.endswith("the cell had ended")


@pytest.mark.usefixtures("sigint")
def test_who_presses_twice_means_the_same_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    for _ in range(3):  # as fast as a loop over cells
        with on_sigint(StopButton()):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    later = time.monotonic() + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.usefixtures("sigint")
def test_a_cell_that_nobody_stopped_leaves_sigint_as_it_was() -> None:
    before = signal.getsignal(signal.SIGINT)
    with on_sigint(StopButton()):
        pass
    assert signal.getsignal(signal.SIGINT) == before
