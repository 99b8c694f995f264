"""Output, display and errors of a Python body: what a front end receives, in which order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.kernel_driver import CellRun, KernelDriver

pytestmark = pytest.mark.linux


def shown(run: CellRun) -> list[tuple[str, str]]:
    """Streams (neighbours joined) and kinds of displays, in the order of arrival."""
    found: list[tuple[str, str]] = []
    for message in run.own:
        if message.kind == "stream":
            name, text = message.content["name"], message.content["text"]
            if found and found[-1][0] == name:
                text = found.pop()[1] + text
            found.append((name, text))
        elif message.kind in {"display_data", "execute_result", "update_display_data"}:
            found.append((message.kind, min(message.content["data"])))
        elif message.kind not in {"status", "execute_input"}:
            found.append((message.kind, ""))
    return found


def cell(kernel: KernelDriver, body: str, options: str = "--uts") -> CellRun:
    run = kernel.run(f"%%unshare {options}\n{body}")
    run.raise_error()
    return run


STREAMS = {
    "os.write": ("import os\nos.write(1, b'a\\n')\nos.write(2, b'b\\n')\nos.write(1, b'c\\n');"),
    "print": "import sys\nprint('a')\nprint('b', file=sys.stderr)\nprint('c')",
    "libc": (
        "import ctypes, sys\nlibc = ctypes.CDLL(None)\n"
        "libc.puts(b'a'); libc.fflush(None); libc.dprintf(2, b'b\\n')\n"
        "libc.puts(b'c'); libc.fflush(None);"
    ),
    "subprocess": "import subprocess\nsubprocess.run(['sh', '-c', 'echo a; echo b >&2; echo c']);",
    "os.system": "import os\nos.system('echo a; echo b >&2; echo c');",
    "logging": "import logging\nprint('a')\nlogging.getLogger().handle("
    "logging.makeLogRecord({'levelno': 50, 'msg': 'b'}))\nprint('c')",
}


@pytest.mark.parametrize("how", STREAMS)
def test_streams_keep_their_order(kernel: KernelDriver, how: str) -> None:
    run = cell(kernel, STREAMS[how])
    assert shown(run) == [("stdout", "a\n"), ("stderr", "b\n"), ("stdout", "c\n")]


def test_the_order_holds_fifty_times(kernel: KernelDriver) -> None:
    body = f"for _ in range(50):\n    {STREAMS['subprocess'].splitlines()[1]}"
    run = cell(kernel, f"import subprocess\n{body}")
    assert "".join(text for _, text in shown(run)) == "a\nb\nc\n" * 50


def test_text_without_line_end_and_progress(kernel: KernelDriver) -> None:
    run = cell(
        kernel, "import sys\nfor n in range(3):\n    print(f'\\r{n}', end='')\nprint('.', end='')"
    )
    assert run.stdout == "\r0\r1\r2."


def test_a_character_in_two_writes(kernel: KernelDriver) -> None:
    run = cell(
        kernel, "import os\nfor part in (b'\\xf0\\x9f', b'\\x90', b'\\xa7'): os.write(1, part)"
    )
    assert run.stdout == "🐧"


def test_lines_of_threads_stay_whole(kernel: KernelDriver) -> None:
    run = cell(
        kernel,
        "import threading\n"
        "def work(n):\n    for i in range(40): print('thread', n, 'line', i)\n"
        "them = [threading.Thread(target=work, args=(n,)) for n in range(3)]\n"
        "for t in them: t.start()",  # who is not a daemon is waited for
    )
    lines = run.stdout.splitlines()
    assert sorted(lines) == sorted(f"thread {n} line {i}" for n in range(3) for i in range(40))


def test_handlers_that_hold_the_old_streams_write_to_the_cell(kernel: KernelDriver) -> None:
    kernel.run("import logging, sys, warnings; held = logging.StreamHandler(sys.stderr)")
    run = cell(kernel, "held.handle(logging.makeLogRecord({'msg': 'kept'}))\nwarnings.warn('w')")
    assert run.stderr.startswith("kept\n")
    assert "UserWarning: w" in run.stderr


RICH = """\
from IPython.display import HTML, Audio, Latex, Markdown, clear_output, display
print('before')
display(HTML('<b>x</b>'))
handle = display('one', display_id=True)
handle.update('two')
display(Markdown('*m*')); display(Latex('$x$')); display(Audio(bytes(100), rate=8000))
print('after')
clear_output(wait=True)
6 * 7"""


def test_rich_display(kernel: KernelDriver) -> None:
    run = cell(kernel, RICH, "--net")
    kinds = ["text/html", "text/plain", "text/plain", "text/markdown", "text/latex", "text/html"]
    names = ["display_data"] * 6
    names[2] = "update_display_data"
    assert shown(run) == [
        ("stdout", "before\n"), *zip(names, kinds, strict=True),
        ("stdout", "after\n"), ("clear_output", ""), ("execute_result", "text/plain"),
    ]  # fmt: skip
    assert run.updates[0]["data"] == {"text/plain": "'two'"}
    [result] = [message.content for message in run.own if message.kind == "execute_result"]
    assert run.reply is not None
    assert result["execution_count"] == run.reply["execution_count"]
    assert run.result == {"text/plain": "42"}


def test_a_semicolon_hides_the_last_value(kernel: KernelDriver) -> None:
    assert cell(kernel, "42;").result is None
    assert cell(kernel, "42;  # as ever").result is None
    assert cell(kernel, "';'").result == {"text/plain": "';'"}


def test_what_json_lacks_is_converted_as_in_any_cell(kernel: KernelDriver) -> None:
    run = cell(
        kernel,
        "import datetime, numpy as np\n"
        "day = datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone.utc)\n"
        "display({'text/plain': 'x'}, raw=True, metadata={'n': np.int64(3), 'day': day})",
    )
    [message] = [message for message in run.own if message.kind == "display_data"]
    assert message.content["metadata"] == {"n": 3, "day": "2024-02-29T00:00:00Z"}


@pytest.mark.parametrize("options", ["--uts", "--net --pid --mount --mount-proc"])
def test_plots_stand_between_prints(kernel: KernelDriver, options: str) -> None:
    body = (
        "%matplotlib inline\nimport matplotlib.pyplot as plt\n"
        "print(1); plt.plot([1, 2]); plt.show(); print(2)\nplt.plot([2, 1]);"
    )
    run = cell(kernel, body, options)
    picture = ("display_data", "image/png")
    assert shown(run) == [("stdout", "1\n"), picture, ("stdout", "2\n"), picture]


def test_widgets_are_opened(kernel: KernelDriver) -> None:
    run = cell(kernel, "import ipywidgets\nipywidgets.IntSlider(value=7)", "--net")
    opened = [m.content["data"]["state"] for m in run.own if m.kind == "comm_open"]
    assert [state["value"] for state in opened if "value" in state] == [7]
    assert "application/vnd.jupyter.widget-view+json" in (run.result or run.displays[-1])


def test_help_opens_where_it_always_does(kernel: KernelDriver) -> None:
    run = cell(kernel, "len?")
    assert run.reply is not None
    [page] = run.reply["payload"]
    assert page["source"] == "page"
    assert "number of items" in page["data"]["text/plain"]


def test_a_cell_cannot_end_the_kernel_by_a_payload(kernel: KernelDriver) -> None:
    pid = kernel.pid
    write = "get_ipython().payload_manager.write_payload({'source': 'ask_exit'})"
    assert cell(kernel, write).reply["payload"] == []  # type: ignore[index]
    assert kernel.run("import os; print(os.getpid())").stdout == f"{pid}\n"


def trace(run: CellRun) -> str:
    """The one traceback, without colours."""
    assert [message.kind for message in run.own].count("error") == 1
    assert run.error is not None
    assert run.status == "error"
    assert run.reply is not None
    assert run.reply["ename"] == run.error["ename"]
    return re.sub(r"\x1b\[[\d;]*m", "", "\n".join(run.error["traceback"]))


def test_a_traceback_shows_the_lines_of_the_notebook(kernel: KernelDriver) -> None:
    kernel.run("def divide(a):\n    # a comment\n    return 1 / a")
    run = kernel.run("%%unshare --uts\n%%unshare --ipc\ny = 1\ndivide(0)")
    text = trace(run)
    number = run.reply["execution_count"]  # type: ignore[index]
    assert f"Cell In[{number}], line 4" in text
    assert "----> 4 divide(0)" in text
    assert f"Cell In[{number - 1}], line 3, in divide(a)" in text
    assert "----> 3     return 1 / a" in text
    assert "nsmagic" not in text
    assert text.endswith("ZeroDivisionError: division by zero")


ERRORS = {
    "cause": ("try: 1/0\nexcept Exception as e: raise KeyError('k') from e",
              "KeyError", "direct cause of the following"),
    "syntax": ("a = 1\nb = = 2", "SyntaxError", ", line 3\n    b = = 2\n"),
    "odd str": ("class E(Exception):\n    def __str__(self): return '\\x00\\udcff'\nraise E", "E",
                "----> 4 raise E"),
    "no str": ("class E(Exception):\n    def __str__(self): 1/0\nraise E", "E", "----> 4 raise E"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt", "raise KeyboardInterrupt"),
    "repr": ("class E:\n    def __repr__(self): return 5 / 0\nE()", "ZeroDivisionError", "5 / 0"),
    "note": ("e = ValueError('v')\ne.add_note('a note')\nraise e", "ValueError", "a note"),
    "await": ("import asyncio\nasync def f():\n    await asyncio.sleep(0); 1/0\nawait f()",
              "ZeroDivisionError", "await f()"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ERRORS)
def test_errors(kernel: KernelDriver, kind: str) -> None:
    body, name, part = ERRORS[kind]
    run = kernel.run(f"%%unshare --uts\n{body}")
    text = trace(run)
    assert (run.error or {})["ename"] == name
    assert part in text


def test_an_error_that_was_only_shown_does_not_fail_the_cell(kernel: KernelDriver) -> None:
    run = cell(kernel, "try: 1/0\nexcept Exception: get_ipython().showtraceback()\nprint('on')")
    assert run.stdout == "on\n"
    assert "ZeroDivisionError" in run.stderr


def test_a_group_of_errors_fails_the_cell(kernel: KernelDriver) -> None:
    run = kernel.run("%%unshare --uts\nraise ExceptionGroup('several', [ValueError('one')])")
    assert run.status == "error"
    assert (run.error or {})["ename"] == "ExceptionGroup"
    assert "ValueError: one" in run.stderr


def test_run_all_stops_at_a_failed_cell(kernel: KernelDriver) -> None:
    failing, next_one = kernel.start("%%unshare --uts\n1/0"), kernel.start("print('not reached')")
    kernel.wait(failing, until=lambda run: run.reply is not None)
    assert failing.status == "error"
    assert kernel.wait(next_one, until=lambda run: run.reply is not None).status == "aborted"
