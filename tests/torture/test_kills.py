"""Kernels are killed at random moments: nothing of them is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.torture import workers
from tests.torture.scale import SCALE, SEED

if TYPE_CHECKING:
    from tests.torture.places import Place

pytestmark = [pytest.mark.torture, pytest.mark.timeout(SCALE.seconds)]

AT_ONCE = 4


def test_kernels_are_killed_at_random_moments(place: Place) -> None:
    print(f"NSMAGIC_SEED={SEED}")
    words = [*workers.options(place, SEED), "--rounds", str(SCALE.kills), "--step", str(AT_ONCE)]
    told = workers.run(
        "kills", ([*words, "--first", str(first)] for first in range(AT_ONCE)),
        seconds=SCALE.seconds,
    )  # fmt: skip
    assert len(told) == SCALE.kills
    bad = [row for row in told if row["left"] or row["wrong"]]
    assert not bad, bad
