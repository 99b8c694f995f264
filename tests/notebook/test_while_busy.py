"""Clicks and late pages while a cell runs, from a front end that knows of no subshells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cell_run import UNTIL_STOPPED, CellRun

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.kernel_driver import KernelDriver

pytestmark = pytest.mark.linux
CONTROL = "jupyter.widget.control"
BUSY = f"print('begun', flush=True)\n{UNTIL_STOPPED}"


@pytest.fixture(scope="module")
def model(kernel: KernelDriver) -> str:
    """The comm of a widget that has been made: the kernel's subshell is there."""
    run = kernel.run("shown = %nsmap\nshown.model_id", timeout=60, raise_error=True)
    return run.text.strip("'")


@pytest.fixture
def busy(kernel: KernelDriver, model: str) -> CellRun:
    cell = kernel.start(BUSY)
    return kernel.wait(cell, until=lambda run: "begun" in run.stdout)


def ask(kernel: KernelDriver, kind: str, content: dict[str, Any], **metadata: str) -> str:
    """Send a message on the shell channel as any front end does."""
    assert kernel.client is not None
    message = kernel.client.session.msg(kind, content, metadata=metadata)
    kernel.client.shell_channel.send(message)
    return str(message["header"]["msg_id"])


def told(run: CellRun, asked: str) -> bool:
    return any(
        message.parent == asked and message.content.get("execution_state") == "idle"
        for message in run.messages
    )


def statuses(run: CellRun, names: dict[str, str]) -> list[str]:
    """Who said what, from the first message that the cell was not the parent of."""
    return [
        f"{names.get(message.parent, '')} {message.content['execution_state']}".strip()
        for message in run.messages
        if message.kind == "status" and message.parent in {"", *names}
    ]


def ended(kernel: KernelDriver, run: CellRun) -> CellRun:
    kernel.interrupt()
    return kernel.wait(run)


def test_the_kernel_is_called_busy_after_a_click_that_was_answered(
    kernel: KernelDriver, busy: CellRun, model: str
) -> None:
    data = {"method": "custom", "content": {"ask": "seen", "id": 7}}
    click = ask(kernel, "comm_msg", {"comm_id": model, "data": data})
    kernel.wait(busy, until=lambda run: told(run, click) and run.messages[-1].parent == "")
    ended(kernel, busy)
    answers = [m.content["data"]["content"] for m in busy.messages if m.kind == "comm_msg"]
    assert {"done": 7} in answers
    names = {busy.request: "cell", click: "click"}
    assert statuses(busy, names) == ["cell busy", "click busy", "click idle", "busy", "cell idle"]
    # Between cells nobody is corrected.
    between = ask(kernel, "comm_msg", {"comm_id": model, "data": data})
    after = kernel.wait(CellRun(request=between), until=lambda run: run.idle)
    assert statuses(after, {between: "click"}) == ["click busy", "click idle"]
    assert statuses(kernel.run("1"), {}) == []


def test_a_page_that_comes_late_is_told_all_while_the_cell_runs(
    kernel: KernelDriver, busy: CellRun, model: str
) -> None:
    opening = {"comm_id": "late", "target_name": CONTROL, "data": {}}
    ask(kernel, "comm_open", opening, version="1.0.0")
    ask(kernel, "comm_msg", {"comm_id": "late", "data": {"method": "request_states"}})
    states = wait_for(kernel, busy, lambda c: c["data"]["method"] == "update_states")
    assert model in states["data"]["states"]
    ask(kernel, "comm_close", {"comm_id": "late", "data": {}})
    ended(kernel, busy)


def test_a_page_that_knows_only_the_list_of_comms_is_told_too(
    kernel: KernelDriver, busy: CellRun, model: str
) -> None:
    info, comms = (
        answer(kernel, busy, ask(kernel, f"{what}_info_request", {})) for what in ("kernel", "comm")
    )
    assert info["implementation"] == "ipython"
    comms = comms["comms"]
    layout = next(comm for comm in comms if comm != model)  # not one of ours
    for comm in (model, layout):
        ask(kernel, "comm_msg", {"comm_id": comm, "data": {"method": "request_state"}})
        wait_for(kernel, busy, has_state(comm))
    ended(kernel, busy)


def has_state(comm: str) -> Callable[[dict[str, Any]], bool]:
    return lambda content: content["comm_id"] == comm and "state" in content["data"]


def wait_for(
    kernel: KernelDriver, run: CellRun, test: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """The first comm message that passes, while the cell runs."""

    def found(run: CellRun) -> list[dict[str, Any]]:
        return [m.content for m in run.messages if m.kind == "comm_msg" and test(m.content)]

    kernel.wait(run, until=found)
    assert run.reply is None
    return found(run)[0]


def test_what_is_no_question_waits_and_what_is_no_message_does_no_harm(
    kernel: KernelDriver, busy: CellRun, model: str
) -> None:
    ask(kernel, "comm_msg", {"comm_id": "nobody", "data": None})
    ask(kernel, "comm_msg", {"comm_id": model, "data": {"method": "custom", "content": None}})
    waits = ask(kernel, "inspect_request", {"code": "time", "cursor_pos": 4, "detail_level": 0})
    asked = ask(kernel, "comm_info_request", {"target_name": "nobody"})
    assert answer(kernel, busy, asked)["comms"] == {}
    assert waits not in busy.replies
    ended(kernel, busy)
    after = kernel.run("1")
    assert (busy.replies | after.replies)[waits]["found"]


def answer(kernel: KernelDriver, run: CellRun, asked: str) -> dict[str, Any]:
    return kernel.wait(run, until=lambda run: asked in run.replies).replies[asked]


def test_after_unloading_all_is_as_it_was(fresh_kernel: KernelDriver) -> None:
    fresh_kernel.run("shown = %nsmap\n%unload_ext nsmagic", timeout=60, raise_error=True)
    code = """import threading
kernel = get_ipython().kernel
assert "_publish_status" not in vars(kernel)
assert not any("subshell-" in thread.name for thread in threading.enumerate())"""
    fresh_kernel.run(code, raise_error=True)
