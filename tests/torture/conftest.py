"""The places of torture."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import leaks
from tests.support.sandboxes import sandboxes_work
from tests.support.skips import NEEDS_ROOT
from tests.torture.places import PLACES, Place
from tests.torture.scale import SCALE
from tests.torture.victim import Victim

if TYPE_CHECKING:
    from collections.abc import Iterator


# Of these `make test` runs every third: each attack in one place, and every place in turn.
_THINNED = ("test_attacks", "test_cells", "test_extremes", "test_interrupts", "test_shortage")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what `make test` has no time for."""
    here = Path(__file__).parent
    ours = [item for item in items if item.path.parent == here and item.path.stem in _THINNED]
    left_out = set() if SCALE.step == 1 else {i for n, i in enumerate(ours) if n % len(PLACES)}
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session", params=PLACES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """As root with cgroups, as root without, as an ordinary user; or as who we are already."""
    if os.geteuid() != 0 and request.param != "user":
        pytest.skip(NEEDS_ROOT)
    if request.param == "keeper" and (reason := sandboxes_work()):
        pytest.skip(reason)
    if request.param == "user":
        account = request.getfixturevalue("as_user")
        yield Place(name="user", home=account.home, account=account)
        return
    home = Path(tempfile.mkdtemp(prefix="nst-", dir="/tmp"))  # short: sockets are made below it
    leaks.own_directories.add(str(home))
    yield Place(name=request.param, home=home)
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def victim(place: Place) -> Iterator[Victim]:
    """A kernel there, for a file's tests."""
    with Victim(place) as victim:
        yield victim
