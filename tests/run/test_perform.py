"""What each option of unshare(1) does to Linux's state: as the installed program does it.

One probe is run three times: by unshare(1), as a program cell, and as a Python cell.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nsmagic.run.spawning import close_spawner, spawner
from nsmagic.wish.errors import StepError
from tests.run import probe
from tests.run.direct import Cell
from tests.support import skips
from tests.support.programs import needs_open_python

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.linux

PYTHON = os.path.realpath(sys.executable)
PROBE = [PYTHON, "-I", "-S", str(Path(probe.__file__))]
# --strict leaves out what only nsmagic implies, so the lines mean the same to both.
LINES = (
    """
-m | -u | -i | -n | -U | -C | -fp | -p | -fT | -fp --mount-proc | -muinC | -fmuinpCTU | -r | -c
-Ur | -rmuin | -cmuin | -fUrmuinpCT --mount-proc | -fUcp | -rc | -cr | --map-user=5
--map-group=7 | --map-user=5 --map-group=7 | -r --map-group=7 | -c --map-user=7
--map-users=0:1000:10 | --map-users=0:1000:10 --map-groups=0:500:10 --map-user=10
--map-users=0:0:10 --map-user=5 --map-groups=0:0:10 --map-group=0
--map-users=0:0:10 --map-users=100:1000:10 -r --map-groups=0:0:20
--map-users=0:1000:10 --map-group=3 | --map-users=0:0:4294967295 -c
--map-users=all --map-groups=all | --map-users=all --map-groups=all -r
--map-users=all --map-groups=all -S 1000 -G 1000
--map-users=all --map-groups=all --setgroups=allow
--map-users=all --map-groups=all -S 1000 -G 1000 --keep-caps
-fp --map-users=all --map-groups=all | --map-users=0:0:9 --map-users=5:50:9 | --setgroups=deny -U
--setgroups=deny | --setgroups=allow | -u --setgroups=deny
--setgroups=allow -U | --map-user=0 --setgroups=deny | --map-user=0 --setgroups=allow
-S 1000 -G 1000 | -S 1000 | -G 1000 | -r -S 0 | -r -S 0 -G 0 | -r -S 5 | -r -G 5 | --keep-caps
-c --keep-caps | -r --keep-caps | -U --keep-caps | --map-user=5 --keep-caps
-fc --keep-caps -p --mount-proc | -R / | -R /usr/.. -w /usr | -w /usr | -w / | -rR / | -cw /tmp
-w /nowhere | -R /nowhere | -m --propagation=private | -m --propagation=slave
-m --propagation=shared | -m --propagation=unchanged | -rm --propagation=slave
-rm --propagation=unchanged | --mount-proc | -fp --mount-proc=/mnt
-fp --mount-proc --propagation=shared | -fp --mount-proc=/mnt --propagation=slave
-fp --mount-proc=/nowhere | -r --mount-proc | -frp --mount-proc -R / | -frp --mount-proc -w /usr
-fT --monotonic=1000 | -fT --monotonic=-100 --boottime=5000 | -rfT --boottime=5000
-cfT --monotonic=7 | -fT --monotonic=-999999999 | -f | -rf | --kill-child
--kill-child=SIGTERM -p | --forward-signals | -fp --forward-signals | --clear-env
--whitelist-env=HOME,PATH,NOSUCH | --whitelist-env=HOME --whitelist-env=PATH | -r --clear-env
""".strip()
    .replace("\n", "|")
    .split("|")
)

OWNED = (
    """
--owner=1000:1000 | --owner=1000:1000 --map-user=0 | --owner=1000:1000 -r
--owner=1000:1000 -r -S 0 | --owner=1000:1000 --map-users=0:1000:1 --map-groups=0:1000:1
--owner=1000:1000 -fpr --mount-proc
--owner=1000:1000 --map-users=0:0:5000 --map-groups=0:0:5000 -fT --monotonic=100
--owner=1000:1000 -r --setgroups=allow | --owner=1000:1000 -c --keep-caps
""".strip()
    .replace("\n", "|")
    .split("|")
)

MISC = (
    """
