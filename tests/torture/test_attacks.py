"""Bodies that misbehave: nothing of them is left, and the kernel answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.torture.attacks import ATTACKS
from tests.torture.scale import SCALE
from tests.torture.victim import Victim

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.torture.attacks import Attack

pytestmark = [pytest.mark.torture, pytest.mark.timeout(SCALE.seconds)]

# What holds the cell's processes together: its cgroup or the keeper, or a PID namespace.
HOLDS = {"tree": "--uts", "pid": "--pid --mount --mount-proc"}


def cells(attack: Attack) -> Iterator[str]:
    for hold, options in HOLDS.items():
        if hold == "pid" or not attack.pid:
            if attack.python:
                yield f"%%unshare {options}\n{attack.python}"
            if attack.bash:
                yield f"%%unshare {options} bash\n{attack.bash}"


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack(name: str, victim: Victim) -> None:
    for cell in cells(ATTACKS[name]):
        print(cell)
        run = victim.attack(cell, after=ATTACKS[name].after)
        victim.check(run)
