"""Lab 6, its parts about memory: the line that slows down, and who survives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nsmagic.labs.exercises import Fact, Here, Mistake, exercise
from nsmagic.labs.watched import Watched
from nsmagic.wish.limits.sizes import read_size

_LAB = "06-limits-live"
_MEBI = 2**20

_WORK = """\
%%writefile work.py
import os, time

blobs = [bytearray(2**19) for _ in range(96)]    # 48 MiB, half a MiB at a time
with open("finished-" + os.environ["NSMAGIC_LAB"], "w") as file:
    file.write(str(os.getpid()))
time.sleep(600)
"""

_SUIT = """\
%%cgroup mem=96M memhigh=80M --bg --proc suit /bin/bash
exec python3 work.py
"""


@exercise(
    id="suit", lab=_LAB, title="A suit that fits", on="suit",
    task="Leave `work.py` running as `suit` in a cgroup with memory.high of at most 80 MiB, below"
    " memory.max of at most 96 MiB, so that it finishes its work, was never held up, and nobody"
    " was killed.",
    covers=("3.25b",),
    setup=_WORK,
    hints=(
        "How much does it take, with Python itself? The line must be above that.",
        "cgroup-v2.rst of Linux, memory.high and memory.max; %cgroup? for memhigh= and mem=.",
        "%%cgroup mem=96M memhigh=... --bg --proc suit /bin/bash, then exec python3 work.py.",
    ),
    solution=_SUIT,
    mistakes=(
        Mistake(_SUIT.replace("memhigh=80M", "memhigh=40M"), "has not finished"),
        Mistake(_SUIT.replace(" memhigh=80M", ""), "memory.high is max"),
        Mistake(_SUIT.replace("memhigh=80M", "memhigh=90M"), "memory.high is 90M"),
        Mistake(_SUIT.replace("mem=96M", "mem=256M"), "memory.max is 256M"),
        Mistake(_SUIT.replace("exec python3 work.py",
                              "echo $$ > finished-$NSMAGIC_LAB; exec sleep 600"), "holds"),
    ),
    needs=("memhigh",),
)  # fmt: skip
def suit(it: Watched, here: Here) -> Iterator[Fact]:
    """Room enough, and not more."""
    yield Fact(
        it.cgroups != here.kernel.cgroups,
        "it is in a cgroup of its own",
        "it is in the same cgroup as this notebook",
    )
    for key, name, most in (("mem", "memory.max", "96M"), ("memhigh", "memory.high", "80M")):
        has = it.limit(key)
        yield Fact(
            _at_most(has, most),
            f"{name} is {has}",
            f"{name} is {has}, and should be {most} at most",
        )
    held_up = it.counted("mem.high_hits")
    file = Path(here.playground, f"finished-{here.word}")
    who = file.read_text().strip() if file.exists() else ""
    finished = who in {str(each.pid) for each in (it, *it.descendants)}
    yield Fact(
        finished,
        "it has finished",
        f"it has not finished, and was held up {held_up:.0f} times at memory.high",
    )
    holds = it.counted("mem.current") / _MEBI
    yield Fact(holds >= 48, "it holds 48 MiB", f"its group holds {holds:.0f} MiB only, not 48")
    yield Fact(not held_up, "it was never held up", f"it was held up {held_up:.0f} times")
    killed = it.counted("mem.oom_kills")
    yield Fact(not killed, "nobody was killed", f"{killed:.0f} of its processes were killed")


_SURVIVOR = """\
%%cgroup mem=64M --bg --proc survivor /bin/bash
sleep 600 &
tail /dev/zero
wait
"""


@exercise(
    id="survivor", lab=_LAB, title="The survivor", on="survivor",
    task="Leave `survivor` running in a cgroup of at most 64 MiB, in which Linux killed a process"
    " for want of memory, and in which at least two processes live on.",
    covers=("3.25b",),
    hints=(
        "Somebody must want too much, and two others nearly nothing; and who may die with whom?",
        "cgroup-v2.rst, memory.oom.group; part 4 of this lab.",
        "In %%cgroup mem=64M --bg --proc survivor /bin/bash: sleep 600 &, tail /dev/zero, wait.",
    ),
    solution=_SURVIVOR,
    mistakes=(
        Mistake(_SURVIVOR.replace("mem=64M", "mem=64M oomgroup=1"), "has ended", ended=True),
        Mistake(_SURVIVOR.replace("tail /dev/zero\n", ""), "nobody was killed"),
        Mistake(_SURVIVOR.replace("mem=64M", "mem=96M"), "should be 64M"),
        Mistake(_SURVIVOR.replace("sleep 600 &\n", "").replace("wait", "exec sleep 600"),
                "only one"),
        Mistake("import subprocess\nsurvivor = subprocess.Popen(['sleep', '600'])", "same cgroup"),
    ),
    needs=("cgroups",),
)  # fmt: skip
def survivor(it: Watched, here: Here) -> Iterator[Fact]:
    """One was killed, and not all."""
    yield Fact(
        it.cgroups != here.kernel.cgroups,
        "it is in a cgroup of its own",
        "it is in the same cgroup as this notebook",
    )
    has = it.limit("mem")
    yield Fact(
        _at_most(has, "64M"),
        f"its memory limit is {has}",
        f"its memory limit is {has}, and should be 64M at most",
    )
    killed = it.counted("mem.oom_kills")
    yield Fact(
        killed > 0, f"Linux killed {killed:.0f} of its processes", "nobody was killed in it yet"
    )
    left = sum(not each.ending for each in (it, *it.descendants))
    yield Fact(left > 1, f"{left} processes live on", "only one process is left in it")


def _at_most(has: str, most: str) -> bool:
    size, allowed = read_size(has), read_size(most)
    return size is not None and allowed is not None and size <= allowed
