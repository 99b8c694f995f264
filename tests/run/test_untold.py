"""A process of a cell that ends before its parent has heard of it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from nsmagic.run.handover import ToParent
from nsmagic.run.spawning import close_spawner, spawner
from tests.linux.making import unsharing
from tests.run.direct import Cell
from tests.run.test_tree import a_private_cgroup
from tests.support.skips import needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.linux, needs(unsharing)]


@pytest.fixture(scope="module", autouse=True)
def one_spawner() -> Iterator[None]:
    spawner()
    yield
    close_spawner()


def dies() -> None:
    os._exit(7)


def sleeps() -> None:
    while True:
        signal.pause()


@needs(a_private_cgroup)
@pytest.mark.parametrize("instead", [dies, sleeps])
def test_in_a_cgroup_no_zombie_stays(instead: Callable[[], None]) -> None:
    _untold("--user --map-root-user --uts", instead)


def test_in_a_pid_namespace_no_zombie_stays() -> None:
    _untold("--user --map-root-user --pid", dies)


def _untold(line: str, instead: Callable[[], None]) -> None:
    """The second process does this instead of telling us of itself; a second later it is stopped.

    As where Linux is slow, or where it kills all in a group for want of memory.
    """

    def before() -> None:  # in the child
        ToParent.tell = lambda *_, **__: instead()  # type: ignore[method-assign]

    ran = Cell(before=before, timeout=1).python(line.split(), lambda: "never")
    assert not ran.out
    assert ran.result.exit_code != 0
    assert os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
