from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest

from nsmagic.notebook.publishers import TerminalPublisher, publisher_for
from nsmagic.wish.errors import ChannelError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from tests.support.kernel_driver import KernelDriver, Message

START = """
from nsmagic.notebook.publishers import publisher_for
out = publisher_for(get_ipython())
"""


def said(messages: list[Message]) -> list[tuple[str, str]]:
    return [(m.content["name"], m.content["text"]) for m in messages if m.kind == "stream"]


def test_text_follows_what_the_cell_printed_before(kernel: KernelDriver) -> None:
    run = kernel.run(
        f"print('before')\n{START}\nout.text('stdout', 'now\\n')\nout.text('stderr', 'oh')\n"
        "print('after')",
        raise_error=True,
    )
    assert said(run.own) == [
        ("stdout", "before\n"),
        ("stdout", "now\n"),
        ("stderr", "oh"),
        ("stdout", "after\n"),
    ]


def test_a_thread_still_writes_to_its_own_cell_when_another_runs(kernel: KernelDriver) -> None:
    first = kernel.run(
        f"""{START}
import threading
go = threading.Event()
def late():
    go.wait()
    out.text("stdout", "late")
    out.display("display_data", {{"data": {{"text/plain": "plot"}}, "metadata": {{}}}})
thread = threading.Thread(target=late)
thread.start()
""",
        raise_error=True,
    )
    second = kernel.run("go.set(); thread.join()", raise_error=True)
    late = [m for m in second.messages if m.parent == first.request]
    assert [m.kind for m in late] == ["stream", "display_data"]
    assert said(second.own) == []


def test_text_is_not_kept_in_ipythons_history(kernel: KernelDriver) -> None:
    kernel.run(f"{START}\nout.text('stdout', 'secret' * 1000)", raise_error=True)
    kept = kernel.run("'secret' * 10 in str(get_ipython().history_manager.outputs)")
    assert kept.result == {"text/plain": "False"}


def test_the_counter_is_one_display_that_changes(kernel: KernelDriver) -> None:
    run = kernel.run(
        f"""{START}
out.counter("… 1 MB more\\n<b>", False)
out.counter("… 2 MB more", False)
out.display("clear_output", {{"wait": False}})
out.counter("… 1 MB left out here", True)
""",
        raise_error=True,
    )
    shown = [
        m for m in run.own if m.kind in {"display_data", "update_display_data", "clear_output"}
    ]
    assert [m.kind for m in shown] == [
        "display_data",
        "update_display_data",
        "clear_output",
        "display_data",
    ]
    assert shown[0].content["data"]["text/plain"] == "… 1 MB more\n<b>"
    assert "&lt;b&gt;" in shown[0].content["data"]["text/html"]
    ids = [m.content["transient"]["display_id"] for m in shown if m.kind != "clear_output"]
    assert ids[0] == ids[1] != ids[2]


def test_displays_pass_with_metadata_and_buffers(kernel: KernelDriver) -> None:
    run = kernel.run(
        f"""{START}
content = {{"comm_id": "1", "data": {{}}}}
out.display("comm_msg", content, metadata={{"version": "2.1.0"}}, buffers=[b"a", memoryview(b"b")])
result = {{"data": {{"text/plain": "7"}}, "metadata": {{}}, "execution_count": 1}}
out.display("execute_result", result)
""",
        raise_error=True,
    )
    (comm,) = [m for m in run.own if m.kind == "comm_msg"]
    assert comm.metadata["version"] == "2.1.0"
    assert run.result == {"text/plain": "7"}


@pytest.mark.parametrize("kind", ["status", "execute_input", "error", "stream", "shutdown_reply"])
def test_a_cell_cannot_send_what_belongs_to_the_kernel(ip: InteractiveShell, kind: str) -> None:
    with pytest.raises(ChannelError, match=f"the kind '{kind}'"):
        publisher_for(ip).display(kind, {"execution_state": "idle"})


def test_a_display_without_content_is_refused(ip: InteractiveShell) -> None:
    with pytest.raises(ChannelError, match="display_data without content"):
        publisher_for(ip).display("display_data", ["not", "a", "dict"])  # type: ignore[arg-type]


def test_capture_takes_the_output_of_an_isolated_cell(kernel: KernelDriver) -> None:
    cell = "out.text('stdout', 'in'); out.display('display_data', {'data': {'text/plain': 'plot'}})"
    run = kernel.run(f"%%capture got\n{START}\n{cell}", raise_error=True)
    assert said(run.own) == []
    assert run.displays == []
    result = kernel.run("got.stdout, got.outputs[0].data").result
    assert result == {"text/plain": "('in', {'text/plain': 'plot'})"}


def test_a_terminal_gets_text_at_once(
    ip: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    out = publisher_for(ip)
    assert isinstance(out, TerminalPublisher)
    out.text("stdout", "to out\n")
    out.text("stderr", "to err")
    out.counter("… 1 MB more", False)
    out.counter("… 1 MB left out here", True)
    assert capsys.readouterr() == ("to out\n", "to err\n… 1 MB left out here\n")


def test_a_terminal_without_the_character_shows_a_question_mark(
    ip: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    publisher_for(ip).text("stdout", "한 a")
    assert raw.getvalue() == b"? a"


def test_a_terminal_rewrites_one_line(
    ip: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    out = publisher_for(ip)
    out.text("stderr", "half a line")
    out.counter("… 1 MB more\nlast", False)
    out.counter("… 2 MB more\nlast", False)
    out.counter("… 1 MB left out here", True)
    erase = "\r\x1b[K"
    assert screen.getvalue() == (
        f"half a line\n{erase}… 1 MB more{erase}… 2 MB more{erase}… 1 MB left out here\n"
    )
