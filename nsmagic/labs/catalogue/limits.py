"""Lab 6: what happens when a limit is reached."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from nsmagic.labs.exercises import Answer, Fact, Here, Mistake, exercise, question
from nsmagic.labs.watched import Watched

_LAB = "06-limits-live"
_MEBI: Final = 2**20

_DIET = """\
%%cgroup mem=64M cpu=30% --bg --proc diet python3
blob = bytearray(45 * 2**20)
while True:
    pass
"""


@exercise(
    id="diet", lab=_LAB, title="On a diet", on="diet",
    task="Leave `diet` running in a cgroup that may have at most 64 MiB and half a processor, holds"
    " at least 40 MiB, was held up at least once, and in which nobody was killed.",
    covers=("3.25a", "3.25b", "3.27"),
    hints=(
        "It must take memory, and work without pause; and it must fit.",
        "%cgroup? for mem= and cpu=; a bytearray is memory that is really taken.",
        ("%%cgroup mem=64M cpu=30% --bg --proc diet python3, then blob = bytearray(45 * 2**20)"
        " and an endless loop."),
    ),
    solution=_DIET,
    mistakes=(
        Mistake(_DIET.replace("mem=64M", "mem=128M"), "memory limit"),
        Mistake(_DIET.replace(" cpu=30%", ""), "CPU limit"),
        Mistake(_DIET.replace("45 *", "4 *"), "holds"),
        Mistake("import subprocess\ndiet = subprocess.Popen(['sleep', '600'])", "same cgroup"),
    ),
    needs=("cgroups",),
)  # fmt: skip
def diet(it: Watched, here: Here) -> Iterator[Fact]:
    """Inside its limits, and at them."""
    yield Fact(
        it.cgroups != here.kernel.cgroups,
        "it is in a cgroup of its own",
        "it is in the same cgroup as this notebook",
    )
    limits = {reading.row.key: reading.value for reading in it.group.limits()}
    most = limits.get("mem")
    yield Fact(
        most is not None and most <= 64 * _MEBI,
        f"its memory limit is {it.limit('mem')}",
        f"its memory limit is {it.limit('mem')}, and should be 64M at most",
    )
    quota = limits.get("cpu")
    cpus = quota.quota / quota.period if quota is not None and quota.quota else None
    yield Fact(
        cpus is not None and cpus <= 0.5,
        f"its CPU limit is {it.limit('cpu')}",
        f"its CPU limit is {it.limit('cpu')}, and should be 50% at most",
    )
    held = it.counted("mem.current") / _MEBI
    yield Fact(
        held >= 40,
        "it holds at least 40 MiB",
        f"its group holds only {held:.0f} MiB of memory, and should hold 40",
    )
    throttled = it.counted("cpu.throttled")
    yield Fact(throttled > 0, "it was held up", "it was never held up (throttled) yet")
    killed = it.counted("mem.oom_kills")
    yield Fact(not killed, "nobody was killed", f"{killed:.0f} of its processes were killed")


@question(id="kill-status", lab=_LAB, choices=("1", "9", "137"), covers=("3.25b",),
          text="A shell reports a process that was killed by SIGKILL as status ...")  # fmt: skip
def _kill_status(_: Here) -> Answer:
    from nsmagic.labs.catalogue.asking import run

    return Answer(
        value=run(["sh", "-c", "sh -c 'kill -9 $$' 2> /dev/null; echo $?"]),
        how="sh -c 'kill -9 $$'; echo $?",
        why="128 + 9. The OOM killer uses the same signal, so 137 is what containers show.",
    )


@question(id="quiz-memory", lab=_LAB, covers=("3.25b",),
          text="Quiz: which memory limit has this notebook's cgroup (64M, max...)?")  # fmt: skip
def _quiz_memory(here: Here) -> Answer:
    return Answer(
        value=here.kernel.limit("mem"),
        how="memory.max (v2) or memory.limit_in_bytes (v1)",
        why="A group above may have a smaller one: the least of all on the way up binds.",
    )


@question(id="quiz-cpus", lab=_LAB, covers=("3.27",),
          text="Quiz: on how many processors may this notebook run?")  # fmt: skip
def _quiz_cpus(_: Here) -> Answer:
    return Answer(
        value=str(len(os.sched_getaffinity(0))),
        how="sched_getaffinity(2)",
        why="The set is a matter of cpuset and affinity; the time on them, of quota and weight.",
    )


@question(id="quiz-kills", lab=_LAB, covers=("3.25b",),
          text="Quiz: how often was the OOM killer in this notebook's cgroup?")  # fmt: skip
def _quiz_kills(here: Here) -> Answer:
    return Answer(
        value=f"{here.kernel.counted('mem.oom_kills'):.0f}",
        how="oom_kill in memory.events (v2, groups below included) or memory.oom_control (v1)",
        why="The cells above were killed in groups of their own, which are gone with their counts.",
    )
