"""The Python API of cgroups."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import nsmagic
from nsmagic import Cgroup
from nsmagic.linux.cgroups.group import named_group
from nsmagic.linux.cgroups.places import Places
from nsmagic.run.ledger import ledger, read_entries
from nsmagic.run.sweep import sweep
from nsmagic.wish.errors import CgroupError, WishError
from nsmagic.wish.limits import parse_limits
from tests.support.groups import groups_with_limits, python
from tests.support.skips import needs

if TYPE_CHECKING:
    from tests.support.kernel_driver import KernelDriver

pytestmark = [pytest.mark.linux, needs(groups_with_limits)]
MAKE = """
import os, signal, sys
from nsmagic import Cgroup
made = Cgroup.make("left", "mem=64M")
print(*made.directories, flush=True)
"""
DIE = "os.kill(os.getpid(), signal.SIGKILL)"


def test_make_limit_sample_remove() -> None:
    with Cgroup.make("api", "mem=64M", "pids=20") as made:
        values = {reading.row.key: reading.value for reading in made.limits()}
        assert (values["mem"], values["pids"]) == (64 << 20, 20)
        noted = ledger().path
        assert noted is not None
        assert all(str(path) in noted.read_text() for path in made.directories)
        assert made.limit("mem=32M")[0].value == 32 << 20
        assert python(made, "print(1)") == (0, "1\n", "")
        assert Cgroup.find("api") == made
        sample = made.sample()
        assert sample is not None
        assert (sample["cpu.usage"] or 0) > 0
        assert sample.shown("cpu.usage").endswith(" s")
        assert "pids.current 0" in str(sample).splitlines()
        with pytest.raises(CgroupError, match="cannot be made"):
            Cgroup.make("api")
        assert made.exists()
    assert not made.exists()
    with pytest.raises(CgroupError, match="there is no group"):
        Cgroup.find("api")


def test_refused_before_anything_is_made() -> None:
    for name in ("../x", "", "a/b"):
        with pytest.raises(WishError):
            Cgroup.make(name, "mem=64M")
    with pytest.raises(WishError, match="nearest: mem"):
        Cgroup.make("api", "mme=64M")


def test_what_could_not_be_made_is_not_in_the_ledger() -> None:
    rows = [limit.row for limit in parse_limits(["mem=64M"])]
    *others, taken = named_group(Places().find(rows), os.getpid(), "api", rows).directories
    taken.mkdir()
    try:
        with pytest.raises(CgroupError, match="cannot be made"):
            Cgroup.make("api", "mem=64M")
        assert not any(path.exists() for path in others)
        assert (path := ledger().path) is not None
        assert not {str(each) for each in others} & {what for _, what in read_entries(path)}
    finally:
        taken.rmdir()


def test_many_one_after_the_other_leave_nothing_for_the_end() -> None:
    with Cgroup.make("api"):
        before = atexit._ncallbacks()
    with Cgroup.make("api"):
        assert atexit._ncallbacks() == before


def directories_after(code: str) -> tuple[int, list[Path]]:
    done = subprocess.run(
        [sys.executable, "-c", MAKE + code], stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.stdout
    return done.returncode, [Path(path) for path in done.stdout.split()]


def test_nothing_is_left_when_python_ends() -> None:
    status, made = directories_after("")
    assert status == 0
    assert not any(path.exists() for path in made)


def test_nothing_is_left_when_a_cell_ends_that_made_one(kernel: KernelDriver) -> None:
    """Its Python ends as every Python does; what the notebook would do at its end is not its."""
    kernel.run("from nsmagic import Cgroup\nown = Cgroup.make('outside', 'pids=9')",
               raise_error=True)  # fmt: skip
    cell = "%%unshare --uts\nprint(*Cgroup.make('inside', 'pids=9').directories)"
    made = [Path(path) for path in kernel.run(cell, raise_error=True, timeout=60).stdout.split()]
    assert made
    assert [path for path in made if path.exists()] == []
    assert kernel.run("print(own.exists(), own.remove())").stdout == "True 0\n"


def test_what_a_killed_python_left_is_swept() -> None:
    status, made = directories_after(DIE)
    assert status == -signal.SIGKILL
    assert all(path.exists() for path in made)
    sweep()
    assert not any(path.exists() for path in made)


def test_public_names() -> None:
    assert set(nsmagic.__all__) <= set(dir(nsmagic)) | set(nsmagic._PUBLIC)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        nsmagic.nothing  # noqa: B018
