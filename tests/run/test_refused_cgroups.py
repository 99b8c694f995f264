"""Cgroups that take no process: real refusals, and what is said of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from nsmagic.linux import cgroups, syscalls
from nsmagic.linux.circumstances import read_circumstances
from nsmagic.run.perform import perform
from nsmagic.wish import steps
from nsmagic.wish.hints import hint_for
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.plan import Plan
from tests.support.skips import needs, probe, root_only

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nsmagic.wish.steps import Step
    from tests.support.user import Account


@probe
def private_groups() -> str | None:
    """Can a group be made here?"""
    return None if cgroups.private_place() else "no cgroup v2 that we may write"


@probe
def passed_on_controllers() -> str | None:
    """Does a group made here get controllers?  What is above it is not ours to change."""
    place = cgroups.private_place()
    passed_on = place and (place / "cgroup.subtree_control").read_text().split()
    return None if passed_on else "no cgroup v2 controllers here"


@pytest.fixture
def group() -> Iterator[Path]:
    place = cgroups.private_place()
    assert place is not None
    folder = place / f"nsmagic-{os.getpid()}-refusals"
    folder.mkdir()
    yield folder
    folder.rmdir()


def hint(step: Step, error: OSError) -> str:
    assert error.errno is not None
    plan = Plan(isolation=Isolation(), steps=(step,))
    return hint_for(step, error.errno, read_circumstances(plan, step))


def clone_into(group: Path) -> None:
    """Make a process in the group, which ends at once."""
    descriptor = os.open(group, os.O_PATH)
    try:
        pid = syscalls.continue_as_child(descriptor, sibling=False)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    finally:
        os.close(descriptor)


@needs(private_groups)
@root_only
class TestRefusedCgroups:
    def test_a_group_that_is_gone(self, group: Path) -> None:
        step = steps.EnterCgroup(cgroup=f"{group}/gone")
        with pytest.raises(FileNotFoundError) as caught:
            perform(step)
        assert hint(step, caught.value) == f"The cgroup {group}/gone is not there (any more)."

    @needs(passed_on_controllers)
    def test_a_group_with_controllers_below(self, group: Path) -> None:
        controller = (group / "cgroup.controllers").read_text().split()[0]
        (group / "cgroup.subtree_control").write_text(f"+{controller}")
        with pytest.raises(OSError, match="busy") as caught:
            clone_into(group)
        text = hint(steps.Fork(cgroup=str(group)), caught.value)
        assert f"{group} passes controllers on to its children" in text

    def test_a_group_of_somebody_else(self, group: Path, as_user: Account) -> None:
        code = f"open('{group}/cgroup.procs', 'w').write('0')"
        done = as_user.run(["python3", "-c", code])
        assert "PermissionError: [Errno 13]" in done.stderr
        text = hint(steps.EnterCgroup(cgroup=str(group)), PermissionError(13, "refused"))
        why, fix = text.split("\n")
        assert f"may not move processes to {group}" in why
        assert "systemd-run --user --scope -p Delegate=yes" in fix
