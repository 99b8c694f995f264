"""docs/isolation.md says what the probes find: `make isolation` writes it anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.isolation.page import (
    PAGE,
    WHO,
    comparable,
    legend,
    machine,
    section,
    table,
    written,
)
from tests.isolation.rows import found
from tests.support.skips import root_only

if TYPE_CHECKING:
    from tests.support.user import Account


@pytest.mark.timeout(300)
@root_only  # only root can be both, and the page shows both
@pytest.mark.parametrize("who", WHO)
def test_the_page_says_what_the_probes_find(as_user: Account, who: str) -> None:
    account = as_user if who == "user" else None
    here = machine()
    there = written("machine", here) if who == "root" else section(PAGE.read_text(), "machine")
    shown = table(found(account))
    assert comparable(shown, here, there) == comparable(written(who, shown), here, there)


def test_the_page_says_what_each_kind_adds() -> None:
    assert written("kinds", legend()) == legend()
