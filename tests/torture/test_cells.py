"""Many cells of all kinds in one kernel: none hangs, nothing grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.torture import workers
from tests.torture.scale import SCALE, SEED
from tests.torture.victim import SPARE

if TYPE_CHECKING:
    from tests.torture.places import Place

pytestmark = [pytest.mark.torture, pytest.mark.timeout(SCALE.seconds)]

MEMORY = 20_000  # kB that they may cost, most of it what IPython remembers of each


def test_eight_kernels_at_once(place: Place) -> None:
    print(f"NSMAGIC_SEED={SEED}")
    count = str(max(10, SCALE.cells // 10))
    lines = [[*workers.options(place, f"{SEED} {n}"), "--cells", count] for n in range(8)]
    told = workers.run("cells", lines, seconds=SCALE.seconds)
    assert [(each["wrong"], each["left"], each["answer"]) for each in told] == [([], {}, "42")] * 8


def test_many_cells_in_one_kernel(place: Place) -> None:
    print(f"NSMAGIC_SEED={SEED}")
    words = [*workers.options(place, SEED), "--cells", str(SCALE.cells)]
    (told,) = workers.run("cells", [words], seconds=SCALE.seconds)
    assert told["wrong"] == []
    assert told["left"] == {}
    assert told["answer"] == "42"
    grown = {name: told["after"][name] - was for name, was in told["before"].items()}
    assert grown.pop("kernel's resident kB") < MEMORY, told["steps"]
    assert grown.pop("spawner's resident kB") < MEMORY, told["steps"]
    assert grown.pop("kernel's descriptors") <= SPARE["descriptors"]
    assert grown.pop("kernel's threads") <= SPARE["threads"]
    assert set(grown.values()) == {0}, grown
