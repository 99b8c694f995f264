"""Groups of real Linux: the same tests on hybrid v1 and, in guests, pure v2 as root and user."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nsmagic.linux.cgroups.freezing import kill_each
from nsmagic.linux.cgroups.group import found_group, make_group
from nsmagic.linux.cgroups.oom import read_counters, report
from nsmagic.linux.cgroups.oomwatch import OomWatch
from nsmagic.linux.cgroups.places import VARIABLE, Places
from nsmagic.wish.errors import CgroupError, WishError
from nsmagic.wish.limits import METRIC, Sample, parse_limits
from tests.support.groups import any_place, burn, group, groups_with_limits, python, start, used
from tests.support.skips import needs, probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nsmagic.linux.cgroups.freezing import kill_each
from nsmagic.linux.cgroups.group import Cgroup

pytestmark = [pytest.mark.linux, needs(groups_with_limits)]
MIB = 1 << 20
EAT = "blob = bytearray(100 * 2**20)"


@probe
def v1_freezer() -> str | None:
    """Is there a freezer of cgroup v1?"""
    place = any_place()
    return None if place is not None and "freezer" in place.v1 else "no cgroup v1 here"


@pytest.fixture
def plain() -> Iterator[Cgroup]:
    with group() as made:
        yield made


def taken(sampled: Cgroup) -> Sample:
    found = sampled.sample()
    assert found is not None
    return found


class TestLimits:
    @pytest.mark.parametrize("key", ["mem", "memory.max", "memory.limit_in_bytes"])
    def test_every_spelling_does_the_same(self, key: str) -> None:
        with group(f"{key}=64M") as made:
            readings = {reading.row.key: reading for reading in made.limits()}
            assert readings["mem"].value == readings["mem"].effective == 64 * MIB
            assert readings["mem"].holder in made.directories
            file = readings["mem"].files[0]
            assert file.name in {"memory.max", "memory.limit_in_bytes"}
            assert file.read_text() == f"{64 * MIB}\n"

    def test_all_are_written_and_read_back(self) -> None:
        line = ["mem=64M", "pids=20", "cpu=20%", "weight=200"]
        with group(" ".join(line)) as made:
            kept = {str(reading.limit) for reading in made.limits() if not reading.is_default}
            assert set(line) <= kept

    def test_memory_goes_up_and_down_again_with_the_swap_it_may_use(self) -> None:
        with group("mem=64M") as made:
            for size in (200, 32, 100):
                made.set(parse_limits([f"mem={size}M"]))
                values = {reading.row.key: reading.value for reading in made.limits()}
                assert values["mem"] == size * MIB
                assert values.get("swap", 0) == 0
            made.set(parse_limits(["mem=max"]))
            assert made.limits()[0].value is None

    def test_the_effective_limit_is_the_least_of_those_above(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with group("mem=32M pids=9") as outer:
            named = ":".join(str(path) for path in outer.directories)
            monkeypatch.setenv(VARIABLE, named)
            with group("mem=64M pids=5", name="inner") as inner:
                assert inner.directories[0].parent == outer.directories[0]
                readings = {reading.row.key: reading for reading in inner.limits()}
                assert readings["mem"].value == 64 * MIB
                assert readings["mem"].effective == 32 * MIB
                assert readings["mem"].holder in outer.directories
                assert readings["pids"].effective == 5
                assert readings["pids"].holder in inner.directories

    def test_a_value_that_linux_refuses_names_the_limit_and_the_file(self) -> None:
        code = "import time; x = bytearray(30 * 2**20); print(flush=True); time.sleep(60)"
        with group("mem=64M") as made:
            child = start(made, [sys.executable, "-I", "-c", code])
            assert child.stdout is not None
            child.stdout.readline()
            if "memory" in made.v1:  # v2 kills instead
                with pytest.raises(CgroupError, match=r"mem=1M: writing .*/memory.limit_in_bytes"):
                    made.set(parse_limits(["mem=1M"]))
            made.kill()

    def test_a_device_that_is_none(self, plain: Cgroup) -> None:
        with pytest.raises(CgroupError, match="no block device nosuch0"):
            plain.set(parse_limits(["io=nosuch0:rbps=1M"]))
        with pytest.raises(CgroupError, match="/dev/null is no block device"):
            plain.set(parse_limits(["io=/dev/null:rbps=1M"]))

    def test_an_absent_controller_is_an_error(self) -> None:
        with pytest.raises(
            CgroupError, match=r"net_cls.classid needs the net_cls controller"
        ) as no:
            Places().find([limit.row for limit in parse_limits(["net_cls.classid=0x10001"])])
        assert "nft" in no.value.hint

    def test_oomgroup_is_written_or_left_to_nsmagic(self) -> None:
        rows = parse_limits(["oomgroup=1", "mem=64M"])
        with group("mem=64M") as made:
            reading = made.set(rows)[-1]
            assert reading.row.key == "oomgroup"
            assert reading.value is True
            assert bool(reading.note) == ("memory" in made.v1)


class TestNames:
    @pytest.mark.parametrize(
        "name", ["../../x", "/tmp", "a/b", "", ".", "..", "x\n", "-", "x" * 65]
    )
    def test_nothing_escapes(self, name: str) -> None:
        place = Places().find()
        before = sorted(os.listdir(place.v2 or next(iter(place.v1.values()))))
        with pytest.raises(WishError):
            make_group(place, os.getpid(), name)
        with pytest.raises((WishError, CgroupError)):
            found_group(place, f"nsmagic-{name}")
        assert before == sorted(os.listdir(place.v2 or next(iter(place.v1.values()))))

    def test_an_existing_one_is_refused_and_kept(self, plain: Cgroup) -> None:
        with pytest.raises(CgroupError, match="cannot be made"):
            make_group(Places().find(), os.getpid(), "test")
        assert all(path.is_dir() for path in plain.directories)
        assert found_group(Places().find(), plain.directories[0].name) == plain


class TestMemory:
    def test_a_body_above_its_limit_is_killed_and_the_report_says_by_what(self) -> None:
        with group("mem=64M") as made:
            watch = OomWatch(made)
            poller = select.poll()
            poller.register(watch, watch.poll_for)
            before = read_counters(made)
            status, _, _ = python(made, EAT)
            found = report(made, before)
            assert poller.poll(0)
            watch.acknowledge()
            assert not poller.poll(0)
            watch.close()
            assert status == -signal.SIGKILL
            assert found.kills == 1
            assert found.after.kills == (before.kills or 0) + 1
            assert found.limit == 64 * MIB
            assert found.holder in made.directories
            assert found.peak is None or 63 * MIB < found.peak <= 64 * MIB
            if os.access("/dev/kmsg", os.R_OK) and os.geteuid() == 0:
                (victim,) = found.victims
                assert victim.name.startswith("python")
                assert victim.anon > 40 * MIB
                assert f"Killed process {victim.pid}" in victim.line
        assert not made.exists()

    def test_a_limit_above_is_named_as_the_one_that_was_hit(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with group("mem=48M") as outer:
            monkeypatch.setenv(VARIABLE, ":".join(str(path) for path in outer.directories))
            with group("mem=200M", name="inner") as inner:
                before = read_counters(inner)
                python(inner, EAT)
                found = report(inner, before, kmsg=Path("/nonexistent"))
                assert found.kills == 1
                assert found.holder in outer.directories
                assert found.limit == 48 * MIB
                assert found.victims == ()

    @pytest.mark.parametrize("log", ["/dev/kmsg", "/nonexistent"])
    def test_who_died_of_a_limit_below_is_not_ours(
        self, monkeypatch: pytest.MonkeyPatch, log: str
    ) -> None:
        # A name of its own: the log of the test before has just been written.
        with group("mem=80M", name="outer") as outer:
            monkeypatch.setenv(VARIABLE, ":".join(str(path) for path in outer.directories))
            with group("mem=48M", name="inner") as inner:
                before = read_counters(outer)
                assert python(inner, EAT)[0] == -signal.SIGKILL
                found = report(outer, before, kmsg=Path(log))
                assert (found.kills, found.victims, found.holder) == (0, (), None)
            if not outer.v1:  # who has a process of its own can hold no controlled group beside it
                return
            assert python(outer, EAT)[0] == -signal.SIGKILL
            found = report(outer, before, kmsg=Path(log))
            assert found.kills == 1
            assert found.holder in outer.directories
            assert len(found.victims) <= 1

    def test_no_kill_no_report(self) -> None:
        with group("mem=64M") as made:
            before = read_counters(made)
            assert python(made, "x = bytearray(2**20)")[0] == 0
            found = report(made, before)
            assert (found.kills, found.victims, found.holder) == (0, (), None)


class TestCpu:
    def test_weights_share_one_cpu(self) -> None:
        cpu = min(os.sched_getaffinity(0))
        with (
            group("cpu.shares=2048", name="a") as a,
            group("cpu.shares=768", name="b") as b,
            group("cpu.shares=512", name="c") as c,
        ):
            times = burn([a, b, c], 3.0, cpu=cpu)
        shares = [100 * seconds / sum(times) for seconds in times]
        assert shares == pytest.approx([61.5, 23.1, 15.4], abs=3)

    def test_a_quota_throttles(self) -> None:
        with group("cpu=5%") as made:  # less than it would get on a busy machine without
            began = time.monotonic()
            (seconds,) = burn([made], 1.5)
            wall = time.monotonic() - began
            sample = taken(made)
            assert (sample["cpu.throttled"] or 0) >= 1
            assert seconds / wall <= 0.08

    def test_frozen_time_does_not_pass(self) -> None:
        with group() as made, group(name="clock") as clock:
            child = start(made, [sys.executable, "-I", "-c", "while True: pass"])
            while used(made) == 0:
                pass
            made.freeze()
            assert made.is_frozen()
            stopped = used(made)
            burn([clock], 0.3)
            assert used(made) == stopped
            made.thaw()
            assert not made.is_frozen()
            while used(made) == stopped:
                pass
            made.freeze()
            assert made.kill() >= 1  # frozen ones die, too
            assert child.wait(10) == -signal.SIGKILL


class TestPids:
    def test_a_fork_bomb_stays_in_its_group(self) -> None:
        code = """
