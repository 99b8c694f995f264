"""`%sxs` through a real kernel: both sides at once, what differs, what fails."""

from __future__ import annotations

import ast
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.kernel_driver import KernelDriver

pytestmark = pytest.mark.linux


@pytest.fixture(scope="module", params=["kernel", "user_kernel"])
def notebook(request: pytest.FixtureRequest) -> KernelDriver:
    """A notebook of root's and one of an ordinary user's."""
    driver: KernelDriver = request.getfixturevalue(request.param)
    return driver


def value(notebook: KernelDriver, code: str) -> Any:  # noqa: ANN401 - whatever it is
    run = notebook.run(code, raise_error=True)
    assert run.result is not None, run
    return ast.literal_eval(run.result["text/plain"])


def shown(notebook: KernelDriver, cell: str) -> tuple[str, str]:
    """Return the text and the HTML of a comparison."""
    run = notebook.run(cell, raise_error=True)
    assert run.result is not None
    assert run.stdout == run.stderr == ""
    return run.result["text/plain"], run.result["text/html"]


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_the_same_and_what_differs(notebook: KernelDriver) -> None:
    text, page = shown(notebook, "%sxs host,self -- echo same; echo $$; echo 'a  b' | cat")
    assert "1 of 3 lines differ (≠ differs)" in text
    assert ["same", "same"] in rows(text)
    assert sum("≠" in line for line in text.splitlines()) == 2  # the legend and the line
    assert page.count('class="changed') == 3
    assert "var(--jp-" in page
    text, page = shown(notebook, "%sxs host,self -- hostname")
    assert "the same" in text
    assert 'class="changed' not in page


def test_a_box_and_the_host(notebook: KernelDriver) -> None:
    notebook.run("%unshare --replace --name side -r --uts --pid --mount-proc", raise_error=True)
    notebook.run("%%nsenter -t side sh\nhostname sidebox", raise_error=True)
    command = "echo $$; hostname; readlink /proc/self/ns/net; id -u"
    text, _ = shown(notebook, f"%sxs host,side -- {command}")
    assert "of 4 lines differ" in text
    assert [socket.gethostname(), "≠", "sidebox"] in rows(text)
    net = os.readlink("/proc/self/ns/net")
    assert [net, net] in rows(text)
    find = "boxes = %lsns -t uts\n[row.pid for row in boxes if 'side' in row.box][0]"
    pid = value(notebook, find)
    text, _ = shown(notebook, f"%sxs {pid},side -- hostname")
    assert "the same" in text
    run = notebook.run("%sxs side,sied -- touch /tmp/never")
    assert run.status == "error"
    assert "sied" in run.stderr
    notebook.run("%box rm side", raise_error=True)


def test_a_side_that_cannot_be_entered(user_kernel: KernelDriver) -> None:
    text, _ = shown(user_kernel, "%sxs 1,host -- echo there")
    assert text.startswith("1 could not begin: the namespaces of PID 1")
    assert ["<"] not in rows(text)
    assert [">", "there"] in rows(text)


def test_lines_of_one_side_only(notebook: KernelDriver) -> None:
    folder = Path(value(notebook, "import tempfile\ntempfile.mkdtemp()"))
    text, _ = shown(notebook, f"%sxs host,self -- mkdir {folder}/x 2>&- && echo first; echo both")
    (folder / "x").rmdir()
    folder.rmdir()
    assert "1 of 2 lines differ" in text
    assert "only" in text
    assert ["both", "both"] in rows(text)


def test_both_at_the_same_moment(notebook: KernelDriver) -> None:
    # One after the other, there would be the whole second between them.
    cell = "both = %sxs host,self -- date +%s%N; sleep 1\n"
    cell += "abs(int(both.left.text) - int(both['self'].text))"
    assert value(notebook, cell) < 900_000_000


def test_a_script_and_another_program(notebook: KernelDriver) -> None:
    text, _ = shown(notebook, "%%sxs host,self\nx=3\necho $((x * 2))\n")
    assert ["6", "6"] in rows(text)
    text, _ = shown(notebook, "%%sxs host,self -- cat -A\n\tx\n")
    assert ["^Ix$", "^Ix$"] in rows(text)


def test_exit_statuses_signals_and_timeouts_are_said(notebook: KernelDriver) -> None:
    text, page = shown(notebook, "%sxs host,self -- echo err >&2; exit 3")
    assert text.startswith("host exited with status 3\nself exited with status 3\n")
    assert ["err", "err"] in rows(text)
    assert 'class="bad"' in page
    text, _ = shown(notebook, "%sxs host,self -- kill -9 $$")
    assert "host was killed by SIGKILL" in text
    text, _ = shown(notebook, "%sxs --timeout=0.3 host,self -- sleep 60")
    assert "host ran into its --timeout and was stopped after 0." in text
    codes = "both = %sxs host,self -- exit 7\nboth.left.result.exit_code, both.same"
    assert value(notebook, codes) == (7, True)


def test_a_flood_is_cut(notebook: KernelDriver) -> None:
    text, page = shown(notebook, "%sxs host,self -- seq 1000000")
    assert "not compared:" in text
    assert len(text.splitlines()) < 500
    assert len(page) < 100_000


def test_what_a_program_writes_cannot_steer_the_table(notebook: KernelDriver) -> None:
    text, page = shown(notebook, r"%sxs host,self -- printf '\033[31mred\033[0m <b>\033]0;x\a\n'")
    assert "red <b>" in text
    assert "\x1b" not in text + page
    assert "<b>" not in page


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "which two sides?"),
        ("host", "host is not two sides"),
        ("host,a,b -- true", "is not two sides"),
        ("host, -- true", "is not two sides"),
        ("host,self", "which command?"),
        ("host,self --", "which command?"),
        ("--tme=3 host,self -- true", "no option --tme"),
        ("--timeout=x host,self -- true", "is not a number of seconds"),
    ],
)
def test_bad_lines(kernel: KernelDriver, line: str, message: str) -> None:
    run = kernel.run(f"%sxs {line}")
    assert run.status == "error"
    assert run.stderr.startswith("UsageError: sxs")
    assert message in run.stderr


def test_the_stop_button(kernel: KernelDriver, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "begun")
    with open(os.open(tmp_path / "begun", os.O_RDWR)) as begun:
        run = kernel.start(f"%sxs host,self -- echo first; echo > {tmp_path}/begun; sleep 60")
        begun.readline()
        begun.readline()
    kernel.interrupt()
    kernel.wait(run, timeout=10)
    assert run.error is not None
    assert run.error["ename"] == "Interrupted"
    (table,) = (display["text/plain"] for display in run.displays)
    assert "host was stopped" in table
    assert ["first", "first"] in rows(table)
