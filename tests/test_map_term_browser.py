"""The namespace map and terminals in JupyterLab, Notebook 7 and Chromium."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support.browser import has_chromium
from tests.support.cell_run import UNTIL_STOPPED
from tests.support.skips import needs
from tests.support.widget_page import Complaints, group_files, interrupt, tab_stops, value

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.conftest import OpenNotebook
    from tests.support.browser import FrontEnd

pytestmark = [pytest.mark.browser, needs(has_chromium)]


def test_the_map_follows_a_cell_and_outlives_its_kernel(lab: OpenNotebook) -> None:
    inside = "%%unshare --user --map-root-user --pid --net --mount-proc /bin/sh\nsleep 98765"
    notebook = lab(["%load_ext nsmagic\n%nsmap", "%cgplot self", inside], theme="dark")
    complaints, page = Complaints(notebook), notebook.page
    notebook.start_all()
    shown = page.locator(".nsm-map")
    shown.wait_for(timeout=30_000)
    search = shown.get_by_role("searchbox", name="Filter")
    search.fill("sleep 98765")  # other programs of this machine make namespaces too
    chip = shown.locator(".nsm-map-chip.nsm-new[aria-label^='net namespace']")
    chip.click()
    detail = shown.locator(".nsm-map-detail")
    detail.locator("code", has_text=re.compile(r"^%%nsenter -t \d+ --net$")).wait_for()
    assert re.search(r"owned by\s+user:\[\d+\]", detail.inner_text())
    assert re.search(r"\d+\s+sleep 98765", detail.inner_text())
    chip.press("ArrowLeft")
    page.keyboard.press("Enter")
    detail.get_by_text("4026531").first.wait_for()

    expect(shown.locator(".nsm-map-label")).to_have_count(1)
    # Namespaces that other programs left since then are drawn whatever the filter says.
    ipc = ".nsm-map-chip:not(.nsm-gone)[aria-label^='ipc namespace ']"
    shown.get_by_role("button", name=re.compile(r"^ipc namespaces.*Hide")).press("Enter")
    expect(shown.locator(ipc)).to_have_count(0)
    shown.get_by_role("button", name="+ ipc").press("Enter")
    expect(shown.locator(ipc)).to_have_count(1)
    stops = tab_stops(page, shown)
    assert "" not in stops, stops
    assert stops[:3] == ["Filter", "Owners", "Mark as seen"]
    search.fill("")

    interrupt(page)
    notebook.wait()
    shown.get_by_text("gone since the last look").first.wait_for()
    page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    for stopped in (shown, page.locator(".nsm-graph")):
        stopped.get_by_text("the kernel has stopped").wait_for()
    assert complaints.all() == []


@pytest.mark.parametrize("front", ["lab", "notebook"])
def test_terminals_in_a_box_while_a_cell_runs(lab: OpenNotebook, front: FrontEnd) -> None:
    make = """%load_ext nsmagic
import os
os.environ["HOME"] = "/nowhere"  # whatever the user's ~/.bashrc does
%cgroup mem=64M
%unshare --name web --uts --pid --net --mount-proc hostname web
os.getpid()"""
    cells = [make, "%box term web", "%box term web", "%cgplot web mem", UNTIL_STOPPED]
    notebook = lab(cells, theme="dark" if front == "lab" else "light", front=front)
    complaints, page = Complaints(notebook), notebook.page
    page.set_viewport_size({"width": 1200, "height": 2000})
    notebook.start_all()
    page.locator(".nsm-graph[data-drawn]").wait_for(timeout=30_000)
    first, second = (page.locator(".nsm-term").nth(place) for place in range(2))
    types(page, first, "hostname; ps -e; ls -d --color=always /usr; stty size\n")
    first.locator(".xterm-rows").get_by_text(re.compile(r"^\d\d+ \d\d+$")).wait_for()
    assert first.locator(".xterm-rows").get_by_text("web", exact=True).count() >= 1
    # What it says shows that it has the terminal: Ctrl-C before that would be bash's.
    types(page, first, "sh -c 'echo up-$((1+1)); exec sleep 1000'\n")
    first.locator(".xterm-rows").get_by_text("up-2", exact=True).wait_for()
    page.keyboard.press("Control+C")
    page.keyboard.type("echo status $?\n")
    first.locator(".xterm-rows").get_by_text("status 130", exact=True).wait_for()

    types(page, second, "exec top -d 1\n")
    second.locator(".xterm-rows").get_by_text(re.compile(r"^\s*PID USER")).wait_for()
    types(page, first, "vi\n")
    first.locator(".xterm-rows").get_by_text("~").nth(5).wait_for()
    page.keyboard.press("Shift+Escape")  # leaves the terminal and not vi
    expect(first.locator(".xterm-helper-textarea")).not_to_be_focused()
    narrower(first)
    types(page, first, ":q\n")
    expect(first.locator(".xterm-rows").get_by_text("~")).to_have_count(0)
    page.keyboard.type("stty size\n")
    first.locator(".xterm-rows").get_by_text(re.compile(r"^9 \d\d+$")).wait_for()

    paper = "rgb(17, 17, 17)" if front == "lab" else "rgb(255, 255, 255)"
    for screen in page.locator(".nsm-term .xterm-scrollable-element").all():
        expect(screen).to_have_css("background-color", paper)
    moves_the_limit_of_a_box(page, notebook.output(0).splitlines()[-1])
    notebook.screenshot(f"terminals-{front}")
    interrupt(page)
    notebook.wait()
    page.evaluate(REMOVE)
    for term in (first, second):
        term.get_by_text(re.compile("^the shell was killed by")).first.wait_for()
    assert complaints.all() == []


# A cell of its own would be below the terminals: the kernel is asked as a console asks it.
REMOVE = """() => jupyterapp.shell.currentWidget.sessionContext.session.kernel
    .requestExecute({ code: '%box rm web' }).done.then(() => null)"""


def types(page: Page, term: Locator, keys: str) -> None:
    """Click a terminal and type."""
    term.locator(".xterm").click()
    page.keyboard.type(keys)


def narrower(term: Locator) -> None:
    """Drag its lower edge up until nine rows are left."""
    term.locator(".nsm-term-place").evaluate(
        """el => {
            const row = el.querySelector('.xterm-rows > div').getBoundingClientRect().height;
            el.style.height = `${Math.ceil(9 * row) + 4}px`;
        }"""
    )


def moves_the_limit_of_a_box(page: Page, kernel: str) -> None:
    """The slider moves memory.max of a running box, and what is drawn moves with it."""
    graph = page.locator(".nsm-graph")
    graph.get_by_role("slider", name="memory.max").press("ArrowRight")
    graph.locator(".nsm-graph-log", has_text="memory.max =").wait_for()
    limit = int(value(group_files(f"{kernel}-web"), "memory.max", "memory.limit_in_bytes"))
    assert limit > 64 * 2**20
    expect(graph.locator(".nsm-graph-value", has_text="memory.max")).to_contain_text(
        f"{limit / 2**20:.1f} MiB"
    )
