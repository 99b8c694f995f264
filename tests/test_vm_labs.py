"""The labs in the guest with cgroup v2: a file of their own, for another worker than `test_vm`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.skips import needs
from tests.test_vm import ALL, BOOT, KERNELS, can_boot, guest

if TYPE_CHECKING:
    from tests.support.user import Account

# Each lab solved; and the exercise that only cgroup v2 can be asked, with its wrong solutions.
LABS = [*ALL, "tests/labs/test_lab_notebooks.py", "tests/labs/test_exercises.py"]
LABS += ["-k", "(test_solved and ourselves) or refused[suit]"]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("user", [False, pytest.param(True, marks=pytest.mark.slow)],
                         ids=["root", "user"])  # fmt: skip
@needs(can_boot)
@pytest.mark.timeout(3 * BOOT)
def test_all_labs_are_done_on_version_2(as_user: Account, kernel: str, user: bool) -> None:
    said = guest(as_user, as_user.python, *LABS, kernel=kernel, user=user, timeout=2 * BOOT)
    print(said)
    assert re.search(r"^7 passed, \d+ deselected", said, re.MULTILINE), said  # and none skipped
