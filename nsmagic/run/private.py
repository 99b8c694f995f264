"""The private group of a cell, box or kernel without limits: its whole tree is ended by it."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Final

from nsmagic.linux import cgroups
from nsmagic.run.ledger import Noted
from nsmagic.wish.limits.names import PREFIX

_NOTED: Final = partial(Noted, "cgroup")  # one object: what the probe found is kept for it


def private_group(name: str, *, probe: bool = True) -> Path | None:
    """Name a group of cgroup v2 that can be made, None where there is no place for one.

    Without `probe`, as for a plan alone, nothing is made to find out.
    """
    place = cgroups.private_place(probe=probe, noted=_NOTED)
    return None if place is None else place / f"{PREFIX}{os.getpid()}-{name}"
