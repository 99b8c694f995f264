"""Whole kernels with limits: the running cell says what killed its kernel, and nothing is left."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbclient.client import NotebookClient
from nbclient.exceptions import CellExecutionError

from nsmagic.notebook.boxing import Boxing
from nsmagic.notebook.kernelspecs import isolate
from nsmagic.wish.errors import WishError
from tests.support.boxed import HERE, WALLS, descendants, running, wait_for_end
from tests.support.groups import groups_with_limits
from tests.support.skips import needs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cell_run import CellRun
    from tests.support.kernel_driver import KernelDriver

pytestmark = [pytest.mark.linux, needs(groups_with_limits)]

EAT = "import math\nblob = bytearray(400 * 2**20)"
LIMITED = Boxing(name="limited", cgroup="mem=256M pids=60", unshare=WALLS)


@pytest.fixture(scope="module", autouse=True)
def kernelspecs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("jupyter")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_DATA_DIR", str(folder))
        patch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
        isolate("python3", LIMITED, HERE)
        yield folder


def directories(pid: int) -> list[Path]:
    """The cgroups that the program `pid` made, in every hierarchy."""
    found: list[Path] = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] in {"cgroup", "cgroup2"}:
            found += Path(left.split()[4]).rglob(f"nsmagic-{pid}-limited")
    return found


def row_of(name: str, run: CellRun) -> str:
    """The row of a table as HTML, which wraps nothing."""
    (row,) = [row for row in (run.result or {})["text/html"].split("<tr") if name in row]
    return str(row)


def found(file: str, pid: int) -> list[Path]:
    return [path / file for path in directories(pid) if (path / file).exists()]


def test_too_much_memory_is_told_in_the_running_cell_and_the_next_kernel_works() -> None:
    with running("limited") as kernel:
        program = kernel.pid
        assert directories(program)
        run = kernel.run(EAT)
        assert run.error is not None
        assert run.error["ename"] == "KernelDied"
        assert "the kernel limited was killed by its memory limit of 256 M" in run.error["evalue"]
        text = "\n".join(run.error["traceback"])
        assert "oom_kill 0 -> 1" in text
        assert "Give it more, mem=512M" in text
        assert wait_for_end(program)
        assert not directories(program)
        kernel.manager.restart_kernel(now=True)
        assert kernel.client is not None
        kernel.client.wait_for_ready(timeout=30)
        assert kernel.run("6 * 7").text == "42"


def test_nbclient_says_it_too() -> None:
    cells = [nbformat.v4.new_code_cell(text) for text in ("print('fine')", EAT, "print('never')")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    with pytest.raises(CellExecutionError, match="killed by its memory limit of 256 M"):
        NotebookClient(notebook, kernel_name="limited", timeout=60).execute()
    fine, eat, never = notebook.cells
    assert fine.outputs[0].text == "fine\n"
    assert "memory limit" in eat.outputs[0].evalue
    assert never.outputs == []


def test_forks_end_at_the_limit_and_the_kernel_goes_on() -> None:
    code = """
import subprocess
children = []
try:
    while True:
        children.append(subprocess.Popen(["sleep", "600"]))
except BlockingIOError as error:
    print(error.errno, 1 < len(children) < 60)
for child in children:
    child.kill()
    child.wait()
"""
    with running("limited") as kernel:
        assert kernel.run(code).stdout == "11 True\n"
        assert kernel.run("1").text == "1"


def test_sigkill_of_the_program_leaves_no_group() -> None:
    with running("limited") as kernel:
        program = kernel.pid
        below = descendants(program)
        assert directories(program)
        os.kill(program, signal.SIGKILL)
        assert all(wait_for_end(pid) for pid in below)
        assert not directories(program)


def test_another_notebook_sees_and_steers_it(kernel: KernelDriver) -> None:
    with running("limited") as boxed:
        name = f"nsmagic-{boxed.pid}-limited"
        assert "of 60" in row_of(name, kernel.run("%cgroup"))
        assert kernel.run(f"%cgroup set {name} mem=200M").status == "ok"
        files = [*map(Path.read_text, found("memory.max", boxed.pid)),
                 *map(Path.read_text, found("memory.limit_in_bytes", boxed.pid))]  # fmt: skip
        assert [int(text) for text in files] == [200 * 2**20]
        assert "200 MiB" in kernel.run(f"%cgplot {name} mem --text").stdout
        kernel.run(f"%cgroup freeze {name}", raise_error=True)
        run = boxed.start("1 + 1")
        assert "frozen" in row_of(name, kernel.run("%cgroup"))
        kernel.run(f"%cgroup thaw {name}", raise_error=True)
        assert boxed.wait(run).text == "2"
    assert kernel.run(f"%cgroup show {name}").status == "error"


@pytest.mark.parametrize(
    ("cgroup", "message"),
    [("men=512M", "men"), ("mem=lots", "lots"), ("set web mem=1M", "verb"), ("mem=1M ls", "ls")],
)
def test_limits_that_make_no_sense(cgroup: str, message: str) -> None:
    with pytest.raises(WishError, match=message):
        isolate("python3", Boxing(name="a", cgroup=cgroup), HERE)
