"""Lab 5: control groups, their tree and their files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nsmagic.labs.catalogue.asking import python, unshare
from nsmagic.labs.exercises import Answer, Fact, Here, Mistake, exercise, question
from nsmagic.labs.watched import Watched

_LAB = "05-cgroups"

_FENCE = """\
%cgroup --name fence --replace mem=96M pids=15 cpu.shares=2048 /bin/true
%cgroup freeze fence
"""


@exercise(
    id="fence", lab=_LAB, title="A fence", on="fence",
    task="Leave a frozen box `fence` in a cgroup with 96 MiB of memory, 15 processes, and twice the"
    " usual share of the processor.",
    covers=("1.17", "1.19", "3.25f", "3.26"),
    hints=(
        "One line makes the box with its limits; a second one freezes it.",
        "%cgroup? lists the limits. The usual weight is 100, which is cpu.shares=1024 in v1.",
        "%cgroup --name fence mem=... pids=... cpu.shares=... /bin/true, then %cgroup freeze fence",
    ),
    solution=_FENCE,
    mistakes=(
        Mistake(_FENCE.replace("96M", "96000000"), "memory"),
        Mistake(_FENCE.replace(" pids=15", ""), "pids"),
        Mistake(_FENCE.replace("2048", "1024"), "weight"),
        Mistake(_FENCE.partition("\n")[0], "not frozen"),
        Mistake("import subprocess\nfence = subprocess.Popen(['sleep', '600'])",
                "same cgroup"),
    ),
    needs=("cgroups",),
)  # fmt: skip
def fence(it: Watched, here: Here) -> Iterator[Fact]:
    """A group of its own with three limits, frozen."""
    yield Fact(
        it.cgroups != here.kernel.cgroups,
        "it is in a cgroup of its own",
        "it is in the same cgroup as this notebook",
    )
    for key, wanted, what in (
        ("mem", "96M", "memory"),
        ("pids", "15", "pids"),
        ("weight", "200", "weight"),
    ):
        has = it.limit(key)
        yield Fact(has == wanted, f"{what}: {key}={has}", f"its limit of {what} is {key}={has}")
    yield Fact(it.group.is_frozen(), "it is frozen", "it is not frozen: its processes run")


@question(id="pids-errno", lab=_LAB, choices=("EAGAIN", "ENOMEM", "EPERM"), covers=("3.25f",),
          text="fork at the limit of a cgroup's pids fails with ...")  # fmt: skip
def _pids_errno(_: Here) -> Answer:
    # RLIMIT_NPROC is the older limit of the same kind; root is exempt from it, so the user changes.
    code = (
        "import errno, os, resource\nresource.setrlimit(resource.RLIMIT_NPROC, (0, 0))\n"
        "if not os.getuid(): os.setresuid(65534, 65534, 65534)\n"
        "try:\n if not os.fork(): os._exit(0)\n print('works')\n"
        "except OSError as error: print(errno.errorcode[error.errno])"
    )
    return Answer(
        value=python(code), how="fork(2) at the limit RLIMIT_NPROC, which answers as cgroups do",
        why='"Resource temporarily unavailable": it might work later, when another one has ended.',
    )  # fmt: skip


@question(id="cgns-path", lab=_LAB, choices=("/", "the-same"), covers=("1.34",),
          text="In a new cgroup namespace, /proc/self/cgroup shows as own path ...")  # fmt: skip
def _cgns_path(_: Here) -> Answer:
    lines = unshare("--cgroup", "cat", "/proc/self/cgroup").splitlines()
    own = {line.split(":", 2)[2] for line in lines}
    return Answer(
        value="/" if own == {"/"} else "the-same", how="unshare --cgroup cat /proc/self/cgroup",
        why="Its root is the group in which it was made. The limits stay what they were.",
    )  # fmt: skip


@question(id="quiz-hierarchies", lab=_LAB, covers=("1.20",),
          text="Quiz: in how many trees of cgroups is this notebook?")  # fmt: skip
def _quiz_hierarchies(_: Here) -> Answer:
    return Answer(
        value=str(len(Path("/proc/self/cgroup").read_text().splitlines())),
        how="the lines of /proc/self/cgroup",
        why="On pure cgroup v2 it is one. With v1 there is one for each controller, or a few.",
    )


@question(id="quiz-neighbours", lab=_LAB, covers=("3.21",),
          text="Quiz: how many tasks (threads) of this notebook are in its cgroup?")  # fmt: skip
def _quiz_neighbours(here: Here) -> Answer:
    return Answer(
        value=str(here.kernel.threads),
        how="/proc/self/status, the line Threads",
        why="A cgroup holds all threads of a process, unless it is a threaded one, cgroups(7).",
    )


@question(id="quiz-version", lab=_LAB, covers=("1.20",), choices=("v1", "v2", "none"),
          text="Quiz: of which version is the memory controller on this machine?")  # fmt: skip
def _quiz_version(here: Here) -> Answer:
    group = here.kernel.group
    v2 = group.v2 is not None and group.directory("memory") == group.v2
    return Answer(
        value="v1" if "memory" in group.v1 else "v2" if v2 else "none",
        how="/proc/self/cgroup, and cgroup.controllers of the group in it",
        why="A controller is in one tree at a time. `none`: nobody gave it to this group.",
    )


@question(id="quiz-pids", lab=_LAB, covers=("3.25f",),
          text="Quiz: how many tasks may this notebook's cgroup have (or max)?")  # fmt: skip
def _quiz_pids(here: Here) -> Answer:
    return Answer(
        value=here.kernel.limit("pids"),
        how="pids.max of its group, in /sys/fs/cgroup",
        why="systemd sets one for each service and session. `max` means that none is set there.",
    )
