"""Graphs of a real group over the protocol: what is sent, what controls do, what ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cell_run import UNTIL_STOPPED
from tests.support.kernel_driver import KernelDriver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.kernel_driver import CellRun

pytestmark = pytest.mark.linux
BEGIN = """
import os, subprocess, threading, time
from nsmagic.linux.cgroups.group import make_group
from nsmagic.linux.cgroups.places import Places
from nsmagic.notebook.graphs import close_graphs, keeper
from nsmagic.wish.limits import BY_KEY, parse_limits
places, rows = Places(), [BY_KEY["mem"], BY_KEY["pids"]]
group = make_group(places.find(rows), os.getpid(), "seen", rows)
group.set(parse_limits(["mem=64M", "pids=20"]))
graph = keeper().open(group, ("mem", "pids"))
assert "image/png" in graph.still()  # of one sample: nbclient hears of no later picture
def threads():
    return [thread for thread in threading.enumerate() if thread.name == "nsmagic-graphs"]
def until(test):
    end = time.monotonic() + 60
    while not test() and time.monotonic() < end:
        time.sleep(0.02)
    return test()
"""
END = "close_graphs(); group.exists() and group.remove(); places.close(); assert not threads()"


@pytest.fixture(scope="module")
def seen(kernel: KernelDriver) -> Iterator[KernelDriver]:
    kernel.run(BEGIN, timeout=60, raise_error=True)
    yield kernel
    kernel.run(END, timeout=60, raise_error=True)


def messages(run: CellRun) -> list[dict[str, Any]]:
    data = [m.content["data"] for m in run.messages if m.kind == "comm_msg"]
    return [each["content"] for each in data if each.get("method") == "custom"]


def test_samples_come_while_a_cell_runs_and_a_late_view_gets_all(seen: KernelDriver) -> None:
    cell = seen.start(UNTIL_STOPPED)
    seen.wait(cell, until=lambda run: len(messages(run)) >= 10)
    seen.interrupt()
    seen.wait(cell)
    late = seen.run("late = keeper().open(group, ('mem',)); print(len(late.track.rows))")
    assert int(late.stdout) >= 10
    (opened,) = [m.content["data"] for m in late.messages if m.kind == "comm_open"
                 if "history" in str(m.content["data"].get("buffer_paths"))]  # fmt: skip
    assert opened["state"]["limits"]["mem"] == {"value": 64 * 2**20, "text": "64M"}
    seen.run("late.close(); assert len(threads()) == 1", raise_error=True)


def test_a_closed_graph_is_forgotten_when_another_is_opened(seen: KernelDriver) -> None:
    code = """import gc, weakref
closed = []
for _ in range(20):
    closed.append(weakref.ref(keeper().open(group, ("mem",))))
    closed[-1]().close()
held = keeper().open(group, ("mem",), hold=True)
held.close()
last = keeper().open(group, ("mem",))
gc.collect()
(watched,) = keeper()._watched.values()
print(sum(each() is not None for each in closed), last in watched.graphs, held in watched.graphs)
keeper().release(held, "")
last.close()
print(watched.holds(held), keeper().release(held, "again"), watched.ended)
"""
    run = seen.run(code, raise_error=True, timeout=60)
    assert run.stdout.splitlines() == ["0 True False", "False None False"]


def test_controls_change_the_files_and_tell_what_was_read_back(seen: KernelDriver) -> None:
    ask = "graph._on_message(graph, {}, [])"
    limit = ask.format("{'ask': 'limit', 'key': 'mem', 'value': 96 << 20, 'id': 1}")
    code = f"""{limit}
assert until(lambda: graph.limits_now["mem"]["value"] == 96 << 20)
assert next(r.value for r in group.limits() if r.row.key == "mem") == 96 << 20
"""
    run = seen.run(code, raise_error=True)
    assert {"done": 1} in messages(run)
    assert [e["text"] for m in messages(run) for e in m.get("events", ())] == ["memory.max = 96M"]
    code = """child = subprocess.Popen(["sleep", "600"])
group.add(child.pid)
graph._on_message(graph, {"ask": "freeze", "id": 2}, [])
assert group.is_frozen() and until(lambda: graph.status_now == "frozen")
graph._on_message(graph, {"ask": "thaw"}, [])
assert not group.is_frozen() and until(lambda: graph.status_now == "running")
graph._on_message(graph, {"ask": "kill"}, [])
assert child.wait(60) == -9
group.set(parse_limits(["mem=64M"]))
"""
    seen.run(code, raise_error=True)


def test_the_thread_ends_when_nobody_looks_and_begins_anew_when_somebody_does(
    seen: KernelDriver,
) -> None:
    code = """from nsmagic.widgets import live
