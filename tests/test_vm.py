"""The tests marked `linux` once more, where other things are allowed: cgroup v2 guests, a user.

`make test` runs the core of them as an ordinary user on this machine, looks whether the guest has
what it should, and runs the tests of cgroups there.  `make test-all` runs the core in User Mode
Linux, where a system call costs ten times as much, and in Debian's stock kernel, which has cpuset
and PSI, and all of them as a user.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.isolation.page import PAGE, WHO, differing, section, table, written
from tests.support.skips import needs, probe
from tests.support.user import PROJECT

if TYPE_CHECKING:
    from tests.support.user import Account

RUN_IN_VM = Path(__file__).parent / "vm" / "run-in-vm"
KERNELS = [
    pytest.param("uml", marks=pytest.mark.vm),
    pytest.param("6.12", marks=[pytest.mark.vm, pytest.mark.slow]),
]
BOOT = 300  # s; the first boot downloads the image
AGAIN = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=5"]
ALL = [*AGAIN, "-m", "linux and not vm and not browser and not slow"]
# One file for each thing that differs: bodies, stopping, who ends a tree, kept files, the lab,
# whole kernels.
CORE = [*ALL, "tests/notebook/test_python_body.py", "tests/notebook/test_body_ends.py"]
CORE += ["tests/run/test_tree.py", "tests/run/test_keeper.py", "tests/run/test_persist.py"]
CORE += ["tests/notebook/test_other_root.py", "tests/test_notebooks.py"]
CORE += ["tests/notebook/test_boxed_limits.py"]
CGROUPS = [*ALL, "tests/linux/test_cgroups.py", "tests/linux/test_cgroup_places.py"]
CGROUPS += ["tests/notebook/test_cgroup.py"]
CGROUPS += ["tests/linux/test_cgroup_systemd.py"]
# Kernels killed and hostile bodies, by who one is in the guest; the rest needs more processors.
TORTURE = [*AGAIN, "tests/torture/test_kills.py", "tests/torture/test_attacks.py"]
# Cells that nobody would write, in a kernel there.
FUZZ = [*AGAIN, "-s", "tests/fuzz/test_running.py", "-k", "all"]
PROBE = [*AGAIN, "-s", "tests/isolation/rows.py"]


@probe
def can_boot() -> str | None:
    """The guest wants root for its files and apt-get for its first image."""
    if os.geteuid() != 0:
        return "needs root"
    if not Path("/usr/bin/apt-get").exists():
        return "no apt-get: the images come from Debian"
    return None


def guest(
    account: Account, *command: str, kernel: str = "uml", user: bool = False, timeout: float = BOOT
) -> str:
    """Run a command in a guest, in the copy of the project; AssertionError unless it works."""
    options = ["-k", kernel, "-t", str(int(timeout))] + (["-u", "nobody"] if user else [])
    if PROJECT.is_relative_to("/tmp"):  # whose own the guest has; Python is in the project
        options += ["-w", str(PROJECT)]
    done = subprocess.run(
        [RUN_IN_VM, *options, "--", "sh", "-c", 'cd project && exec "$0" "$@"', *command],
        # The guest's /tmp is fresh but for the directory we start in: the user's home.
        cwd=account.home,
        env=os.environ | account.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=timeout + BOOT,
    )
    assert done.returncode == 0, f"exit {done.returncode} in the guest\n{done.stdout}"
    return done.stdout


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("user", [False, True], ids=["root", "user"])
@needs(can_boot)
@pytest.mark.timeout(2 * BOOT)
def test_guest_has_pure_v2_and_nsmagic(as_user: Account, kernel: str, user: bool) -> None:
    script = """
