"""The widgets in JupyterLab and Chromium, clicked while a cell runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support.browser import has_chromium
from tests.support.skips import needs

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage

    from tests.conftest import OpenNotebook
    from tests.support.browser import Lab

pytestmark = [pytest.mark.browser, needs(has_chromium)]
MIB = 2**20
CLIMB = f"""%%cgroup mem=64M pids=30 --plot --no-raise-error {sys.executable}
import time
held = []
while True:
    held.append(bytearray({MIB}))
    time.sleep(0.12)
"""
STAY = f"""%%cgroup mem=64M --plot --no-raise-error {sys.executable}
import time
held = bytearray(24 * {MIB})
time.sleep(100)
"""
DRAWN_IN_A_SECOND = """() => new Promise((done) => {
    const graph = document.querySelector('.nsm-graph'), before = +graph.dataset.drawn;
    setTimeout(() => done(+graph.dataset.drawn - before), 1000);
})"""


def listen(notebook: Lab) -> list[str]:
    """Collect what the browser complains about."""
    complaints: list[str] = []

    def take(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    notebook.page.on("console", take)
    notebook.page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints


def groups(notebook: Lab) -> list[Path]:
    """The directories of the cell's cgroup, in every hierarchy."""
    kernels = [session["kernel"]["id"] for session in notebook.server.api("GET", "sessions")]
    assert len(kernels) == 1
    pid = notebook.output(0)
    mounts = re.findall(r" (/\S*cgroup\S*) ", Path("/proc/self/mountinfo").read_text())
    return [path for mount in set(mounts) for path in Path(mount).rglob(f"nsmagic-{pid}-cell-*")]


def value(directories: list[Path], *names: str) -> str:
    """What the first of these files says that is there."""
    found = [path / name for path in directories for name in names if (path / name).exists()]
    return found[0].read_text()


def test_a_graph_is_live_and_its_controls_work_while_the_cell_runs(lab: OpenNotebook) -> None:
    notebook = lab(["%load_ext nsmagic\nimport os\nos.getpid()", CLIMB])
    complaints, page = listen(notebook), notebook.page
    notebook.start_all()
    graph = page.locator(".nsm-graph")
    graph.wait_for(timeout=30_000)
    page.wait_for_function("() => +document.querySelector('.nsm-graph').dataset.drawn > 3")
    # On a machine with other things to do, one good second of three counts.
    rates = [page.evaluate(DRAWN_IN_A_SECOND) for _ in range(3)]
    assert max(rates) >= 8, rates

    found = groups(notebook)
    graph.get_by_role("button", name="Freeze").click()
    graph.get_by_text("❄ frozen").wait_for()
    assert value(found, "cgroup.events", "freezer.state").split("\n")[-2] in {"frozen 1", "FROZEN"}
    slider = graph.get_by_role("slider", name="memory.max")
    slider.press("ArrowLeft")
    graph.locator(".nsm-graph-log", has_text="memory.max =").wait_for()
    limit = int(value(found, "memory.max", "memory.limit_in_bytes"))
    assert limit < 64 * MIB
    graph.get_by_text(f"{limit / MIB:.1f} MiB").first.wait_for()
    graph.get_by_role("button", name="Thaw").click()

    notebook.wait(timeout=60)
    graph.locator(".nsm-graph-log", has_text="OOM kill: ").wait_for()
    graph.get_by_text("■ gone").wait_for()
    saved = notebook.save()
    stills = [out.data for out in saved.cells[1].outputs if "image/png" in out.get("data", {})]
    assert "OOM kill: " in stills[0]["text/plain"]
    assert complaints == []


