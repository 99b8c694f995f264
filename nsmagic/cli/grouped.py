"""The group of `nsmagic cgroup ...`: made for one program, gone with it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nsmagic.run.result import Result
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.ours import Ours

if TYPE_CHECKING:
    from nsmagic.run.groups import LiveGroup


@contextmanager
def group_of(wish: Isolation, ours: Ours) -> Generator[LiveGroup | None]:
    """Plan the group that is wished for, and remove it with all in it afterwards; None if none.

    CgroupError where it cannot be had here.
    """
    if not wish.cgroup:
        yield None
        return
    from nsmagic.run.groups import close_groups, groups
    from nsmagic.run.ledger import ledger

    planned = groups().plan("shell", wish.limits, strict=ours.strict)
    directories = [str(path) for path in planned.group.directories]
    try:
        if not ours.dry_run:
            for directory in directories:
                ledger().note("cgroup", directory)
        yield planned
    finally:
        if planned.group.exists():
            planned.group.remove()
        if not ours.dry_run:
            for directory in directories:
                ledger().forget("cgroup", directory)
        close_groups()


def read_back(group: LiveGroup) -> Iterator[str]:
    """Yield the limits as Linux has them, and what is to be known about the place."""
    from nsmagic.notebook import obituary

    yield from filter(None, (obituary.read_back(group), group.note))


def last_words(group: LiveGroup, result: Result) -> Iterator[str]:
    """Yield what the limits did: who was killed for memory, and what was refused."""
    from nsmagic.notebook import obituary

    group.end(result)
    if result.out_of_memory:
        yield f"the program {obituary.of_memory(result)}"
        yield from obituary.details(result).splitlines()
    else:
        yield from obituary.warnings(result)
