"""LIMITS and METRICS: what is typed, in both spellings, and what is refused."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsmagic.wish.errors import WishError
from nsmagic.wish.limits import (
    BY_KEY,
    BY_NAME,
    LIMITS,
    METRICS,
    PLOTS,
    CpuQuota,
    Sample,
    columns,
    human_size,
    overridden,
    parse_limits,
    rates,
    unite_limits,
    values_of,
    with_implied,
)


def files(line: str, version: int) -> list[str]:
    limits = parse_limits(shlex.split(line))
    return [text for limit in limits for text in limit.spelled(version, values_of(limits))]


@pytest.mark.parametrize(
    ("line", "v2", "v1"),
    [
        ("mem=64M", ["memory.max=67108864"], ["memory.limit_in_bytes=67108864"]),
        ("mem=max", ["memory.max=max"], ["memory.limit_in_bytes=-1"]),
        ("memory.limit_in_bytes=-1", ["memory.max=max"], ["memory.limit_in_bytes=-1"]),
        ("memhigh=1.5G", ["memory.high=1610612736"], []),
        ("memlow=1k", ["memory.low=1024"], ["memory.soft_limit_in_bytes=1024"]),
        ("memlow=1B", ["memory.low=1"], ["memory.soft_limit_in_bytes=1"]),
        (
            "cpu=50%",
            ["cpu.max=50000 100000"],
            ["cpu.cfs_quota_us=50000", "cpu.cfs_period_us=100000"],
        ),
        (
            "cpu=1.5",
            ["cpu.max=150000 100000"],
            ["cpu.cfs_quota_us=150000", "cpu.cfs_period_us=100000"],
        ),
        (
            "cpu=0.5%",
            ["cpu.max=5000 1000000"],
            ["cpu.cfs_quota_us=5000", "cpu.cfs_period_us=1000000"],
        ),
        ("cpu=max", ["cpu.max=max 100000"], ["cpu.cfs_quota_us=-1", "cpu.cfs_period_us=100000"]),
        (
            "cpu.cfs_period_us=50000 cpu.cfs_quota_us=10000",
            ["cpu.max=10000 50000"],
            ["cpu.cfs_quota_us=10000", "cpu.cfs_period_us=50000"],
        ),
        (
            "'cpu.max=max 50000'",
            ["cpu.max=max 50000"],
            ["cpu.cfs_quota_us=-1", "cpu.cfs_period_us=50000"],
        ),
        ("cpu.shares=2048", ["cpu.weight=200"], ["cpu.shares=2048"]),
        ("cpu.shares=768", ["cpu.weight=75"], ["cpu.shares=768"]),
        ("cpu.shares=512", ["cpu.weight=50"], ["cpu.shares=512"]),
        ("cpu.shares=2", ["cpu.weight=1"], ["cpu.shares=2"]),
        ("weight=10000", ["cpu.weight=10000"], ["cpu.shares=102400"]),
        ("pids=20", ["pids.max=20"], ["pids.max=20"]),
        (
            "cpus=3,0-1 mems=0",
            ["cpuset.cpus=0-1,3", "cpuset.mems=0"],
            ["cpuset.cpus=0-1,3", "cpuset.mems=0"],
        ),
        ("oomgroup=1", ["memory.oom.group=1"], []),
        (
            "mem=64M swap=16M",
            ["memory.max=67108864", "memory.swap.max=16777216"],
            ["memory.limit_in_bytes=67108864", "memory.memsw.limit_in_bytes=83886080"],
        ),
        (
            "memory.memsw.limit_in_bytes=80M mem=64M",
            ["memory.max=67108864", "memory.swap.max=16777216"],
            ["memory.limit_in_bytes=67108864", "memory.memsw.limit_in_bytes=83886080"],
        ),
        (
            "io=sda:wbps=1M,riops=10 'io.max=sda rbps=max'",
            ["io.max=sda rbps=max wbps=1048576 riops=10"],
            [
                "blkio.throttle.read_bps_device=sda 0",
                "blkio.throttle.write_bps_device=sda 1048576",
                "blkio.throttle.read_iops_device=sda 10",
            ],
        ),
        (
            "'blkio.throttle.write_bps_device=8:0 512'",
            ["io.max=8:0 wbps=512"],
            ["blkio.throttle.write_bps_device=8:0 512"],
        ),
        (
            "io=8:16:rbps=1M",
            ["io.max=8:16 rbps=1048576"],
            ["blkio.throttle.read_bps_device=8:16 1048576"],
        ),
        ("'devices.deny=c 1:3 rwm'", [], ["devices.deny=c 1:3 rwm"]),
        ("io.weight=200", ["io.weight=200"], ["blkio.bfq.weight=200"]),
        ("cpu.cfs_burst_us=5000", ["cpu.max.burst=5000"], ["cpu.cfs_burst_us=5000"]),
        ("hugetlb.2MB.max=4M", ["hugetlb.2MB.max=4194304"], ["hugetlb.2MB.limit_in_bytes=4194304"]),
        ("cpuset.cpu_exclusive=1", ["cpuset.cpus.partition=root"], ["cpuset.cpu_exclusive=1"]),
        ("memory.kmem.limit_in_bytes=1M", [], ["memory.kmem.limit_in_bytes=1048576"]),
    ],
)
def test_both_spellings(line: str, v2: list[str], v1: list[str]) -> None:
    assert files(line, 2) == v2
    assert files(line, 1) == v1
    limits = parse_limits(shlex.split(line))
    assert parse_limits([word for limit in limits for word in limit.words]) == limits


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mme=64M", "nearest: mem"),
        ("memory=64M", "nearest: mem"),
        ("memory.limit_in_byte=64M", "nearest: memory.limit_in_bytes"),
        ("cpu.share=5", "nearest: cpu.shares"),
        ("rbps=1M", "type one as io=sda:wbps=1M"),
        ("=3", "no limit is called ''"),
        ("mem", "mem=64M"),
        ("mem=64MB", "1000^2 or 64 x 1024^2"),
        ("mem=64", "64 bytes, less than a page"),
        ("memory.max=4095", "a unit is missing"),
        ("mem=64Mb", "bits or in bytes"),
        ("mem=64m=3", "not a size"),
        ("mem=-1", "not a size"),
        ("mem=1e9", "not a size"),
        ("mem=1X", "no unit of this name"),
        ("mem=٣", "not a size"),
        ("mem=0.3", "not a whole number of bytes"),
        ("mem=16E", "more than 8 EiB"),
        ("cpu=0.01%", "less than Linux can do"),
        ("cpu=nan", "not a share"),
        ("cpu=-50%", "not a share"),
        ("cpu.cfs_period_us=100000", "limits nothing"),
        ("cpu.cfs_quota_us=5", "least quota"),
        ("cpu.max=1_000", "not a whole number"),
        ("weight=0", "weight from 1 to 10000"),
        ("cpu.shares=1", "shares from 2 to 262144"),
        ("pids=99999999", "more than the 4,194,304"),
        ("cpus=3-1", "ends before it begins"),
        ("cpus=", "not a list"),
        ("oomgroup=yes", "neither 0 nor 1"),
        ("io=sda:bps=1", "bps=1 is none of these"),
        ("io=../sda:rbps=1", "names no block device"),
        ("io=sda:rbps=0", "least is 1"),
        ("io=sda:riops=1K", "whole number of operations"),
        ("io=sda:rbps=1 io=sda:rbps=2", "rbps of sda is given two values"),
        ("mem=1M mem=1M", "mem is given twice"),
        ("mem=1M memory.max=2M", "mem and memory.max are the same limit"),
        ("cpu=1 cpu.cfs_quota_us=5000", "are the same limit"),
        ("memory.memsw.limit_in_bytes=1G", "give mem= too"),
        ("mem=2G memory.memsw.limit_in_bytes=1G", "as much or more"),
        ("memory.current=5", "read, not set"),
        ("cgroup.freeze=1", "%cgroup freeze"),
        ("tasks=123", "%%cgroup"),
    ],
)  # fmt: skip
def test_refused_with_the_reason(line: str, message: str) -> None:
    with pytest.raises(WishError) as caught:
        parse_limits(shlex.split(line))
    assert message in str(caught.value)


def test_three_spellings_of_one_limit_are_equal() -> None:
    short, v2, v1 = (
        parse_limits([f"{key}=64MiB"]) for key in ("mem", "memory.max", "memory.limit_in_bytes")
    )
    assert short == v2 == v1
    assert v1[0].typed == "memory.limit_in_bytes"


def test_mem_forbids_swap_unless_swap_is_given() -> None:
    implied = with_implied(parse_limits(["mem=64M"]))
    assert [str(limit) for limit in implied] == ["mem=64M", "swap=0"]
    assert [limit.implied for limit in implied] == [False, True]
    assert with_implied(parse_limits(["swap=1M", "mem=64M"]))[1].value == 1 << 20
    assert with_implied(parse_limits(["mem=max"]))[1].value is None
    assert with_implied(parse_limits(["pids=3"])) == parse_limits(["pids=3"])


def test_stacked_lines_unite_and_sticky_ones_are_overridden() -> None:
    mem, more = parse_limits(["mem=64M"]), parse_limits(["pids=3", "mem=64M"])
    assert unite_limits(mem, more) == more
    with pytest.raises(WishError, match="mem is given twice"):
        unite_limits(mem, parse_limits(["mem=65M"]))
    io = unite_limits(parse_limits(["io=sda:rbps=1"]), parse_limits(["io=sda:wbps=2"]))
    assert [str(limit) for limit in io] == ["io=sda:rbps=1,wbps=2"]
    assert overridden(more, parse_limits(["pids=9"])) == parse_limits(["mem=64M", "pids=9"])


sizes = st.one_of(st.none(), st.just(0), st.integers(2 * 4096, (1 << 62) - 1))
VALUES = {
    "SIZE": sizes,
    "COUNT": st.one_of(st.none(), st.integers(0, 1 << 22)),
    "SWITCH": st.booleans(),
    "WEIGHT": st.integers(1, 10_000).map(float),
    "LIST": st.none() | st.frozensets(st.integers(0, 9999), min_size=1),
    "CPU": st.builds(
        CpuQuota,
        quota=st.one_of(st.none(), st.integers(1000, 10**9)),
        period=st.integers(1000, 10**6),
    ),
}
METAVARS = {
    "mem": "SIZE", "memhigh": "SIZE", "memlow": "SIZE", "memory.min": "SIZE", "pids": "COUNT",
    "cpu": "CPU", "weight": "WEIGHT", "cpus": "LIST", "mems": "LIST", "oomgroup": "SWITCH",
    "cpu.idle": "SWITCH", "swap": "SIZE",
}  # fmt: skip


@given(st.data(), st.sampled_from(sorted(METAVARS)), st.sampled_from([1, 2]))
def test_what_is_written_reads_back_the_same(data: st.DataObject, key: str, version: int) -> None:
    value: Any = data.draw(VALUES[METAVARS[key]])
    side = BY_KEY[key].side(version)
    if side is None:
        return
    mem = data.draw(st.integers(0, (1 << 61) - 1))
    if key == "swap" and value is not None:
        value //= 2
    texts = {"memory.limit_in_bytes": f"{mem}"} | dict(side.write(value, {"mem": mem}))
    back = side.read(texts)
    assert back == (pytest.approx(value, rel=0.02, abs=0.1) if key == "weight" else value)


@given(st.data(), st.sampled_from(sorted(METAVARS)))
def test_what_is_shown_reads_back_the_same(data: st.DataObject, key: str) -> None:
    value: Any = data.draw(VALUES[METAVARS[key]])
    unit = BY_KEY[key].unit
    assert unit.read(unit.show(value)) == value


@given(st.integers(2, 1 << 18))
def test_shares_survive_the_scale_of_weights(shares: int) -> None:
    assert files(f"cpu.shares={shares}", 1) == [f"cpu.shares={shares}"]


@given(st.text())
def test_any_word_is_read_or_refused(word: str) -> None:
    for text in (
        word,
        f"mem={word}",
        f"cpu={word}",
        f"cpus={word}",
        f"io={word}",
        f"weight={word}",
    ):
        try:
            parse_limits([text])
        except WishError:
            continue


def test_the_tables_are_whole() -> None:
    short = "mem memhigh memlow swap cpu weight pids cpus mems io oomgroup"
    assert {row.key for row in LIMITS} >= set(short.split(" "))
    for row in LIMITS:
        assert row.v2 or row.v1, row.key
        assert bool(row.instead) == (row.v2 is None or row.v1 is None), row.key
        assert all(BY_NAME[name] is row for name in row.names)
        row.unit.read(row.unit.example)
    assert len({row.name for row in METRICS}) == len(METRICS)
    assert {row.plot for row in METRICS} == set(PLOTS)
    assert all(row.sources for row in METRICS)
    assert all(bool(row.rate_unit) == row.cumulative for row in METRICS)


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "max"), (0, "0 B"), (1023, "1023 B"), (64 << 20, "64 MiB"), (67000000, "63.9 MiB")],
)
def test_sizes_for_people(size: int | None, text: str) -> None:
    assert human_size(size) == text


def test_rates_and_columns() -> None:
    first = Sample(at=10.0, values={"cpu.usage": 1.0, "mem.current": 5.0, "io.rbytes": None})
    second = Sample(at=10.5, values={"cpu.usage": 1.25, "mem.current": 6.0, "io.rbytes": 7.0})
    assert rates(first, second) == {"cpu.usage": 0.5, "io.rbytes": None}
    assert rates(second, first) == {"cpu.usage": None, "io.rbytes": None}
    found = columns([first, second])
    assert found["seconds"] == [0.0, 0.5]
    assert found["mem.current"] == [5.0, 6.0]
    assert found["cpu.usage/s"] == [None, 0.5]
    assert "mem.current/s" not in found
    assert first["cpu.usage"] == 1.0
    assert first["pids.current"] is None
    with pytest.raises(KeyError):
        first["cpu"]
    assert columns([]) == {"seconds": []}