import os
made = 0
try:
    while True:
        if os.fork() == 0:
            os.read(0, 1)  # never: the other end stays open
            os._exit(0)
        made += 1
except BlockingIOError as error:
    print(made, error.errno, flush=True)
"""
        read, write = os.pipe()
        with group("pids=20") as made:
            child = start(made, [sys.executable, "-I", "-c", code], stdin=read)
            assert child.stdout is not None
            assert child.stdout.readline() == "19 11\n"
            sample = taken(made)
            assert sample["pids.max_hits"] == 1
            assert sample["pids.current"] in {19, 20}
            made.kill()
        os.close(read)
        os.close(write)


@probe
def cpusets() -> str | None:
    """Can CPUs be chosen here?"""
    try:
        Places().find([limit.row for limit in parse_limits(["cpus=0"])])
    except CgroupError:
        return "no cgroup can be made here with cpuset"
    return None


@needs(cpusets)
def test_cpus_are_those_that_were_given() -> None:
    cpu = min(os.sched_getaffinity(0))
    with group(f"cpus={cpu} mems=0 mem=64M") as made:
        reading = next(reading for reading in made.limits() if reading.row.key == "cpus")
        assert reading.value == reading.effective == {cpu}
        status, out, _ = python(made, "import os; print(os.sched_getaffinity(0))")
        assert (status, out) == (0, f"{{{cpu}}}\n")
        with pytest.raises(CgroupError, match="cpus=9999: writing '9999' to"):
            made.set(parse_limits(["cpus=9999"]))


def test_cpus_of_a_fresh_group_are_those_above(plain: Cgroup) -> None:
    status, out, _ = python(plain, "import os; print(*sorted(os.sched_getaffinity(0)))")
    assert status == 0
    assert out.split() == [str(cpu) for cpu in sorted(os.sched_getaffinity(0))]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A block device that can be limited and a file on it, or the device itself."""
    number = tmp_path.stat().st_dev
    here = f"{os.major(number)}:{os.minor(number)}"
    entry = Path("/sys/dev/block", here)
    if entry.exists() and not (entry / "partition").exists():
        yield here, tmp_path / "file"
        return
    if os.geteuid() != 0 or not Path("/vmjob").exists():
        pytest.skip("no cgroup can be made here with a disk of its own")
    image = tmp_path / "image"
    image.write_bytes(bytes(16 * MIB))
    subprocess.run(["modprobe", "loop"], check=False, capture_output=True)
    done = subprocess.run(
        ["losetup", "--find", "--show", image], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("no cgroup can be made here with a disk of its own")
    device = Path(done.stdout.strip())
    yield str(device), device
    subprocess.run(["losetup", "--detach", device], check=True)


def test_writes_to_a_disk_are_slowed(disk: tuple[str, Path]) -> None:
    device, file = disk
    try:
        Places().find([limit.row for limit in parse_limits([f"io={device}:wbps=2M"])])
    except CgroupError:
        pytest.skip("no cgroup can be made here with io")
    with group(f"io={device}:wbps=2M") as made, made.sampler() as sampler:
        began = time.monotonic()
        dd = ["dd", "if=/dev/zero", f"of={file}", "bs=256K", "count=12", "oflag=direct"]
        child = start(made, dd)
        _, err = child.communicate(timeout=60)
        assert child.returncode == 0, err
        assert time.monotonic() - began > 1  # 3 MiB at 2 MiB/s, the first period is free
        sample = sampler.sample()
        assert sample is not None
        assert (sample["io.wbytes"] or 0) >= 3 * MIB
        reading = next(reading for reading in made.limits() if reading.row.key == "io")
        assert [dict(each.rates)["wbps"] for each in reading.value] == [2 * MIB]


def test_waiting_for_a_cpu_is_pressure() -> None:
    with group("cpu=10%") as made, made.sampler() as sampler:
        if "psi.cpu.some" not in sampler.available:
            pytest.skip("no cgroup can be made here with PSI")
        before = sampler.sample()
        burn([made, made], 1.0)
        after = sampler.sample()
        assert before is not None
        assert after is not None
        assert (after["psi.cpu.some"] or 0) - (before["psi.cpu.some"] or 0) > 0.1


class TestEnd:
    def test_kill_empties_a_group_of_200(self, plain: Cgroup) -> None:
        code = "for i in $(seq 199); do sleep 1000 & done; echo; wait"
        child = start(plain, ["sh", "-c", code])
        assert child.stdout is not None
        child.stdout.readline()
        assert len(plain.processes()) == 200
        assert plain.kill() == 200
        assert plain.processes() == frozenset()

    def test_remove_takes_groups_that_the_cell_made(self) -> None:
        with group() as made:
            for path in made.directories:
                (path / "own" / "deeper").mkdir(parents=True)
            start(made, ["sleep", "1000"])
            while not made.processes():
                pass
            assert made.remove() == 1
            assert not made.exists()

    def test_what_is_asked_of_a_group_that_is_gone(self) -> None:
        with group() as made:
            made.remove()
            limits = parse_limits(["pids=9"])
            for change in (made.freeze, made.thaw, made.kill, lambda: made.set(limits)):
                with pytest.raises(CgroupError, match="the group test is gone"):
                    change()

    def test_one_by_one_as_before_linux_5_14(self, plain: Cgroup) -> None:
        start(plain, ["sh", "-c", "while :; do sleep 1000 & sleep 0.01; done"])
        while len(plain.processes()) < 20:
            pass
        kill_each(plain, time.monotonic() + 10)
        assert plain.processes() == frozenset()
        assert not plain.is_frozen()

    @needs(v1_freezer)
    def test_without_cgroup_kill(self) -> None:
        place = replace(Places().find(), v2=None)
        with group(place=place) as made:
            assert "freezer" in made.v1
            code = "while :; do sleep 1000 & sleep 0.01; done"
            start(made, ["sh", "-c", code])
            while len(made.processes()) < 5:
                pass
            made.freeze()
            assert made.is_frozen()
            assert (made.v1["freezer"] / "freezer.state").read_text() == "FROZEN\n"
            assert made.kill() >= 3
            assert made.processes() == frozenset()


class TestSamples:
    def test_every_metric_that_is_here_has_a_value_and_descriptors_stay(
        self, plain: Cgroup
    ) -> None:
        before = len(os.listdir("/proc/self/fd"))
        with plain.sampler() as sampler:
            opened = len(os.listdir("/proc/self/fd"))
            first, second = sampler.sample(), sampler.sample()
            assert len(os.listdir("/proc/self/fd")) == opened > before
            assert first is not None
            assert second is not None
            assert second.at > first.at
            have = {name for name, value in first.values.items() if value is not None}
            assert have == set(sampler.available)
            assert {"mem.current", "mem.anon", "mem.oom_kills", "mem.max_hits"} <= have
            assert {"cpu.usage", "cpu.throttled", "pids.current", "pids.max_hits"} <= have
        assert len(os.listdir("/proc/self/fd")) == before

    def test_pressure_that_is_switched_off_is_not_the_end(self) -> None:
        with group("pids=9") as made:
            switch = (made.v2 or made.directories[0]) / "cgroup.pressure"
            if not switch.exists():
                pytest.skip("no cgroup.pressure here")
            with made.sampler() as sampler:
                before = sampler.sample()
                assert before is not None
                assert before.values["psi.cpu.some"] is not None
                switch.write_text("0")
                after = sampler.sample()
                assert after is not None
                assert after.values["psi.cpu.some"] is None
                assert after.values["pids.current"] == 0
                made.remove()
                assert sampler.sample() is None

    def test_values_are_those_of_the_processes(self) -> None:
        code = "import time; x = bytearray(30 * 2**20); print(flush=True); time.sleep(60)"
        with group("mem=64M") as made, made.sampler() as sampler:
            child = start(made, [sys.executable, "-I", "-c", code])
            assert child.stdout is not None
            child.stdout.readline()
            sample = sampler.sample()
            assert sample is not None
            assert 30 * MIB < (sample["mem.anon"] or 0) < 64 * MIB
            assert (sample["mem.current"] or 0) >= (sample["mem.anon"] or 0)
            assert sample["pids.current"] == 1
            assert (sample["cpu.usage"] or 0) > 0
            child.kill()

    def test_the_end_of_the_group_is_the_end_of_the_sampler(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        with group() as made:
            sampler = made.sampler([METRIC["cpu.usage"], METRIC["mem.current"]])
            assert sampler.sample() is not None
        assert sampler.sample() is None
        assert len(os.listdir("/proc/self/fd")) == before
        assert sampler.sample() is None
        assert made.sample() is None


def test_a_place_has_what_it_says() -> None:
    place = Places().find([limit.row for limit in parse_limits(["mem=1M", "cpu=1", "pids=1"])])
    assert {"memory", "cpu", "pids"} <= set(place.controllers)
    assert not set(place.controllers) & set(place.missing)
    done = subprocess.run(["cat", "/proc/self/cgroup"], capture_output=True, check=True)
    assert done.stdout == Path("/proc/self/cgroup").read_bytes()  # nothing was moved
