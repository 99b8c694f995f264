"""Lab 5, its last part: a group that was given away, and divided by whom it was given to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from nsmagic.labs.exercises import Fact, Here, Mistake, exercise
from nsmagic.labs.watched import Watched, limit_of
from nsmagic.linux.cgroups.group import Cgroup

_LAB = "05-cgroups"
_MOST, _RATIO = 20, 3.0
_LIMITS: Final = ("cpu.", "pids.", "memory.", "io.", "cgroup.max.")
_WATCHED: Final = 1.5  # s

_CPU_GROUP = '''\
def cpu_group():
    """The directory of this process's cgroup in the tree that has the controller cpu."""
    mounts = [line.split()[1:4] for line in Path("/proc/mounts").read_text().splitlines()]
    v1 = [at for at, kind, options in mounts if kind == "cgroup" and "cpu" in options.split(",")]
    v2 = [at for at, kind, _ in mounts if kind == "cgroup2"]
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(",") or not controllers:
            return Path((v1 or v2)[0], path[1:])
'''

_BEDS = """\
%%cgroup weight=100 pids=20 --bg --proc beds
import signal

garden, user = cpu_group(), os.geteuid() or 65534    # root gives it to the user nobody
v2 = (garden / "cgroup.subtree_control").exists()
for name in (".", "cgroup.procs", "cgroup.subtree_control" if v2 else "tasks"):
    os.chown(garden / name, user, -1)
if v2:                                # no processes beside groups that have controllers
    (garden / "house").mkdir()
    (garden / "house/cgroup.procs").write_text("0")
    (garden / "cgroup.subtree_control").write_text("+cpu")

for name, share in (("roses", 3), ("beans", 1)):
    if os.fork():
        continue
    if not os.geteuid():
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    bed = garden / name
    bed.mkdir()
    weight, usual = ("cpu.weight", 100) if v2 else ("cpu.shares", 1024)
    (bed / weight).write_text(str(share * usual))
    (bed / "cgroup.procs").write_text("0")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    while True:
        pass
signal.pause()
"""


def _with(old: str, new: str) -> str:
    assert old in _BEDS, old
    return _BEDS.replace(old, new)


@exercise(
    id="beds", lab=_LAB, title="Two beds", on="beds",
    task="Leave `beds` running in a cgroup with pids=20 at most, of which an ordinary user was"
    " given the directory and cgroup.procs, and no limit. In it that user has two groups with"
    " weights of 3 to 1, and in each a process that works without pause, on the same processor.",
    covers=("1.25", "3.23"),
    setup=f"import os\nfrom pathlib import Path\n\n{_CPU_GROUP}",
    hints=(
        "Part 8 has all of it but the weights: give away, become the user, mkdir, move there.",
        ("cgroups(7), Cgroups delegation; there too: no internal processes, which in v2 wants the"
         " process that is in the garden moved first. cpu.weight in v2, cpu.shares in v1."),
        ("os.chown(garden, user, -1), and the same for garden/cgroup.procs; for each bed os.fork(),"
         " os.setuid(user), mkdir, write the weight, write 0 into the bed's cgroup.procs, loop. In"
         " v2 before that: mkdir house, 0 into house/cgroup.procs, +cpu into"
         " cgroup.subtree_control, which is given away too."),
    ),
    solution=_BEDS,
    mistakes=(
        Mistake(_with("        os.setuid(user)\n", ""), "of an ordinary user", root=True),
        Mistake(_with('for name in (".", "cgroup.procs", "cgroup.subtree_control" if v2 else'
                      ' "tasks")', 'for name in (".", *os.listdir(garden))'),
                "can change it", root=True),
        Mistake(_with("share * usual", "usual"), "to 1, not 3"),
        Mistake(_with("bed = garden / name\n    bed.mkdir()",
                      'bed = garden / "roses"\n    bed.mkdir(exist_ok=True)'), "in one group"),
        Mistake(_with(" pids=20", ""), "pids"),
        Mistake(_with("    while True:\n        pass\n", "    signal.pause()\n"), "do not work"),
    ),
    needs=("cgroups",),
)  # fmt: skip
def beds(it: Watched, here: Here) -> Iterator[Fact]:
    """Given away without its limits, and divided 3 to 1."""
    yield Fact(
        it.cgroups != here.kernel.cgroups,
        "it is in a cgroup of its own",
        "it is in the same cgroup as this notebook",
    )
    workers = [each for each in it.descendants if each.uid]
    yield Fact(
        len(workers) > 1,
        f"below it are processes of user {workers[0].uid if workers else 0}",
        f"below it {'is only one' if workers else 'are no'} process of an ordinary user",
    )
    groups = {each.pid: each.group.directory("cpu") for each in workers}
    found = sorted({group for group in groups.values() if group is not None})
    yield Fact(
        len(found) == 2 and None not in groups.values(),
        "they are in two groups that have the controller cpu",
        "they are in one group" if len(found) == 1 else
        f"they are in {len(found)} groups that have the controller cpu, not in 2",
    )  # fmt: skip
    garden = found[0].parent
    yield Fact(
        garden == found[1].parent and garden != here.kernel.group.directory("cpu"),
        "the two are side by side",
        "the two are not side by side in a group of their own",
    )
    yield from _given(garden, workers[0].uid)
    v2 = (garden / "cgroup.controllers").exists()
    most = limit_of(Cgroup(name="garden", v2=garden) if v2 else it.group, "pids")
    yield Fact(
        most.isdecimal() and int(most) <= _MOST,
        f"its limit is pids={most}",
        f"its limit of processes is pids={most}, and should be {_MOST} at most",
    )
    yield from _divided(found, v2=v2, workers=[[each for each in workers if
                        groups[each.pid] == group] for group in found])  # fmt: skip


def _given(garden: Path, user: int) -> Iterator[Fact]:
    for file in (garden, garden / "cgroup.procs"):
        owner = file.stat().st_uid
        yield Fact(
            owner == user,
            f"{file.name} belongs to user {user}",
            f"{file.name} belongs to user {owner}: it was not given to user {user}",
        )
    top = garden  # the highest group that was given: an ordinary user's are below one of systemd
    while top.parent.stat().st_uid == user:
        top = top.parent
    theirs = [file.name for file in sorted(top.iterdir()) if file.name.startswith(_LIMITS)
              and file.stat().st_uid == user and file.stat().st_mode & 0o200]  # fmt: skip
    yield Fact(
        not theirs,
        f"the limits of {top.name} stay with who gave it",
        f"{theirs[0] if theirs else ''} was given away too: user {user} can change it",
    )


def _divided(
    found: Sequence[Path], *, v2: bool, workers: Sequence[Sequence[Watched]]
) -> Iterator[Fact]:
    beds = [Cgroup(name=path.name, v2=path) if v2 else Cgroup(name=path.name, v2=None,
            v1={"cpu": path}) for path in found]  # fmt: skip
    weights = [float(limit_of(bed, "weight")) for bed in beds]
    ratio = max(weights) / min(weights)
    yield Fact(
        abs(ratio - _RATIO) < 0.05,
        "the weights are 3 to 1",
        f"the weights are {ratio:.1f} to 1, not 3 to 1",
    )
    before = [sum(each.worked for each in part) for part in workers]
    time.sleep(_WATCHED)
    did = [sum(each.worked for each in part) - then
           for part, then in zip(workers, before, strict=True)]  # fmt: skip
    yield Fact(
        min(did) > 0, "both work", "they do not work without pause: " + ", ".join(
            f"{path.name} {seconds:.2f} s" for path, seconds in zip(found, did, strict=True)
        ),
    )  # fmt: skip
    more = did[weights.index(max(weights))] / did[weights.index(min(weights))]
    yield Fact(
        abs(more - _RATIO) < 1,
        f"one had {more:.1f} times as much of the processor as the other, just now",
        f"one had {more:.1f} times as much of the processor as the other, not 3 times: do they"
        " share one processor?",
    )
