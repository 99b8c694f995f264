"""The cost of live graphs: groups sampled ten times a second, in CPU time of the sampling thread.

Every group holds a process that works a little each tenth of a second and has memory charged, so
that no file stays as it is.  The anchor is what one would write for the same files: open, read and
close each of them, with no value taken out of the text.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks.support.report import Figure, Table, ratio_of
from nsmagic.linux.cgroups.group import Cgroup, make_group
from nsmagic.linux.cgroups.places import Places
from nsmagic.wish.limits import METRICS, parse_limits

TICK = 0.1  # s
FULL = ((1, 5), (10, 5), (100, 5), (500, 4))  # groups and rounds
QUICK = ((1, 2), (3, 2))
TICKS = 6  # in a round
OURS, NAIVE = "sampling, what graphs show", "the same files opened, read, closed"
EVERYTHING = "sampling, every metric"
BAR_PERCENT = {1: 2.0, 100: 5.0}  # of one core, by number of groups
SHOWN = [metric for metric in METRICS if metric.default]


def measure(*, quick: bool) -> Iterator[Table]:
    """Measure with more and more groups."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a file of each metric stays open
    figures: list[Figure] = []
    with ExitStack() as stack:
        groups: list[Cgroup] = []
        for count, rounds in QUICK if quick else FULL:
            more = range(len(groups), count)
            groups += [_filled(stack, f"bench-{number}") for number in more]
            figures += _at(groups, rounds)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    yield Table(
        name="sampling", title="Sampling cgroups ten times a second", axis="groups",
        how="CPU time of the sampling thread as part of one core, rounds of "
        f"{TICKS * TICK:g} s in turn", figures=tuple(figures),
    )  # fmt: skip


def _filled(stack: ExitStack, name: str) -> Cgroup:
    """Make a group with a process that works a little; `stack` removes both."""
    limits = parse_limits(["mem=64M", "pids=20", "cpu=50%"])
    rows = [limit.row for limit in limits]
    group = make_group(Places().find(rows), os.getpid(), name, rows)
    stack.callback(group.remove)
    group.set(limits)
    child = os.fork()  # and no new program: 500 interpreters would share no memory
    if child == 0:
        _work()
    stack.callback(os.waitpid, child, 0)
    stack.callback(os.kill, child, signal.SIGKILL)
    group.add(child)
    return group


def _work() -> None:
    """Take memory and give it back, for ever; another page each time is charged to the group."""
    parent = os.getppid()
    while os.getppid() == parent:
        bytearray(1 << 18)
        time.sleep(TICK)
    os._exit(0)


def _at(groups: Sequence[Cgroup], rounds: int) -> Iterator[Figure]:
    """Yield the share of a core that each way of reading takes, compared round by round."""
    count = len(groups)
    places = _places(groups[0])
    files = [group.directories[place] / name for group in groups for place, name in places]
    with ExitStack() as stack:
        shown = [stack.enter_context(group.sampler(SHOWN)) for group in groups]
        every = [stack.enter_context(group.sampler(METRICS)) for group in groups]
        ways: dict[str, Callable[[], object]] = {
            NAIVE: lambda: [file.read_bytes() for file in files],
            OURS: lambda: [sampler.sample() for sampler in shown],
            EVERYTHING: lambda: [sampler.sample() for sampler in every],
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                taken[name].append(100 * _share(way))
    for name, runs in taken.items():
        figure = Figure.of(name, runs, unit="% of a core", at=count, judged="value")
        if name == NAIVE:
            yield figure
            continue
        ratio = ratio_of(runs, taken[NAIVE])
        bar = BAR_PERCENT.get(count) if name == OURS else None
        yield replace(figure, anchor=NAIVE, ratio=ratio, bar=bar, ours=True)


def _share(way: Callable[[], object]) -> float:
    """Return the part of one core that doing it once a tick takes this thread."""
    spent = 0.0
    for _ in range(TICKS):
        began = time.thread_time()
        way()
        spent += time.thread_time() - began
        time.sleep(TICK)
    return spent / (TICKS * TICK)


def _places(group: Cgroup) -> list[tuple[int, str]]:
    """Return the files that a sampler keeps open: which of the directories, and the name."""
    with group.sampler(SHOWN):
        links = [Path("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
        opened = [link.readlink() for link in links if link.is_symlink()]
    return [
        (group.directories.index(path.parent), path.name)
        for path in opened
        if path.parent in group.directories
    ]
