"""What each option of nsenter(1) does to Linux's state: as the installed program does it.

One probe is run four times: by nsenter(1), as a program cell that the launcher sets up or a fork of
the spawner, and as a Python cell, in the namespaces of processes that unshare(1) started.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nsmagic.linux import cgroups
from nsmagic.linux.namespaces import read_links
from nsmagic.linux.processes import life_of
from nsmagic.run.inherited import own_status, surroundings
from nsmagic.run.launchorder import launch_order, program_file
from nsmagic.run.perform import perform
from nsmagic.run.spawning import close_spawner, spawner
from nsmagic.wish.errors import StepError
from nsmagic.wish.nsenter import read_nsenter
from nsmagic.wish.steps import Exec, Join
from tests.run import probe
from tests.run.direct import Cell
from tests.run.test_perform import PROBE, said
from tests.support.programs import needs_open_python
from tests.support.skips import needs
from tests.support.skips import probe as probe_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.run.direct import Ran

pytestmark = pytest.mark.linux

ROOT = os.geteuid() == 0
# How each target is made; `sleep` says when it is there.
TARGETS = {
    "all": "-fUrmuinpCT --mount-proc",
    "user": "-Ur",
    "mapped": "-c",
    "bare": "-U",
} | ({"no user": "-fmuinp", "net": "-n", "root": "-m -R /usr/.. -w /usr"} if ROOT else {})
KEEP = "" if ROOT else " --preserve-credentials"
LINES = {
    "all": (
        f"-a{KEEP} | -U{KEEP} | -Uu{KEEP} | -U -u{KEEP} | -U -n -m -p{KEEP} | -U -p -F{KEEP} | -u"
        f" | -U -T{KEEP} | -U -C{KEEP} | -a -r{KEEP} | -a -w{KEEP} | -a -r -w{KEEP} | -a -e{KEEP}"
        f" | -U -m -p -r{KEEP} | -a -w/usr{KEEP} | -U -m -r/{KEEP} | -a"
        f" | -U -u/proc/self/ns/uts{KEEP} | -U -n -u/proc/self/ns/uts{KEEP}"
    ),
    "user": f"-a{KEEP} | -U -S 0{KEEP} | -U -G 0{KEEP} | -U -S 5{KEEP} | -U | -m{KEEP}",
    "mapped": f"-a{KEEP} | -U -S 0{KEEP}",
    "bare": f"-a{KEEP} | -U",
    "no user": "-a | -m -u -i -n -p | -p | -p -F | -m -r | -m -w | -a -S 1000 -G 1000 | -a -S 7"
    " | -a -G 7 | -u -e | -U | -p -F -S 7 -G 7 | -n -F -G 7",
    "net": "-n | -n/proc/{pid}/ns/net | -n -u -i | -w | -r | -n -w/usr | --net=/proc/{pid}/ns/uts"
    " | --net=/etc/passwd | --net=/nowhere | -n -r/nowhere | -n -w/etc/passwd",
    "root": "-m | -m -r | -m -w | -m -r -w | -a -r",
}
if not ROOT:  # nsenter(1) would enter namespaces of the machine's, which it shares: EPERM
    LINES |= {name: LINES[name].removeprefix(f"-a{KEEP} | ") for name in ("user", "mapped", "bare")}
CASES = [(target, line.strip()) for target in TARGETS for line in LINES[target].split("|")]


@pytest.fixture(scope="module", autouse=True)
def one_spawner() -> Iterator[None]:
    spawner()
    yield
    close_spawner()


@pytest.fixture(scope="module")
def targets() -> Iterator[dict[str, int]]:
    """PIDs of processes in namespaces of their own, by name."""
    started, pids = [], {}
    for name, line in TARGETS.items():
        argv = ["unshare", "--kill-child", *line.split(), "sh", "-c", "echo up; exec sleep 1000"]
        if "f" not in line:
            argv.remove("--kill-child")
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, env={**os.environ, "TARGETS_OWN": "1"}
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        pids[name] = process.pid
        if "f" in line:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            pids[name] = int(children)
    yield pids
    for process in started:
        process.kill()
        process.communicate()


def the_programs(words: list[str]) -> dict[str, Any] | str:
    """The facts that nsenter(1) comes to, or the error in words."""
    done = subprocess.run(
        ["nsenter", *words, *PROBE], capture_output=True, text=True, check=False,
        env=dict(os.environ),  # without what readline adds to the one of C
    )  # fmt: skip
    return said(done.stdout) if done.returncode == 0 else done.stderr.strip().rpartition(": ")[2]


@probe_for
def a_group() -> str | None:
    """Without one, a fork of the spawner stays as the keeper of the cell's tree."""
    return None if cgroups.private_place() else "no cgroup v2 of ours here"


