"""The group of `nsmagic cgroup ...`: made for one program, gone with it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from nsmagic.run.result import Result
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.ours import Ours

if TYPE_CHECKING:
    from nsmagic.linux.cgroups.group import Cgroup
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
    from nsmagic.run.ledger import Noted

    with ExitStack() as stack:
        stack.callback(close_groups)
        planned = groups().plan("shell", wish.limits, strict=ours.strict, dry=ours.dry_run)
        if not ours.dry_run:
            stack.enter_context(Noted("cgroup", *planned.group.directories))
        stack.callback(_remove, planned.group)
        yield planned


def _remove(group: Cgroup) -> None:
    if group.exists():
        group.remove()


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
