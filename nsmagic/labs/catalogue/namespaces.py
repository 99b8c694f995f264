"""Lab 3: the eight types of namespaces."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from nsmagic.labs.exercises import Answer, Fact, Here, Mistake, exercise, question
from nsmagic.labs.watched import Watched

_LAB = "03-namespaces"
_TEN_YEARS = 10 * 31_536_000

_ISLAND = """\
%%unshare --name island --replace --pid --mount-proc --uts --net --ipc --time --boottime 320000000 \
/bin/bash
hostname $NSMAGIC_LAB
"""


def _with(old: str, new: str) -> str:
    assert old in _ISLAND, old
    return _ISLAND.replace(old, new)


@exercise(
    id="island", lab=_LAB, title="An island", on="island",
    task="Leave a box `island` with your word as host name, process numbers, network and IPC of its"
    " own, that has been up for ten years.",
    covers=("3.12", "3.14", "3.15", "3.16", "3.19"),
    hints=(
        "One option for each line, and one more for /proc. The host name is set inside.",
        "unshare(1); the year of part 9 had 31,536,000 seconds.",
        ("%%unshare --name island --pid --mount-proc --uts --net --ipc --time --boottime 320000000"
        " /bin/bash, and below it hostname $NSMAGIC_LAB"),
    ),
    solution=_ISLAND,
    mistakes=(
        Mistake(_with("hostname $NSMAGIC_LAB", "true"), "host name is"),
        Mistake(_with("hostname $NSMAGIC_LAB", "hostname island"), "still island"),
        Mistake(_with("--mount-proc ", ""), "/proc"),
        Mistake(_with("--net ", ""), "network"),
        Mistake(_with("--ipc ", ""), "IPC"),
        Mistake(_with("320000000", "31536000"), "365 days"),
    ),
    needs=("uts", "pid", "net", "ipc", "time"),
)  # fmt: skip
def island(it: Watched, here: Here) -> Iterator[Fact]:
    """A machine of its own, as far as names go."""
    name = it.hostname
    yield Fact(
        name == here.word,
        f"its host name is {name}",
        f"its host name is {'still ' if name != here.word else ''}{name}, not {here.word}",
    )
    yield Fact(
        not it.shares("pid", here.kernel) and it.pids[-1] == 1,
        "it is process 1 of its own PID namespace",
        f"its process has the number {it.pids[-1]} and is in no PID namespace of its own",
    )
    shown = [entry for entry in os.listdir(it.root / "proc") if entry.isdecimal()]
    yield Fact(
        len(shown) <= 1 + len(it.descendants),
        "its /proc shows only its own processes",
        f"its /proc shows {len(shown)} processes, also those outside",
    )
    for kind, what in (("net", "a network"), ("ipc", "System V IPC")):
        yield Fact(
            not it.shares(kind, here.kernel),
            f"it has {what} of its own",
            f"it shares the {what.removeprefix('a ')} of this notebook",
        )
    added = it.time_offsets.get("boottime", 0.0)
    yield Fact(
        added > _TEN_YEARS,
        f"its clock is {added / 86400:.0f} days ahead",
        f"it is only {added / 86400:.0f} days ahead, and not ten years",
    )


@question(id="kinds", lab=_LAB, covers=("0.9", "1.33", "2.4"),
          text="How many types of namespaces has this Linux?")  # fmt: skip
def _kinds(_: Here) -> Answer:
    links = [name for name in os.listdir("/proc/self/ns") if not name.endswith("_for_children")]
    return Answer(
        value=str(len(links)), how="ls /proc/self/ns",
        why=f"They are {', '.join(sorted(links))}.",
    )  # fmt: skip


@question(id="quiz-uts", lab=_LAB, covers=("1.29",), choices=("yes", "no"),
          text="Quiz: are this notebook and its parent in the same UTS namespace?")  # fmt: skip
def _quiz_uts(here: Here) -> Answer:
    parent = Watched(here.kernel.ppid)
    return Answer(
        value="yes" if parent.shares("uts", here.kernel) else "no",
        how=f"readlink /proc/{parent.pid}/ns/uts and /proc/self/ns/uts",
        why="A child begins in the namespaces of its parent.",
    )


@question(id="quiz-child-link", lab=_LAB, covers=("1.29",), choices=("same", "other"),
          text="Quiz: does this notebook's next child get the same PID namespace?")  # fmt: skip
def _quiz_child_link(_: Here) -> Answer:
    mine, next_one = (
        Path(f"/proc/self/ns/{name}").readlink() for name in ("pid", "pid_for_children")
    )
    return Answer(
        value="same" if mine == next_one else "other",
        how="readlink /proc/self/ns/pid and /proc/self/ns/pid_for_children",
        why="Only after unshare(2) of a PID namespace do the two differ.",
    )


@question(id="quiz-user-map", lab=_LAB, covers=("3.17",),
          text="Quiz: how many user numbers exist in this notebook's user namespace?")  # fmt: skip
def _quiz_user_map(here: Here) -> Answer:
    return Answer(
        value=str(sum(line.count for line in here.kernel.uid_map)),
        how="/proc/self/uid_map",
        why="4294967295 is all of them: the first user namespace, in which nothing is translated.",
    )
