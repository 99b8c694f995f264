"""The system calls that a plan claims are the ones that strace(1) sees, in that order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nsmagic.linux import cgroups
from nsmagic.linux.situation import read_situation
from nsmagic.notebook.request import read_request
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.plan import Plan, make_plan
from nsmagic.wish.steps import Exec, Mask, ReadOnly, RunPython, Step
from nsmagic.wish.unshare import settle
from tests.support import sandboxes
from tests.support.sandboxes import Prefix
from tests.support.skips import needs, probe, root_only

pytestmark = [pytest.mark.linux, root_only]

RUN = """
import sys
from tests.support.plain_shell import plain_shell
plain_shell().run_cell(f"%%{sys.argv[1]}\\n" + sys.argv[2]).raise_error()
"""
PROFILE = """
from nsmagic import Isolation, run
assert run(Isolation(profile="hardened"), ["/bin/true"]).result.ok
"""
CALLS = (
    "unshare,clone,clone3,execve,write,mount,chroot,chdir,setgroups,setgid,setuid,prctl,capset,"
    "openat,mount_setattr,keyctl,ioctl"
)
STRACE = ["strace", "-ff", "-ttt", "-y", "-s", "256", "-e", f"trace={CALLS}"]


@probe
def strace_works() -> str | None:
    """Whether strace(1) is there and may trace, which containers often forbid."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    done = subprocess.run(["strace", "-o/dev/null", "true"], capture_output=True, check=False)
    return None if done.returncode == 0 else "strace may not trace here (ptrace(2) is refused)"


def traced(
    folder: Path, line: str, body: str, prefix: Prefix = list, magic: str = "unshare"
) -> list[str]:
    """Every system call of a process with nsmagic and all it made, in the order of their start.

    Those that failed are left out: execve(2) is tried along PATH.
    """
    return traced_python(folder, [RUN, f"{magic} {line}", body], prefix)


