"""The live graph in JupyterLab, Notebook 7 and Chromium, clicked while a cell runs."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect

from tests.support.browser import has_chromium
from tests.support.skips import needs
from tests.support.widget_page import (
    DRAWN_IN_A_SECOND,
    MIB,
    Complaints,
    frozen,
    group_files,
    interrupt,
    shown_bytes,
    tab_stops,
    until_busy,
    value,
)

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from playwright.sync_api import Locator, Page

    from tests.conftest import OpenNotebook
    from tests.support.browser import FrontEnd, Theme

pytestmark = [pytest.mark.browser, needs(has_chromium)]
LOAD = "%load_ext nsmagic\nimport os\nos.getpid()"
# Half-way up it waits for the test, which is slow on a busy machine.
CLIMB = f"""%%cgroup mem=64M pids=30 --plot --no-raise-error {sys.executable}
import time
from pathlib import Path
held = []
while True:
    if len(held) < 24 or Path("climb-on").exists():
        held.append(bytearray({MIB}))
    time.sleep(0.12)
"""
STAY = f"""%%cgroup mem=64M --plot --no-raise-error {sys.executable}
import time
held = bytearray(24 * {MIB})
time.sleep(1000)
"""


@pytest.mark.parametrize(("front", "theme"), [("lab", "light"), ("notebook", "dark")])
def test_a_cell_climbs_is_frozen_and_steered_and_dies_at_its_limit(
    lab: OpenNotebook, front: FrontEnd, theme: Theme
) -> None:
    notebook = lab([LOAD, CLIMB], front=front, theme=theme)
    complaints, page = Complaints(notebook), notebook.page
    (climb_on := notebook.server.root / "climb-on").unlink(missing_ok=True)
    notebook.start_all()
    graph = page.locator(".nsm-graph")
    graph.wait_for(timeout=30_000)
    page.wait_for_function("() => +document.querySelector('.nsm-graph').dataset.drawn > 3")
    # On a machine with other things to do, one good second counts.
    rates = (page.evaluate(DRAWN_IN_A_SECOND) for _ in range(20))
    assert any(rate >= 8 for rate in rates)

    found = group_files(f"{notebook.output(0)}-cell-*")
    graph.get_by_role("button", name="Freeze").click()
    graph.get_by_text("❄ frozen").wait_for()
    assert frozen(found)
    until_busy(page)
    page.evaluate(DRAWN_IN_A_SECOND)  # a sample from before may still be on its way
    flat = shown_bytes(graph, "anon")
    page.evaluate(DRAWN_IN_A_SECOND)
    assert shown_bytes(graph, "anon") == flat
    slider = graph.get_by_role("slider", name="memory.max")
    slider.press("ArrowLeft")
    graph.locator(".nsm-graph-log", has_text="memory.max =").wait_for()
    limit = int(value(found, "memory.max", "memory.limit_in_bytes"))
    assert limit < 64 * MIB
    expect(graph.locator(".nsm-graph-value", has_text="memory.max")).to_contain_text(
        f"{limit / MIB:.1f} MiB"
    )
    graph.get_by_role("button", name="Thaw").click()
    expect(graph.locator(".nsm-graph-state")).to_have_text("")
    assert not frozen(found)

    climb_on.touch()
    notebook.wait(timeout=60)
    graph.locator(".nsm-graph-log", has_text="OOM kill: ").wait_for()
    graph.get_by_text("■ gone").wait_for()
    assert shown_bytes(graph, "peak") == pytest.approx(limit, rel=0.05)
    assert "memory limit of" in notebook.output(1)
    assert "OOM kill: " in stays_without_a_kernel(notebook.save())
    assert complaints.all() == []


def stays_without_a_kernel(saved: NotebookNode) -> str:
    """The text of the one picture that nbconvert shows of the saved graph."""
    (still,) = [out.data for out in saved.cells[1].outputs if "image/png" in out.get("data", {})]
    html, _ = HTMLExporter().from_notebook_node(saved)  # type: ignore[no-untyped-call]
    assert f"data:image/png;base64,{still['image/png'][:40]}" in html
    return str(still["text/plain"])


@pytest.mark.parametrize(("front", "theme"), [("lab", "light"), ("notebook", "light")])
def test_a_page_reloaded_while_the_cell_runs_has_the_whole_graph(
    lab: OpenNotebook, front: FrontEnd, theme: Theme
) -> None:
    notebook = lab([LOAD + "\n%nsmap", STAY], front=front, theme=theme)
    complaints, page = Complaints(notebook), notebook.page
    notebook.start_all()
    graph = page.locator(".jp-Notebook .nsm-graph")
    graph.wait_for(timeout=30_000)
    page.wait_for_function("() => +document.querySelector('.nsm-graph').dataset.drawn > 12")
    if front == "lab":
        second_view(page, graph)
    notebook.save()
    page.reload()
    graph.wait_for(timeout=30_000)
    page.locator(".nsm-map-chip").first.wait_for()
    # On a busy machine the map above grows, and the chart moves away from the pointer.
    page.add_style_tag(content=".nsm-map-picture { height: 200px }")
    page.wait_for_function("() => +document.querySelector('.nsm-graph').dataset.drawn > 3")
    until_busy(page)
    reads_and_zooms(page, graph)
    graph.get_by_role("button", name="Kill").click()
    graph.get_by_role("button", name="Kill all?").click()
    graph.get_by_text("■ gone").wait_for()
    assert complaints.all() == []


# In the first the chart draws what the pointer did.
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
# Which second the readout tells of.
AT = "+document.querySelector('.nsm-graph-at').textContent.match(/^at ([\\d.]+) s/)?.[1]"


def second_view(page: Page, graph: Locator) -> None:
    graph.locator(".nsm-title").click(button="right")
    page.locator(".lm-Menu-item", has_text="Create New View for Cell Output").click()
    page.locator(".jp-LinkedOutputView .nsm-graph[data-drawn]").wait_for()
    tab = page.locator(".lm-TabBar-tab", has_text="Output View")
    tab.locator(".lm-TabBar-tabCloseIcon").click()


def reads_and_zooms(page: Page, graph: Locator) -> None:
    """By keys to the first sample that is kept, from before this page; by mouse into a part."""
    # Six tenths of the ten seconds that are shown have samples, or of all where it takes longer.
    page.wait_for_function("() => +document.querySelector('.nsm-graph').dataset.at > 7")
    graph.get_by_role("button", name="Pause").click()
    chart = graph.locator(".nsm-graph-chart").first
    at, readout = (graph.locator(f".nsm-graph-{part}").first for part in ("at", "readout"))
    chart.focus()
    page.keyboard.press("ArrowLeft")
    for _ in range(40):
        page.keyboard.press("Shift+ArrowLeft")
    expect(at).to_have_text(re.compile(r"^at 0(\.\d)? s$"))
    expect(readout).to_contain_text(re.compile(r"anon 0 B.*memory.max 64.0 MiB"))

    area = chart.locator(".u-over").bounding_box()
    assert area is not None
    left, middle, width = area["x"], area["y"] + area["height"] / 2, area["width"]
    page.mouse.move(left + 0.3 * width, middle)
    expect(at).to_have_text(re.compile(r"^at [1-9]"))
    started = float(at.inner_text().split()[1])
    page.mouse.down()
    page.mouse.move(left + 0.6 * width, middle, steps=4)
    page.evaluate(TWO_FRAMES)
    ended = float(at.inner_text().split()[1])
    page.mouse.up()
    follow = graph.get_by_role("button", name="30 s")
    expect(follow).to_have_attribute("aria-pressed", "false")
    # The pointer rests where another sample is now, and the readout names one that is seen.
    between = f"([low, high]) => low < {AT} && {AT} < high"
    page.wait_for_function(between, arg=[started, ended])
    page.mouse.move(left + 1, middle)
    # The left end is where the mouse went down, as exactly as there are samples.
    page.wait_for_function(between, arg=[started - 0.6, started + 0.6])
    chart.focus()
    page.keyboard.press("Escape")
    expect(follow).to_have_attribute("aria-pressed", "true")
    expect(graph.get_by_role("button", name="Pause")).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_at_400_pixels_all_is_legible_and_in_reach_of_keys(lab: OpenNotebook, theme: Theme) -> None:
    notebook = lab([LOAD, STAY], front="notebook", theme=theme)
    complaints, page = Complaints(notebook), notebook.page
    page.set_viewport_size({"width": 400, "height": 1500})
    notebook.start_all()
    graph = page.locator(".nsm-graph")
    graph.wait_for(timeout=30_000)
    page.wait_for_function("() => +document.querySelector('.nsm-graph').dataset.drawn > 12")
    cut = """el => [...el.querySelectorAll('*')].filter(part => part.checkVisibility() &&
        part.getBoundingClientRect().right > el.getBoundingClientRect().right)
        .map(part => `${part.className} ${part.textContent}`)"""
    assert graph.evaluate(cut) == []
    stops = tab_stops(page, graph)
    assert "" not in stops, stops
    titles = ("Memory: ", "CPU: ", "Processes: ")
    keys = ["30 s", "2 min", "All", "Pause", *titles, "Freeze", "Kill"]
    sliders = ["memory.max", "cpu.max", "pids.max"]
    expected = [*keys, *sliders]
    assert len(stops) == len(expected), stops
    assert all(stop.startswith(name) for stop, name in zip(stops, expected, strict=True)), stops
    for key, role in (("Freeze", "button"), ("memory.max", "slider"), ("Memory: ", "img")):
        expect(graph.get_by_role(role, name=re.compile(key)).first).to_be_visible()  # type: ignore[arg-type]
    freeze = graph.get_by_role("button", name="Freeze")
    freeze.focus()
    page.keyboard.press("Enter")
    graph.get_by_role("status").filter(has_text="❄ frozen").wait_for()
    page.keyboard.press("Enter")
    expect(graph.get_by_role("status").first).to_have_text("")
    notebook.screenshot(f"graph-400-{theme}")
    interrupt(page)
    graph.get_by_text("■ gone").wait_for()
    assert complaints.all() == []


MANY = """%load_ext nsmagic
from nsmagic.widgets.cgroup_graph import CgroupGraph
from nsmagic.widgets.graph_fields import Reading
from nsmagic.widgets.graph_track import Track
from nsmagic.wish.limits import Sample
track = Track(0)
def readings(first, last):
    for n in range(first, last):
        sample = Sample(at=n / 10, values={"mem.anon": n * 1000})
        yield n, Reading(sample=sample, limits={}, processes={})
for _, each in readings(0, 5000):
    track.add(each)
graph = CgroupGraph("many", ["mem"], track)
graph"""
MORE = """for n, each in readings(5000, 10_000):
    graph.push(*track.add(each), each, send=n % 10 == 9)"""


def test_ten_thousand_samples_are_bounded_and_do_no_harm(lab: OpenNotebook) -> None:
    notebook = lab([MANY, MORE])
    complaints, page = Complaints(notebook), notebook.page
    notebook.start_all()
    graph = page.locator(".nsm-graph[data-at='999.9']")
    graph.wait_for(timeout=60_000)
    graph.get_by_role("button", name="All").click()
    chart = graph.get_by_role("img")
    chart.focus()
    page.keyboard.press("ArrowLeft")
    expect(chart).to_have_accessible_name(re.compile("^Memory: at 16:39.8, anon 9.5"))
    notebook.wait()
    assert complaints.all() == []
