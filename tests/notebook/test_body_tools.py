"""What notebooks use in cells, in an isolated one: magics, programs, await, pools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.kernel_driver import CellRun, KernelDriver

pytestmark = pytest.mark.linux


def cell(kernel: KernelDriver, body: str, options: str = "--uts") -> CellRun:
    run = kernel.run(f"%%unshare {options}\n{body}")
    run.raise_error()
    return run


def test_programs(kernel: KernelDriver) -> None:
    run = cell(kernel, "!echo hi; exit 3\nx = !echo a; echo b\nprint(x, _exit_code)")
    assert run.stdout.replace("\r", "") == "hi\n['a', 'b'] 3\n"


@pytest.mark.parametrize("used", [False, True], ids=["first", "used before in the notebook"])
def test_a_bash_cell_inside(kernel: KernelDriver, used: bool) -> None:
    if used:
        assert kernel.run("%%bash\necho outside").stdout == "outside\n"
    run = cell(kernel, "%%bash\necho $$\necho oops >&2", "--pid --mount --mount-proc")
    assert int(run.stdout) < 10
    assert run.stderr == "oops\n"


def test_a_bash_cell_that_fails(kernel: KernelDriver) -> None:
    run = kernel.run("%%unshare --uts\n%%bash\nexit 7")
    assert (run.error or {})["ename"] == "CalledProcessError"


def test_line_magics(kernel: KernelDriver) -> None:
    run = cell(
        kernel,
        "%cd /\n%env NSMAGIC_TEST_E=5\n%timeit -n1 -r1 pass\n"
        "import os\nprint(os.getcwd(), os.environ['NSMAGIC_TEST_E'])",
    )
    assert run.stdout.startswith("/\nenv: NSMAGIC_TEST_E=5\n")
    assert "1 loop each" in run.stdout
    assert run.stdout.endswith("/ 5\n")
    assert kernel.run("import os; 'NSMAGIC_TEST_E' in os.environ or os.getcwd() == '/'").result == {
        "text/plain": "False"
    }


@pytest.mark.parametrize("body", ["%no_such_magic", "%%no_such_magic\nx"])
def test_a_magic_that_is_not_there_fails_as_in_any_cell(kernel: KernelDriver, body: str) -> None:
    plain, inside = kernel.run(body), kernel.run(f"%%unshare --uts\n{body}")
    assert inside.status == "error"
    assert (inside.stderr, inside.error) == (plain.stderr, plain.error)


def test_cell_magics(kernel: KernelDriver, tmp_path: Path) -> None:
    assert "Wall time" in cell(kernel, "%%time\nprint(5)").stdout
    script = tmp_path / "script.py"
    cell(kernel, f"%%writefile {script}\nprint('ran', __name__)\ny = 5")
    run = cell(kernel, f"%run {script}\nprint(y)")
    assert run.stdout == "ran __main__\n5\n"
    body = (
        f"%%capture c\nprint('captured')\ndisplay(1)\nopen({str(tmp_path / 'c')!r}, 'w').write('x')"
    )
    run = cell(kernel, body)
    assert (run.stdout, run.displays, run.result) == ("", [], None)
    assert (tmp_path / "c").read_text() == "x"


def test_capture_around_an_isolated_cell(kernel: KernelDriver) -> None:
    kernel.run("%%capture c\n%unshare --uts echo hi", raise_error=True)
    assert kernel.run("(c.stdout, c.stderr)").result == {"text/plain": "('hi\\n', '')"}


CAPTURED = """
from IPython.display import clear_output
import os
print("shown")
display("gone", display_id="a")
clear_output()
display("shown", display_id="b")
display("changed", display_id="b", update=True)
[6, 7]"""


def test_capture_around_a_cell_takes_its_displays(kernel: KernelDriver) -> None:
    kernel.run(f"%%capture plain\n{CAPTURED}", raise_error=True)
    run = kernel.run(f"%%capture isolated\n%%unshare --uts\n{CAPTURED}", raise_error=True)
    assert (run.stdout, run.displays, run.updates, run.result) == ("", [], [], None)
    told = "[(each.data, each.metadata) for each in {0}.outputs], {0}.stdout"
    assert (
        kernel.run(told.format("isolated"), raise_error=True).text
        == kernel.run(told.format("plain"), raise_error=True).text
    )
    kernel.run("del plain, isolated", raise_error=True)


def test_the_debugger_afterwards_is_in_the_notebook(kernel: KernelDriver) -> None:
    kernel.run("here = 'notebook'\n%unshare --uts true", raise_error=True)
    for failing in ("%%unshare --uts\n1/0", "%unshare --uts false", "%unshare --uts /nowhere"):
        assert kernel.run(failing).status == "error"
        run = kernel.run("%debug", stdin=["p here", "q"])
        assert "'notebook'" in run.stdout
        assert "nsmagic/notebook" not in run.stdout
        assert ("%pdb on" in run.stdout) == failing.startswith("%%")


def test_pdb_on_asks_once_and_in_the_cell(kernel: KernelDriver) -> None:
    kernel.run("%pdb on", raise_error=True)
    try:
        run = kernel.run("%%unshare --uts\nhere = 'cell'\n1/0", stdin=["p here", "q"])
    finally:
        kernel.run("%pdb off", raise_error=True)
    assert "'cell'" in run.stdout
    assert run.status == "error"


def test_an_isolated_cell_inside(kernel: KernelDriver) -> None:
    body = (
        "import os\nprint('outer', os.getpid())\n"
        "get_ipython().run_cell_magic('unshare', '--pid --mount-proc --mount',\n"
        '    \'import os\\nprint("inner", os.getpid())\\ndisplay(3)\\nprint(input("? "))\')\n'
        "%unshare --uts echo program\nprint('end')"
    )
    run = kernel.run(f"%%unshare --pid --mount --mount-proc\n{body}", stdin=["deep"])
    run.raise_error()
    assert run.stdout == "outer 1\ninner 1\ndeep\nprogram\nend\n"
    assert run.displays == [{"text/plain": "3"}]
    alone = kernel.run("%%unshare --uts\n%unshare --uts echo program", raise_error=True)
    assert (alone.stdout, alone.displays) == ("program\n", []), "its spawner is not left over"
    failing = "get_ipython().run_cell_magic('unshare', '--uts', '1/0')"
    assert (kernel.run(f"%%unshare --uts\n{failing}").error or {})["ename"] == "ZeroDivisionError"


def test_await(kernel: KernelDriver) -> None:
    kernel.run("import asyncio; await asyncio.sleep(0)")
    body = (
        "p = await asyncio.create_subprocess_exec('sh', '-c', 'echo sub; exit 4')\n"
        "print(await p.wait())\n"
        "print(await asyncio.gather(*(asyncio.sleep(0.01, n) for n in range(3))))\n"
        "print(await asyncio.to_thread(len, 'abc'))"
    )
    assert cell(kernel, body, "--net --uts").stdout == "sub\n4\n[0, 1, 2]\n3\n"
    assert cell(kernel, "async def f(): return 5\nprint(asyncio.run(f()))").stdout == "5\n"


def test_threads_and_pools(kernel: KernelDriver) -> None:
    body = (
        "from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor\n"
        "import multiprocessing as mp\ndef square(n): return n * n\n"
        "with ThreadPoolExecutor(3) as pool: print(list(pool.map(square, range(4))))\n"
        "with mp.get_context('fork').Pool(2) as pool: print(pool.map(square, range(4)))\n"
        "with mp.get_context('spawn').Pool(2) as pool: print(pool.map(abs, [-1, -2]))\n"
        "with ProcessPoolExecutor(2, mp_context=mp.get_context('forkserver')) as pool:\n"
        "    print(list(pool.map(abs, [-3])))"
    )
    assert cell(kernel, body).stdout == "[0, 1, 4, 9]\n[0, 1, 4, 9]\n[1, 2]\n[3]\n"


def test_history_is_the_notebooks(kernel: KernelDriver) -> None:
    before = kernel.run("print(len(In))").stdout
    text = "%%unshare --uts\nprint(len(In))\n%history -l 1"
    run = kernel.run(text)
    assert run.stdout.splitlines()[0] == str(int(before) + 1)
    assert kernel.run("print(In[-2] == In[-2] and len(In))").stdout == f"{int(before) + 2}\n"


def test_what_fails_inside_of_print_is_shown_without_us(kernel: KernelDriver) -> None:
    cell = "class Bad:\n    def __str__(self):\n        return 1 / 0\nprint(Bad())"
    error = kernel.run(f"%%unshare --user --map-root-user --uts\n{cell}").error
    assert error is not None
    text = "\n".join(error["traceback"])
    assert "return" in text
    assert "nsmagic/" not in text


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("TypeError", "import sys\nsys.stdout.write(1)"),
        ("KeyboardInterrupt", "import sys\nwhile True: print('x' * 100)"),
    ],
)
def test_what_ends_in_a_stream_is_shown_without_us(
    name: str, body: str, kernel: KernelDriver
) -> None:
    run = kernel.start(f"%%unshare --user --map-root-user --uts\n{body}")
    if name == "KeyboardInterrupt":
        kernel.wait(run, until=lambda run: run.stdout)
        kernel.interrupt()
    error = kernel.wait(run).error
    assert error is not None
    text = "\n".join(error["traceback"])
    assert name in text
    assert "nsmagic/" not in text
    assert "interactiveshell" not in text


@pytest.mark.parametrize("line", ["lsns", "box"])
def test_a_table_that_is_interrupted_while_it_is_shown(line: str, kernel: KernelDriver) -> None:
    stop = "import signal\nfrom nsmagic.notebook import tables\nhtml = tables.Table.html\n"
    stop += "tables.Table.html = lambda _: signal.raise_signal(signal.SIGINT)"
    kernel.run(stop, raise_error=True)
    error = kernel.run(f"%{line}").error
    kernel.run("tables.Table.html = html", raise_error=True)
    assert error is not None
    assert error["ename"] == "KeyboardInterrupt"
    assert len(error["traceback"]) == 1
    assert error["traceback"][0].endswith("it was not shown")