def test_a_page_reloaded_while_the_cell_runs_has_the_whole_graph(lab: OpenNotebook) -> None:
    notebook = lab(["%load_ext nsmagic\n%nsmap", STAY])
    complaints, page = listen(notebook), notebook.page
    notebook.start_all()
    graph = page.locator(".nsm-graph")
    graph.wait_for(timeout=30_000)
    page.wait_for_function("() => +document.querySelector('.nsm-graph').dataset.drawn > 12")
    graph.locator(".nsm-title").click(button="right")
    page.locator(".lm-Menu-item", has_text="Create New View for Cell Output").click()
    page.locator(".jp-LinkedOutputView .nsm-graph[data-drawn]").wait_for()
    page.locator(".lm-TabBar-tab", has_text="Output View").locator(
        ".lm-TabBar-tabCloseIcon"
    ).click()
    notebook.save()
    page.reload()
    graph.wait_for(timeout=30_000)
    page.locator(".nsm-map-chip").first.wait_for()
    assert page.evaluate(DRAWN_IN_A_SECOND) >= 3

    chart = graph.locator(".nsm-graph-chart").first
    at, readout = (graph.locator(f".nsm-graph-{part}").first for part in ("at", "readout"))
    chart.focus()
    page.keyboard.press("ArrowLeft")
    for _ in range(40):  # to the first sample that is kept, from before this page was loaded
        page.keyboard.press("Shift+ArrowLeft")
    expect(at).to_have_text(re.compile(r"^at 0(\.\d)? s$"))
    expect(readout).to_contain_text(re.compile(r"anon 0 B.*memory.max 64.0 MiB"))

    area = chart.locator(".u-over").bounding_box()
    assert area is not None
    left, middle, width = area["x"], area["y"] + area["height"] / 2, area["width"]
    page.mouse.move(left + 0.3 * width, middle)
    expect(at).to_have_text(re.compile(r"^at [1-9]"))
    started = _seconds(at.inner_text())
    page.mouse.down()
    page.mouse.move(left + 0.6 * width, middle, steps=4)
    page.mouse.up()
    follow = graph.get_by_role("button", name="30 s")
    expect(follow).to_have_attribute("aria-pressed", "false")
    page.mouse.move(left + 1, middle)
    expect(at).not_to_have_text("")
    assert abs(_seconds(at.inner_text()) - started) < 0.6
    chart.focus()
    page.keyboard.press("Escape")
    expect(follow).to_have_attribute("aria-pressed", "true")

    page.evaluate("() => jupyterapp.commands.execute('notebook:interrupt-kernel')")
    graph.get_by_text("■ gone").wait_for()
    assert complaints == []


def _seconds(text: str) -> float:
    found = re.search(r"^at (?:(\d+):)?([\d.]+)", text)
    assert found is not None, text
    return 60 * float(found[1] or 0) + float(found[2])


def test_the_map_follows_a_cell_and_outlives_its_kernel(lab: OpenNotebook) -> None:
    inside = "%%unshare --user --map-root-user --pid --net --mount-proc /bin/sh\nsleep 100"
    notebook = lab(["%load_ext nsmagic\n%nsmap", inside], theme="dark")
    complaints, page = listen(notebook), notebook.page
    notebook.start_all()
    shown = page.locator(".nsm-map")
    chip = shown.locator(".nsm-map-chip.nsm-new[aria-label^='net namespace']").first
    chip.wait_for(timeout=30_000)
    chip.click()
    shown.locator("code", has_text=re.compile(r"^%%nsenter -t \d+ --net$")).wait_for()
    chip.press("ArrowLeft")
    page.keyboard.press("Enter")
    shown.locator(".nsm-map-detail", has_text="4026531").first.wait_for()
    page.evaluate("() => jupyterapp.commands.execute('notebook:interrupt-kernel')")
    notebook.wait()
    shown.get_by_text("gone since the last look").first.wait_for()
    page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    shown.get_by_text("the kernel has stopped").wait_for()
    assert complaints == []


def test_a_terminal_in_a_box_while_a_cell_runs(lab: OpenNotebook) -> None:
    make = """%load_ext nsmagic
import os
os.environ["HOME"] = "/nowhere"  # whatever the user's ~/.bashrc does
%unshare --name web --uts --pid --net --mount-proc hostname web"""
    busy = "import time\ntime.sleep(100)"
    notebook = lab([make, "%box term web", busy, ""], theme="dark")
    complaints, page = listen(notebook), notebook.page
    notebook.start_all()
    shown = page.locator(".nsm-term")
    rows = shown.locator(".xterm-rows")
    rows.get_by_text("#").first.wait_for(timeout=30_000)
    shown.locator(".xterm").click()
    page.keyboard.type("hostname; ps -e; ls -d --color=always /usr; stty size\n")
    rows.get_by_text(re.compile(r"^\d\d+ \d\d+$")).wait_for()
    assert rows.get_by_text("web", exact=True).count() >= 1
    # What it says shows that it has the terminal: Ctrl-C before that would be bash's.
    page.keyboard.type("sh -c 'echo up-$((1+1)); exec sleep 1000'\n")
    rows.get_by_text("up-2", exact=True).wait_for()
    page.keyboard.press("Control+C")
    page.keyboard.type("echo status $?\n")
    rows.get_by_text("status 130", exact=True).wait_for()
    page.keyboard.type("exec vi\n")
    rows.get_by_text("~").nth(5).wait_for()
    page.keyboard.type(":q\n")
    shown.get_by_text("ended", exact=True).wait_for()
    page.evaluate("() => jupyterapp.commands.execute('notebook:interrupt-kernel')")
    notebook.wait()
    assert complaints == []