live.FORGOTTEN = 0.2  # a tab that was closed says nothing any more
assert until(lambda: not threads())
rows = len(graph.track.rows)
graph._on_message(graph, {"ask": "here"}, [])
assert until(lambda: threads() and len(graph.track.rows) > rows)
live.FORGOTTEN = 35.0
"""
    assert seen.run("graph.while_busy", raise_error=True).result == {"text/plain": "True"}
    seen.run(code, raise_error=True)


def test_axes_of_ones_own(seen: KernelDriver) -> None:
    code = """import nsmagic
import matplotlib; matplotlib.use("agg")
axes = [nsmagic.plot(group), nsmagic.plot(graph, "pids")]
assert [each.get_ylabel() for each in axes] == ["Memory", "Processes"]
assert set(graph.samples) > {"seconds", "mem.anon", "mem.max_hits/s"}
"""
    seen.run(code, timeout=60, raise_error=True)
    for wrong, words in (("group, 'ram'", "no panel is called 'ram'"), ("'sea'", "called 'sea'")):
        error = seen.run(f"nsmagic.plot({wrong})").error
        assert error is not None
        assert words in error["evalue"]


LAST_WORDS = """
import threading
%nsmap
%cgplot self
iopub = get_ipython().kernel.iopub_thread.thread
def join(timeout, whole=iopub.join, alive=threading.enumerate):  # no variables are left by then
    with open({path!r}, "w") as file:
        print(*(thread.name for thread in alive()), file=file)
    whole(timeout)
iopub.join = join
"""


def test_the_threads_end_before_the_kernels_last_words(tmp_path: Path) -> None:
    """When ipykernel's thread has ended, who sends does so itself: two mix up their frames."""
    path = tmp_path / "threads"
    with KernelDriver() as kernel:
        kernel.run(LAST_WORDS.format(path=str(path)), timeout=60, raise_error=True)
        names = kernel.run("[t.name for t in threading.enumerate() if 'nsmagic' in t.name]").text
        assert "nsmagic-nsmap" in names
        assert "nsmagic-graphs" in names
    assert "MainThread" in path.read_text()
    assert "nsmagic" not in path.read_text()


BAD_LIMIT = "{'ask': 'limit', 'key': 'mem', 'value': 'x', 'id': 5}"


@pytest.mark.parametrize("odd", ["None", "{'ask': 'rm', 'id': 5}", "{'ask': ['x']}", BAD_LIMIT])
def test_odd_messages_do_nothing(seen: KernelDriver, odd: str) -> None:
    run = seen.run(f"graph._on_message(graph, {odd}, [])", raise_error=True)
    assert run.stderr == ""


def test_a_removed_group_ends_the_graph_and_leaves_a_picture(fresh_kernel: KernelDriver) -> None:
    fresh_kernel.run(BEGIN, timeout=60, raise_error=True)
    shown = fresh_kernel.run("graph", raise_error=True)
    run = fresh_kernel.run(
        "group.remove()\nassert until(lambda: not threads()), graph.status_now\n" + END, timeout=90,
        raise_error=True,
    )  # fmt: skip
    assert [m["status"] for m in messages(run) if "status" in m] == ["gone"]
    late = fresh_kernel.run(
        "graph._on_message(graph, {'ask': 'freeze', 'id': 9}, [])", raise_error=True
    )
    assert {"done": 9, "why": "the group seen is gone"} in messages(late)
    (still,) = [m for m in run.messages if m.kind == "update_display_data"]
    assert still.parent == shown.request
    assert {"image/png", "text/html", "text/plain"} == set(still.content["data"])


def test_a_cell_that_cannot_be_forked_leaves_no_graph_behind(fresh_kernel: KernelDriver) -> None:
    code = """import threading, time
from nsmagic.run import launch
def refused(*_, **__):
    raise OSError(11, "Resource temporarily unavailable")
kept, launch.fork_python = launch.fork_python, refused
"""
    fresh_kernel.run(code, raise_error=True)
    run = fresh_kernel.run("%%cgroup --plot pids=9\n1", timeout=60)
    assert "could not begin" in str(run.error)
    ended = """launch.fork_python = kept
for thread in threading.enumerate():
    if thread.name == "nsmagic-graphs":
        thread.join(5)
        assert not thread.is_alive()
"""
    fresh_kernel.run(ended, raise_error=True)