-frp --mount-binfmt | -frp --mount-binfmt=/mnt | -fp --mount-binfmt
-frp --load-interp=:nsmagic-test:E::nsmx::/bin/true:
-frp --load-interp=:nsmagic-test:E::nsmx::/bin/true:F -R /
-frp --load-interp=nonsense
""".strip()
    .replace("\n", "|")
    .split("|")
)


@skips.probe
def binfmt_misc_of_our_own() -> str | None:
    """Linux 6.7 has a binfmt_misc for each user namespace, if it has any."""
    here = "binfmt_misc" in Path("/proc/filesystems").read_text()
    version = tuple(int(part) for part in os.uname().release.split(".")[:2])
    return None if here and version >= (6, 7) else "no binfmt_misc for each user namespace here"


@pytest.fixture(scope="module", autouse=True)
def one_spawner() -> Iterator[None]:
    spawner()
    yield
    close_spawner()


def asked(question: str) -> str:
    return subprocess.run(["unshare", question], capture_output=True, text=True, check=True).stdout


@functools.cache
def known() -> set[str]:
    """The long options of the installed program; `ranges` where it writes them itself (2.40)."""
    names = set(re.findall(r"--([a-z-]+)", asked("--help")))
    major, minor = re.findall(r"[0-9]+", asked("--version"))[:2]
    return names | {"ranges"} if (int(major), int(minor)) >= (2, 40) else names


def need(line: str) -> None:
    """Skip where the installed program does not know an option, or a way to give it."""
    wanted = set(re.findall(r"--([a-z-]+)", line))
    if re.search("--map-(users|groups)=", line):
        wanted |= {"ranges"}
    if missing := wanted - known():
        pytest.skip(f"unshare here has no --{', --'.join(sorted(missing))}")


def said(text: str) -> dict[str, Any]:
    """The facts, with what differs from run to run replaced by what it means."""
    found: dict[str, Any] = json.loads(text)
    outside = probe.facts()
    for name, link in found["namespaces"].items():
        found["namespaces"][name] = (
            link != outside["namespaces"][name.removesuffix("_for_children")]
        )
    pairs = zip(found["clocks"], outside["clocks"], strict=True)
    found["clocks"] = [round((inside - here) / 60) for inside, here in pairs]
    # The outermost PID is any number, and so is the innermost one outside of new namespaces.
    found["status"]["NSpid"] = found["status"]["NSpid"][1:]
    return found


def the_programs(line: str) -> dict[str, Any] | str:
    """What the probe says under unshare(1), or why that failed."""
    done = subprocess.run(
        ["unshare", *shlex.split(line), *PROBE], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False, timeout=30, env=dict(os.environ),
    )  # fmt: skip
    return said(done.stdout) if done.returncode == 0 else done.stderr.strip().rpartition(": ")[2]


def ours(kind: str, line: str, cell: Cell) -> dict[str, Any]:
    words = [*shlex.split(line), "--strict"]
    if kind == "program":
        ran = cell.program([*words, *PROBE])
    else:
        ran = cell.python(words, lambda: json.dumps(probe.facts()))
    assert ran.result.ok, ran.err
    return said(ran.out)


def compare(kind: str, line: str, *, fenced: bool = True) -> None:
    need(line)
    if "-S" in line and os.geteuid() == 0:
        needs_open_python()
    expected, cell = the_programs(line), Cell(fenced=fenced)
    if isinstance(expected, dict):
        assert ours(kind, line, cell) == expected
    else:
        with pytest.raises(StepError, match=re.escape(expected)):
            ours(kind, line, cell)


@pytest.mark.parametrize("kind", ["program", "python"])
@pytest.mark.parametrize("line", [line.strip() for line in LINES])
def test_as_the_program_does(line: str, kind: str) -> None:
    compare(kind, line)


@skips.root_only
@pytest.mark.parametrize("kind", ["program", "python"])
@pytest.mark.parametrize("line", [line.strip() for line in OWNED])
def test_a_user_namespace_of_another_owner(line: str, kind: str) -> None:
    compare(kind, line)


@pytest.mark.parametrize("kind", ["program", "python"])
@pytest.mark.parametrize("line", ["-u", "-rmuin", "-c", "-fT --monotonic=9", "-rf"])
def test_the_same_without_a_cgroup(line: str, kind: str) -> None:
    compare(kind, line, fenced=False)


@skips.root_only
def test_without_fork_only_execve_enters_a_new_time_namespace() -> None:
    line = "-T --monotonic=1000"
    compare("program", line)
    found = ours("python", line, Cell())  # the forked notebook executes nothing
    assert found["namespaces"]["time_for_children"]
    assert not found["namespaces"]["time"]


@skips.needs(binfmt_misc_of_our_own)
@pytest.mark.parametrize("kind", ["program", "python"])
@pytest.mark.parametrize("line", [line.strip() for line in MISC])
def test_binfmt_misc(line: str, kind: str) -> None:
    compare(kind, line)