@contextlib.contextmanager
def helper(kind: str) -> Iterator[None]:
    """Have program cells set up by the launcher, where there is one, or else by Python."""
    if kind == "launcher" and not program_file().exists():
        pytest.skip(f"no launcher for {platform.machine()}")
    before = spawner().launches
    spawner().launches = kind == "launcher"
    yield
    spawner().launches = before


def ours(kind: str, words: list[str], cell: Cell) -> dict[str, Any] | str:
    try:
        if kind == "python":
            ran = cell.python(words, lambda: json.dumps(probe.facts()))
        else:
            with helper(kind):
                ran = cell.program([*words, *PROBE])
    except StepError as error:
        return os.strerror(error.number)
    assert ran.result.ok, ran.err
    return said(ran.out)


def of_no_interest(facts: dict[str, Any] | str) -> dict[str, Any] | str:
    """Without PIDs, which count on, and the directory that -a changes in nsenter(1).

    It enters the notebook's own mount namespace too, which leads to /; newer ones also the others.
    """
    if isinstance(facts, dict):
        facts["status"]["NSpid"] = len(facts["status"]["NSpid"])
        if not facts["namespaces"]["mnt"]:
            del facts["cwd"]
    return facts


@pytest.mark.parametrize("kind", ["launcher", "fork", "python"])
@pytest.mark.parametrize(("target", "line"), CASES)
def test_as_the_program_does(target: str, line: str, kind: str, targets: dict[str, int]) -> None:
    if " -e" in line and "--env" not in subprocess.getoutput("nsenter --help"):
        pytest.skip("nsenter here has no --env")
    if "-S" in line and os.geteuid() == 0:
        needs_open_python()
    words = ["-t", str(targets[target]), *line.format(pid=targets[target]).split(" ")]
    expected = of_no_interest(the_programs(words))
    for fenced in (True, False):
        cell = Cell(read=read_nsenter, fenced=fenced)
        assert of_no_interest(ours(kind, ["--strict", *words], cell)) == expected


# Each is refused of one target or another, by Linux or because there is no such file.
REFUSED = (
    "-n/nowhere | -n/etc/passwd | -n/proc/{pid}/ns/uts | -u/proc/{pid}/ns/uts -n/nowhere"
    " | -u -r/nowhere | -u -w/nowhere | -u -w/etc/passwd | -u -r/etc/passwd | -u -W/nowhere"
    " | -U -n -m -S 5 | -U -G 7 | -a | -U | -n -u | -m"
)


def refusal(line: str, pid: int) -> tuple[str, int, str | None] | None:
    """The step, errno and path of a refused line."""
    words = ["-t", str(pid), *line.strip().format(pid=pid).split(" ")]
    try:
        Cell(read=read_nsenter).program(["--strict", *words, "true"])
    except StepError as error:
        return error.step.label, error.number, error.path
    return None


@pytest.mark.parametrize("target", TARGETS)
def test_a_refusal_is_told_alike_by_the_launcher_and_by_python(
    target: str, targets: dict[str, int]
) -> None:
    told = []
    for kind in ("launcher", "fork"):
        with helper(kind):
            told.append({line: refusal(line, targets[target]) for line in REFUSED.split("|")})
    assert told[0] == told[1]
    assert any(told[0].values())


