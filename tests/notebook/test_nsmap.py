"""%nsmap over the protocol: what a front end is sent, also while a cell runs, and what ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from tests.support.kernel_driver import CellRun, KernelDriver

pytestmark = pytest.mark.linux
VIEW = "application/vnd.jupyter.widget-view+json"
THREADS = "import threading; [t.name for t in threading.enumerate() if 'nsmap' in t.name]"


def value(kernel: KernelDriver, code: str) -> str:
    result = kernel.run(code, raise_error=True).result
    assert result is not None
    return str(result["text/plain"])


def opened(run: CellRun) -> dict[str, Any]:
    states = [m.content["data"]["state"] for m in run.messages if m.kind == "comm_open"]
    return next(state for state in states if "facts" in state)


def changes(run: CellRun) -> list[dict[str, Any]]:
    data = [m.content["data"] for m in run.messages if m.kind == "comm_msg"]
    return [d["content"]["change"] for d in data if "change" in d.get("content", {})]


def test_the_map_follows_a_cell_that_runs(kernel: KernelDriver) -> None:
    run = kernel.run("shown = %nsmap\nshown", timeout=60, raise_error=True)
    facts = opened(run)["facts"]
    assert "this notebook" in [group["name"] for group in facts["groups"].values()]
    widget, still = [set(m.content["data"]) for m in run.messages if m.kind == "display_data"]
    assert widget == {VIEW, "text/plain"}
    assert still == {"image/svg+xml", "text/html", "text/plain"}
    # What arrives outside of our cells is not collected, so the cell that runs lasts until then.
    cell = kernel.start("%%unshare --user --map-root-user --uts /bin/sh\nread line; sleep 60")
    kernel.wait(cell, until=lambda run: any(map(new_uts, changes(run))))
    kernel.interrupt()
    kernel.wait(cell)
    assert value(kernel, THREADS) != "[]"
    kernel.run("shown.close()", raise_error=True)
    ended = "for t in threading.enumerate():\n    if 'nsmap' in t.name: t.join(10)\n" + THREADS
    assert value(kernel, ended) == "[]"


def new_uts(change: dict[str, Any]) -> bool:
    spaces = change.get("spaces", {}).values()
    return any(space and space["type"] == "uts" and space["state"] == "new" for space in spaces)


def test_the_next_map_tells_what_is_new_since_the_one_before(fresh_kernel: KernelDriver) -> None:
    code = """%nsmap
import subprocess
child = subprocess.Popen(["unshare", "-Ur", "--uts", "sh", "-c", "echo; read line"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline();
shown = %nsmap
"""
    run = fresh_kernel.run(code, timeout=60, raise_error=True)
    states = [m.content["data"]["state"] for m in run.messages if m.kind == "comm_open"]
    facts = [state["facts"] for state in states if "facts" in state][-1]
    pid = value(fresh_kernel, "child.pid")
    group = next(group for group in facts["groups"].values() if pid in group["procs"])
    assert group["was"] is None
    assert facts["spaces"][f"uts:{group['links']['uts']}"]["state"] == "new"
    # "Mark as seen", as the button sends it.
    fresh_kernel.run("shown._on_message(shown, {'ask': 'seen'}, [])", raise_error=True)
    assert value(fresh_kernel, "{s['state'] for s in shown.shown['spaces'].values()}") == "{''}"
    ending = "child.communicate(b'x')\n%unload_ext nsmagic\n%load_ext nsmagic"
    fresh_kernel.run(ending, raise_error=True)
    assert value(fresh_kernel, THREADS) == "[]"


def test_a_terminal_gets_text(ip: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    ip.run_line_magic("nsmap", "")
    assert "this notebook" in capsys.readouterr().out


def test_a_word_too_many_is_refused(kernel: KernelDriver) -> None:
    assert "UsageError: nsmap: it shows everybody" in kernel.run("%nsmap web").stderr
