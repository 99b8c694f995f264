"""`%box term NAME`: shells on terminals of their own inside a box, several at once."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nsmagic.linux.situation import read_situation
from nsmagic.notebook.request import READERS
from nsmagic.notebook.termsession import SHELL, TermSession
from nsmagic.run.boxes import boxes
from nsmagic.run.spawning import spawner
from nsmagic.run.tree import Tree
from nsmagic.wish import steps
from nsmagic.wish.plan import make_plan
from nsmagic.wish.unshare import settle

if TYPE_CHECKING:
    from nsmagic.run.boxes import Box
    from nsmagic.widgets.terminal import Terminal
    from nsmagic.wish.plan import Plan

_numbers = itertools.count(1)
_sessions: list[TermSession] = []


def open_terminal(name: str) -> Terminal:
    """Start a shell in a box as `%%nsenter -t NAME` would; WishError where there is no such box.

    It ends with the box, and what it left in the background stays in the box.
    """
    box = boxes().find(name)
    number = next(_numbers)
    group = None if box.group is None else box.group / f"term{number}"
    plan = _plan(box, group)
    tree = Tree(f"{box.id}-term{number}", spawner(), group, inside=box.id, home=box.group)
    session = TermSession(plan, f"terminal in {name}", tree)
    session.start()
    _sessions[:] = [each for each in _sessions if each.alive]
    _sessions.append(session)
    return session.view


def _plan(box: Box, group: Path | None) -> Plan:
    wish = settle(READERS["nsenter"](f"-t {box.name} sh")[0])
    situation = replace(
        read_situation(wish, None if group is None else str(group)),
        entering=boxes().entering(wish.enter), box_groups=box.other_groups,
    )  # fmt: skip
    return make_plan(wish, situation, steps.Exec(argv=SHELL))


def close_terminals() -> None:
    """End every shell of this process."""
    while _sessions:
        _sessions.pop().close()