@pytest.mark.parametrize("kind", ["launcher", "fork"])
def test_a_program_cell_for_a_pid_that_is_another_process_now(
    kind: str, targets: dict[str, int]
) -> None:
    dead = subprocess.Popen(["true"])
    while life_of(dead.pid)[1]:
        pass
    alive = targets["user"]
    start, _ = life_of(alive)
    cell = Cell(read=read_nsenter)
    plan, group = cell.plan(["-t", str(alive), "-U", *KEEP.split(), "true"], Exec(argv=("true",)))

    def into(pid: int, began: int) -> Ran:
        changed = [
            replace(step, pid=pid, start=began) if isinstance(step, Join) else step
            for step in plan.steps
        ]
        return cell.run(replace(plan, steps=tuple(changed)), group)

    with helper(kind):
        assert into(alive, start).result.ok
        for pid, began in ((alive, start + 1), (dead.pid, 0)):
            with pytest.raises(StepError, match="No such process") as refused:
                into(pid, began)
            assert (refused.value.step.name, refused.value.path) == ("setns", f"/proc/{pid}")
    dead.wait()


@pytest.mark.parametrize("kind", ["launcher", "fork"])
@pytest.mark.parametrize("name", [") Z 1 (", ")", "(", "))) X 0 0", " "])
def test_a_target_whose_name_looks_like_the_fields_of_stat(name: str, kind: str) -> None:
    code = "import sys; open('/proc/self/comm', 'w').write(sys.argv[1]); print(flush=True); input()"
    argv = ["unshare", "-Ur", PROBE[0], "-I", "-S", "-c", code, name]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as target:
        assert target.stdout is not None
        target.stdout.readline()
        assert Path(f"/proc/{target.pid}/comm").read_text() == f"{name}\n"
        words = ["-t", str(target.pid), "-U", *KEEP.split(), "readlink", "/proc/self/ns/user"]
        with helper(kind):
            ran = Cell(read=read_nsenter).program(words)
        assert ran.out.strip() == os.readlink(f"/proc/{target.pid}/ns/user")
        target.communicate(b"\n")


@needs(a_group)
def test_the_launcher_does_what_enters_a_whole_process(targets: dict[str, int]) -> None:
    """Else all of these would compare Python with itself."""
    words = ["-t", str(targets["all"]), "-a", *KEEP.split(), "-r", "-w", "true"]
    plan, _ = Cell(read=read_nsenter).plan(words, Exec(argv=("true",)))
    taken = surroundings(own_status())
    assert launch_order(plan.steps, taken, taken, tty=False) is not None


def test_a_pid_that_is_another_process_now() -> None:
    """A plan is for one process for ever, not for its number."""
    sleeper = subprocess.Popen(["sleep", "1000"])
    start, _ = life_of(sleeper.pid)
    for step in (Join(pid=sleeper.pid, start=start + 1, types=("uts",)), Join(pid=1, start=start)):
        with pytest.raises(OSError, match="No such process"):
            perform(replace(step, types=("uts",)))
    sleeper.kill()
    sleeper.wait()
    with pytest.raises(OSError, match="No such process"):
        perform(Join(pid=sleeper.pid, start=start, types=("uts",)))


def test_nothing_of_the_outside_stays_open(targets: dict[str, int]) -> None:
    def descriptors() -> str:
        links = []
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):  # of the listing itself
                links.append(os.readlink(f"/proc/self/fd/{name}"))
        return json.dumps(links)

    words = ["-t", str(targets["all"]), "-a", *KEEP.split(), "-r"]
    for fenced in (True, False):
        ran = Cell(read=read_nsenter, fenced=fenced).python(words, descriptors)
        held = [link for link in json.loads(ran.out) if not link.startswith(("pipe:", "socket:"))]
        assert [link for link in held if "/proc" in link and "/fd" not in link] == []


def test_the_notebook_itself_goes_nowhere(targets: dict[str, int]) -> None:
    before = read_links("/proc/self")
    Cell(read=read_nsenter).program(["-t", str(targets["user"]), "-a", *KEEP.split(), "true"])
    assert read_links("/proc/self") == before
    assert sys.path