def traced_python(folder: Path, words: list[str], prefix: Prefix = list) -> list[str]:
    """The same of a Python that runs a text, with arguments."""
    done = subprocess.run(
        prefix([*STRACE, "-o", str(folder / "trace"), sys.executable, "-c", *words]),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [
        (float(row.split()[0]), row.partition(" ")[2], file.suffix[1:])
        for file in folder.glob("trace.*")
        for row in file.read_text().splitlines()
    ]
    return [as_claimed(call, pid) for _, call, pid in sorted(rows) if " = -1 " not in call]


# What only a run can know, and members of structures that say nothing of isolation.
VARYING = (
    (r"( <unfinished \.\.\.>)?\)\s+= (\?|\d+).*$", ")"),
    (r"^(\w+\(AT_FDCWD)<[^>]*>", r"\1"),
    (r"\b\d+<", "FD<"),
    (r"/proc/\d+/|nsmagic-\d+-cell-\d+", lambda m: "/proc/PID/" if "/" in m[0] else "nsmagic-CELL"),
    (r'"(new[ug]idmap)", "\d+"', r'"\1", "PID"'),
    (r'^execve\("[^"]*", \["([^"/]*)"', r'execve(".../\1", ["\1"'),
    (r"0x\w+ /\* \d+ vars \*/", "ENV"),
    (r"^(clone\(child_stack=NULL, flags=[\w|]+)[^)]*", r"\1"),
    (r"^(clone3\({flags=[\w|]+),.*cgroup=\d+.*", r"\1, cgroup=FD})"),
    (r"^(capset\({[^}]*}), (?!{effective=0, permitted=0,).*", r"\1, ...)"),
    (r"(PR_CAPBSET_DROP), .*", r"\1, ...)"),
    (r"filter=0x\w+", "filter=..."),
    (r"^(ioctl\(FD)<[^>]*>", r"\1"),
    (r"({attr_set=\w+),[^}]*", r"\1"),
    (r'"/proc/self/fd/\d+"', '"/proc/self/fd/FD"'),
    (r"(PR_CAP_AMBIENT_RAISE), .*", r"\1, ...)"),
)


def as_claimed(call: str, pid: str) -> str:
    """A line of strace, made by the process `pid`, in the words of Step.syscalls()."""
    call = call.replace(f"</proc/{pid}/", "</proc/self/")
    for pattern, words in VARYING:
        call = re.sub(pattern, words, call)
    return call


def assert_made(seen: list[str], line: str, place: Path | None, magic: str = "unshare") -> None:
    """Each call that the plan for `line` claims is among the seen ones, after the one before."""
    request = read_request(magic, line, "")
    group = None if place is None else str(place / "nsmagic-CELL")
    body = Exec(argv=request.program) if request.program else RunPython()
    situation, ours = read_situation(request.wish, group), request.ours
    plan = make_plan(request.wish, situation, body, strict=ours.strict, init=ours.init)
    assert_claims(seen, plan)


def assert_claims(seen: list[str], plan: Plan) -> None:
    at = 0
    for step in plan.steps:
        for call in step.syscalls():
            if not call.startswith("(") and not is_about_nothing(step, call):
                assert call in seen[at:], (step, [c for c in seen if c[:5] == call[:5]][-8:])
                at = seen.index(call, at) + 1


def is_about_nothing(step: Step, call: str) -> bool:
    """Whether a profile would cover a file that this machine does not have."""
    if not isinstance(step, Mask | ReadOnly):
        return False
    return not Path(call.split('"')[3 if isinstance(step, Mask) else 1]).exists()


@needs(strace_works)
@pytest.mark.parametrize(
    "line",
    [
        "--pid --mount-proc",
        "--net --uts --ipc --cgroup",
        "--map-root-user --pid --mount --propagation slave",
        "--map-root-user --time --monotonic 100 --boottime 5",
        "--map-root-user --keep-caps",
        "--map-users 0:100000:5 --map-groups 0:100000:5 --setgroups allow --mount",
        "--mount --propagation unchanged --mount-proc --root / --wd /tmp --setgid 7 --setuid 8",
        "--mount --propagation shared --mount-proc=/proc",
        "--uts=FOLDER/kept",
        "--pid --net --mount-proc env true",
        "--map-current-user --uts /bin/true",
        "--strict --time /bin/true",
        "--pid --mount-proc --init",
    ],
)
def test_every_call_claimed_is_made_in_that_order(line: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    line = line.replace("FOLDER", str(tmp_path))
    seen = traced(tmp_path, line, "" if "true" in line else "pass")
    if kept.exists():
        subprocess.run(["umount", kept], check=True)
    assert_made(seen, line, None if "--pid" in line else cgroups.private_place())


@needs(strace_works)
@pytest.mark.parametrize("program", ["", " /bin/true"])
def test_every_call_of_chroot_is_made(program: str, tmp_path: Path) -> None:
    line = f"--userspec=+5:+6 --groups=7,+8 /usr/..{program}"
    seen = traced(tmp_path, line, "" if program else "pass", magic="chroot")
    assert_made(seen, line, cgroups.private_place(), "chroot")


@needs(strace_works, sandboxes.sandboxes_work)
def test_where_no_cgroup_can_be_made_a_keeper_forks_the_cell(tmp_path: Path) -> None:
    seen = traced(tmp_path, "--net", "pass", sandboxes.no_cgroup)
    assert_made(seen, "--net", None)
    assert "prctl(PR_SET_CHILD_SUBREAPER, 1)" in seen


@needs(strace_works)
def test_every_call_of_a_profile_is_made(tmp_path: Path) -> None:
    seen = traced_python(tmp_path, [PROFILE])
    wish = settle(Isolation(profile="hardened"))
    assert_claims(seen, make_plan(wish, read_situation(wish), Exec(argv=("/bin/true",))))


@needs(strace_works)
def test_a_false_claim_is_noticed(tmp_path: Path) -> None:
    seen = traced(tmp_path, "--uts", "pass")
    assert "unshare(CLONE_NEWUTS)" in seen
    assert "unshare(CLONE_NEWNET)" not in seen
