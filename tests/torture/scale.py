"""How much of it: `make test` runs a little, `make torture` more, `make torture-long` very much."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Per configuration: how many kernels are killed, how many cells run in one, how many
    interrupts come, how many bytes a flood has, the step in which amounts grow; `seconds` are for
    each of them at the most.
    """

    kills: int
    cells: int
    interrupts: int
    flood: int
    step: int
    seconds: int


_SCALES = {
    "short": Scale(kills=6, cells=30, interrupts=10, flood=50 * 10**6, step=5, seconds=120),
    "full": Scale(kills=100, cells=1000, interrupts=200, flood=10**9, step=1, seconds=1200),
}
SCALE = _SCALES[os.environ.get("NSMAGIC_TORTURE", "short")]
# Printed by who uses it: with the same one the same moments come again.
SEED = os.environ.get("NSMAGIC_SEED") or str(time.time_ns())
