"""Cells that nobody would write, in a real kernel: they work or fail cleanly, and leave nothing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st

from tests.fuzz.hostile import hold, sizes
from tests.fuzz.lines import BODIES, any_line, cells
from tests.fuzz.walled import CLEAN, Walled
from tests.support.skips import root_only

if TYPE_CHECKING:
    from tests.support.user import Account

# Heads that work, above what may not.
_HEADS = (
    "%%unshare --pid --mount-proc", "%%unshare -Urpfmn", "%%unshare --net --uts",
    "%%cgroup pids=50", "%%unshare --user --map-root-user --mount", "%%unshare --pid --init",
    "%%chroot /", "%%unshare --name web --uts", "%%unshare --bg --uts", "%%unshare --explain -r",
)  # fmt: skip


def runnable() -> st.SearchStrategy[str]:
    """Cells, line magics, and cells under a head that works."""
    lines = any_line().map(lambda pair: f"%{pair[0]} {pair[1]}")
    known = st.tuples(st.sampled_from(_HEADS), st.sampled_from(BODIES)).map("\n".join)
    mixed = st.tuples(st.sampled_from(_HEADS), cells()).map("\n".join)
    return st.one_of(known, mixed, cells(), lines)


@pytest.mark.parametrize("who", [pytest.param("root", marks=root_only), "user"])
@sizes(500)
def test_cells_in_a_kernel(as_user: Account, who: str, count: int) -> None:
    with contextlib.closing(Walled(None if who == "root" else as_user)) as walled:
        hold(count, runnable(), walled.check, shrink=False)
        print(dict(walled.seen))
        assert walled.seen["ok"]
        assert any(walled.seen[name] for name in CLEAN)
