"""docs/isolation.md says what the probes find: `make isolation` writes it anew."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.isolation.kinds import KINDS
from tests.isolation.page import (
    PAGE,
    WHO,
    comparable,
    legend,
    machine,
    section,
    table,
    with_section,
)
from tests.isolation.probing import probed, victim
from tests.support.skips import root_only

if TYPE_CHECKING:
    from tests.support.user import Account

WRITE = os.environ.get("NSMAGIC_WRITE_DOCS") == "1"


def written(name: str, content: str) -> str:
    """The section as it is in the page, after it was renewed if that was asked for."""
    text = PAGE.read_text()
    if WRITE:
        text = with_section(text, name, content)
        PAGE.write_text(text)
    return section(text, name)


@pytest.mark.timeout(300)
@root_only  # only root can be both, and the page shows both
@pytest.mark.parametrize("who", WHO)
def test_the_page_says_what_the_probes_find(as_user: Account, who: str) -> None:
    account = as_user if who == "user" else None
    with victim(account) as seen:
        rows = {
            kind.title: probed(seen, kind)
            for kind in KINDS
            if not (kind.root_only and account is not None)
        }
    here = machine()
    there = written("machine", here) if who == "root" else section(PAGE.read_text(), "machine")
    found = table(rows)
    assert comparable(found, here, there) == comparable(written(who, found), here, there)


def test_the_page_says_what_each_kind_adds() -> None:
    assert written("kinds", legend()) == legend()
