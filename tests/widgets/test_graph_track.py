"""What a cgroup graph remembers and says, from readings made by hand."""

from __future__ import annotations

import base64
import math
from typing import Any

import pytest

from nsmagic.widgets.cgroup_graph import _limit_of
from nsmagic.widgets.graph_fields import FIELDS, TITLES, Reading
from nsmagic.widgets.graph_still import png
from nsmagic.widgets.graph_text import sparkline, text_of
from nsmagic.widgets.graph_track import MOST_ROWS, Track
from nsmagic.wish.limits import PLOTS, CpuQuota, Sample

MIB = 2**20


@pytest.fixture(scope="module", autouse=True)
def fonts() -> None:
    """Matplotlib keeps the files of fonts open: before anybody counts."""
    png("a B", PLOTS, Track(0))


def reading(
    at: float, *, pids: tuple[int, ...] = (7,), limits: dict[str, object] | None = None,
    frozen: bool | None = False, **values: float,
) -> Reading:  # fmt: skip
    known = {name.replace("__", "."): value for name, value in values.items()}
    return Reading(
        sample=Sample(at=at, values=known), limits=limits or {}, frozen=frozen,
        processes={pid: f"/usr/bin/hog --x{pid}" for pid in pids},
    )  # fmt: skip


def told(track: Track) -> list[tuple[str, str, str]]:
    return [(event.kind, event.plot, event.text) for event in track.events]


def test_rows_hold_rates_shares_and_limits() -> None:
    track = Track(100)
    limits = {"mem": 64 * MIB, "cpu": CpuQuota(quota=50_000), "pids": None}
    first: dict[str, Any] = {"mem__file": 5 * MIB, "mem__shmem": MIB}
    first |= {"cpu__usage": 1.0, "cpu__periods": 10, "cpu__throttled": 2}
    track.add(reading(100, limits=limits, **first))
    then = first | {"cpu__usage": 1.05, "cpu__periods": 12, "cpu__throttled": 3}
    track.add(reading(100.1, limits=limits, **then))
    columns = track.columns()
    assert columns["at"] == pytest.approx([0, 0.1])
    assert columns["cpu.usage"][1] == pytest.approx(0.5)
    assert columns["cpu.throttled"][1] == pytest.approx(0.5)
    assert columns["mem.file"][1] == 4 * MIB
    assert (columns["mem.max"][1], columns["cpu.max"][1]) == (64 * MIB, 0.5)
    assert math.isnan(columns["pids.max"][1])
    assert math.isnan(columns["io.rbytes"][1])


def test_an_oom_kill_names_who_went_after_it() -> None:
    track = Track(0)
    track.add(reading(1, pids=(7, 8), mem__oom_kills=0))
    track.add(reading(2, pids=(7, 8), mem__oom_kills=1))
    assert told(track) == []  # Linux counts it before the victim is gone
    track.add(reading(3, pids=(8,), mem__oom_kills=1))
    assert told(track) == [("oom", "mem", "OOM kill: hog 7")]
    assert track.events[0].at == 2
    track.add(reading(4, pids=(8,), mem__oom_kills=3))
    track.end(4.5, "group removed")
    assert told(track)[1:] == [("oom", "mem", "OOM kill ×2"), ("gone", "", "group removed")]


def test_what_happens_is_said_in_words_and_not_ten_times_a_second() -> None:
    track = Track(0)
    for place in range(10):
        track.add(reading(place / 10, mem__max_hits=place, limits={"mem": 64 * MIB}))
    track.add(reading(1.1, pids=(7, 8, 9, 10), limits={"mem": 128 * MIB}))
    track.add(reading(1.2, pids=(7,), limits={"mem": 128 * MIB}, frozen=True))
    track.add(reading(1.3, pids=(7,), limits={"mem": None}, frozen=False))
    assert told(track) == [
        ("max", "mem", "memory.max hit"),
        ("born", "pids", "3 processes born"),
        ("limit", "mem", "memory.max = 128M"),
        ("died", "pids", "3 processes died"),
        ("frozen", "", "frozen"),
        ("thawed", "", "thawed"),
        ("limit", "mem", "memory.max = max"),
    ]


def test_the_ring_is_bounded() -> None:
    track = Track(0)
    for place in range(MOST_ROWS + 4000):
        track.add(reading(place / 10, mem__anon=place))
    assert len(track.rows) == MOST_ROWS
    assert track.columns()["mem.anon"][0] == 4000


def test_the_still_and_the_text_also_of_nearly_nothing() -> None:
    track = Track(0)
    assert text_of("web", PLOTS, track) == "cgroup web"
    for place in range(3):
        track.add(reading(place / 10, mem__anon=place * MIB, limits={"mem": 64 * MIB}))
    track.end(0.5, "group removed")
    assert "Memory: memory.max                 64 MiB" in text_of("web", PLOTS, track)
    assert base64.b64decode(png("web", PLOTS, track)).startswith(b"\x89PNG")


def test_sparklines_keep_the_peaks() -> None:
    assert sparkline([0, 1, math.nan, 8, 0], width=5) == "▁▂ █▁"
    assert sparkline([0, 0, 8, 0, 0, 0, 0, 0], width=2) == "█▁"


def test_the_table() -> None:
    assert set(TITLES) == set(PLOTS) == {field.plot for field in FIELDS}
    assert len({field.name for field in FIELDS}) == len(FIELDS)


@pytest.mark.parametrize(
    ("key", "number"), [("mem", -1), ("mem", "64M"), ("cpu", 0), ("cpus", 1), ("mem", 1e30)]
)
def test_a_slider_says_nothing_odd(key: str, number: object) -> None:
    with pytest.raises(ValueError, match=key):
        _limit_of(key, number)