import os, nsmagic
from pathlib import Path
mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if "cgroup" in line]
own = Path("/proc/self/cgroup").read_text().strip().removeprefix("0::")
print(os.getuid(), [line.split()[2] for line in mounts], own.rsplit("/")[-1])
print(*Path("/sys/fs/cgroup/cgroup.controllers").read_text().split())
made = Path("/sys/fs/cgroup" + own).parent / "nsmagic-smoke"
made.mkdir()
print((made / "memory.max").read_text().strip(), os.access(made / "memory.max", os.W_OK))
print(nsmagic.__file__)
"""
    lines = guest(as_user, as_user.python, "-c", script, kernel=kernel, user=user).splitlines()
    unit = "run.scope" if user else "run.service"
    assert lines[0] == f"{65534 if user else 0} ['cgroup2'] {unit}"
    assert {"cpu", "io", "memory", "pids"} <= set(lines[1].split())
    assert lines[2] == "max True"
    assert lines[3] == f"{as_user.project}/nsmagic/__init__.py"


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("user", [False, True], ids=["root", "user"])
@needs(can_boot)
@pytest.mark.timeout(3 * BOOT)
def test_cgroups_of_version_2(as_user: Account, kernel: str, user: bool) -> None:
    # Who asks makes a difference to places and magics, and none to what groups do.
    chosen = ["-k", "not TestCpu and not TestEnd and not TestSamples"] if user else []
    said = guest(as_user, as_user.python, *CGROUPS, *chosen, kernel=kernel, user=user)
    print(said)
    assert "no cgroup v2 controllers here" not in said


@pytest.mark.slow
@pytest.mark.parametrize("user", [False, True], ids=["root", "user"])
@needs(can_boot)
@pytest.mark.timeout(3 * BOOT)
def test_torture_on_version_2(as_user: Account, user: bool) -> None:
    print(guest(as_user, as_user.python, *TORTURE, user=user, timeout=2 * BOOT))


@pytest.mark.slow
@pytest.mark.parametrize("user", [False, True], ids=["root", "user"])
@needs(can_boot)
@pytest.mark.timeout(3 * BOOT)
def test_hostile_cells_on_version_2(as_user: Account, user: bool) -> None:
    several = ["env", f"NSMAGIC_FUZZ={200 / 500}"]
    print(guest(as_user, *several, as_user.python, *FUZZ, user=user, timeout=2 * BOOT))


@pytest.mark.slow
@pytest.mark.parametrize("who", WHO)
@needs(can_boot)
@pytest.mark.timeout(2 * BOOT)
def test_the_page_says_what_the_probes_find_on_version_2(as_user: Account, who: str) -> None:
    told = guest(as_user, as_user.python, *PROBE, user=who == "user").splitlines()
    machine, rows = next(json.loads(line) for line in told if line.startswith('["yama'))
    if who == "user":
        assert written("machine, version 2", machine) == machine
    differs = differing(table(rows), section(PAGE.read_text(), who))
    assert written(f"{who}, version 2", differs) == differs


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("user", [False, True], ids=["root", "user"])
@needs(can_boot)
@pytest.mark.timeout(3 * BOOT)
def test_linux_tests_pass_in_the_guest(as_user: Account, kernel: str, user: bool) -> None:
    print(guest(as_user, as_user.python, *CORE, kernel=kernel, user=user, timeout=2 * BOOT))


@pytest.mark.parametrize("tests", [CORE, pytest.param(ALL, marks=pytest.mark.slow)])
@pytest.mark.skipif(os.geteuid() != 0, reason="is about an ordinary user")
@pytest.mark.timeout(3 * BOOT)
def test_linux_tests_pass_as_an_ordinary_user(as_user: Account, tests: list[str]) -> None:
    done = subprocess.run(
        [as_user.python, *tests],
        cwd=as_user.project,
        env=os.environ | as_user.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **as_user.popen,
    )
    assert done.returncode == 0, done.stdout
    print(done.stdout)


def test_the_command_in_the_guest_fails_loudly() -> None:
    done = subprocess.run([RUN_IN_VM, "-k", "mars", "true"], capture_output=True, check=False)
    assert done.returncode == 125
    assert PROJECT in RUN_IN_VM.parents
