"""Two learners on one machine at once: nobody sees, judges, ends or counts what is the other's."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nsmagic.labs.catalogue import load
from nsmagic.labs.exercises import EXERCISES
from nsmagic.labs.guard import SENTINELS
from tests.support.groups import groups_with_limits
from tests.support.kernel_driver import KernelDriver
from tests.support.skips import needs, root_only

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.linux
load()
NAMES = "from nsmagic.notebook.load import names_of_boxes"


class Learner:
    """A kernel, and what is known of its learner."""

    def __init__(self, kernel: KernelDriver) -> None:
        self.kernel = kernel

    def do(self, code: str) -> str:
        """Run a cell that works, and return what it shows."""
        run = self.kernel.run(code, raise_error=True)
        return run.stdout + (run.result["text/plain"] if run.result else "")

    def check(self, line: str) -> str:
        """How a check ended, on one line."""
        return " ".join(self.do(f"%lab check {line}").split())

    def value(self, expression: str) -> str:
        return self.do(f"print({expression})").strip()

    def guarded(self) -> None:
        """Nothing of this learner's changed; of what is everybody's, see `many`, the guard says."""
        said = self.do("%lab guard")
        for sentinel in SENTINELS:
            if not sentinel.many:
                assert re.search(rf"^{sentinel.name} +unchanged$", said, re.MULTILINE), said


@pytest.fixture(params=["the-same-user", "two-users"])
def learners(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Learner, Learner, bool]]:
    """Two with state directories of their own, and whether they are two users."""
    two = request.param == "two-users"
    if two and os.geteuid():
        pytest.skip("needs root")
    account = request.getfixturevalue("as_user") if two else None
    mine, theirs = ({"XDG_STATE_HOME": str(tmp_path / name)} for name in ("one", "other"))
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(KernelDriver(env=mine))
        other = stack.enter_context(KernelDriver(account=account, env=theirs))
        yield Learner(one), Learner(other), two


def test_the_same_lab_step_by_step(learners: tuple[Learner, Learner, bool]) -> None:
    one, other, two = learners
    for each in learners[:2]:
        each.do("%lab start 03")
    assert one.value("word") != other.value("word")
    assert one.value("playground") != other.value("playground")

    island = EXERCISES["island"]
    one.do(island.solution)
    assert one.check("island").endswith("✓ done")
    assert "not done yet: there is no box and no variable" in other.check("island")
    other.do(island.solution)  # a box of the same name
    assert other.check("island").endswith("✓ done")
    one.do(NAMES)
    other.do(NAMES)
    boxes = {each: each.value("*names_of_boxes()") for each in (one, other)}
    for mine, theirs in ((one, other), (other, one)):
        # Whoever points at the other's work is told that it is not his, or may not look.
        said = mine.check(f"island on {boxes[theirs]}")
        assert f"wrong: its host name is still {theirs.value('word')}" in said or (
            two and "cannot be checked here" in said
        ), said
        mine.guarded()

    other.do("%lab hint island")
    assert "where to read" in other.do("%lab hint island")
    assert "where to read" not in one.do("%lab hint island")  # for this one it is the first

    removed = one.do("%lab reset")
    assert "box island" in removed
    assert other.value("playground") not in removed
    assert not Path(f"/proc/{boxes[one]}").exists()
    assert Path(f"/proc/{boxes[other]}").exists()
    assert Path(other.value("playground")).is_dir()
    assert other.check("island").endswith("✓ done")
    other.guarded()
    one.do("%lab start 03")  # again, while the other is at it
    assert "not done yet" in one.check("island")
    one.do("%lab reset")
    assert other.check("island").endswith("✓ done")
    assert "box island" in other.do("%lab reset")


@root_only
@needs(groups_with_limits)
def test_two_groups_of_one_name(tmp_path: Path) -> None:
    with (
        KernelDriver() as first,
        KernelDriver(env={"XDG_STATE_HOME": str(tmp_path)}) as second,
    ):
        one, other = Learner(first), Learner(second)
        for each in (one, other):
            each.do("%lab start 05")
            each.do(EXERCISES["fence"].solution)
        one.do("%cgroup thaw fence")
        assert "wrong: it is not frozen" in one.check("fence")
        assert other.check("fence").endswith("✓ done")
        one.guarded()
        one.do("%lab reset")
        assert other.check("fence").endswith("✓ done")
        other.guarded()
        other.do("%lab reset")
