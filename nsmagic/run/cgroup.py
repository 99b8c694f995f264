"""The Python API of cgroups: `with Cgroup.make("lab", "mem=64M") as lab: ...; lab.sample()`."""

from __future__ import annotations

import atexit
import os
from contextlib import ExitStack, suppress
from dataclasses import fields
from pathlib import Path
from typing import Final, Self

from nsmagic.linux.cgroups import group as linux
from nsmagic.linux.cgroups.limiting import Reading
from nsmagic.run.groups import LiveGroup, groups
from nsmagic.run.ledger import Noted, ledger
from nsmagic.run.perprocess import OnePerProcess
from nsmagic.wish.errors import CgroupError
from nsmagic.wish.groups import CellGroup
from nsmagic.wish.limits import parse_limits, with_implied
from nsmagic.wish.limits.names import group_name


class Cgroup(linux.Cgroup):
    """A cgroup that one makes, watches and limits from Python.

    Made here it is gone when the `with` block ends, and at the latest with the notebook's kernel.
    """

    @classmethod
    def make(cls, name: str, *limits: str) -> Self:
        """Make a group with limits as `%%cgroup` takes them: `Cgroup.make("lab", "mem=64M")`.

        WishError for what makes no sense, CgroupError where this machine cannot have it.
        """
        wanted = with_implied(parse_limits(limits))
        place = groups().places.find(limit.row for limit in wanted if not limit.implied)
        rows = [limit.row for limit in wanted]
        planned = linux.named_group(place, os.getpid(), name, rows)
        with ExitStack() as on_failure:
            fresh = [path for path in planned.directories if not path.exists()]
            on_failure.enter_context(Noted("cgroup", *fresh))
            made = cls._of(linux.make_group(place, os.getpid(), name, rows))
            on_failure.callback(linux.Cgroup.remove, made)
            linux.Cgroup.set(made, wanted)
            on_failure.pop_all()
        _made()[made.directories] = made
        groups().live[name] = LiveGroup(CellGroup(limits=wanted, exists=True), made, place.note)
        return made

    @classmethod
    def find(cls, name: str) -> Self:
        """Return the group of a box or a running cell of this notebook; CgroupError if none."""
        place = groups().places.find()
        return cls._of(linux.found_group(place, group_name(os.getpid(), name)))

    @classmethod
    def _of(cls, group: linux.Cgroup) -> Self:
        return cls(**{each.name: getattr(group, each.name) for each in fields(group)})

    def limit(self, *limits: str) -> tuple[Reading, ...]:
        """Change limits, also while processes run in it, and return what Linux made of them."""
        return self.set(with_implied(parse_limits(limits)))

    def remove(self) -> int:
        """Kill what is in it and remove it; return how many processes were killed."""
        groups().live.pop(self.name, None)
        _made().pop(self.directories, None)
        count = super().remove()
        for path in self.directories:
            ledger().forget("cgroup", str(path))
        return count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def _none_yet() -> dict[tuple[Path, ...], Cgroup]:
    atexit.register(_remove_at_exit)  # in a forked cell too, which inherits none of these
    return {}


def _remove_at_exit() -> None:
    for made in list(_made().values()):
        if made.exists():
            with suppress(CgroupError):  # the next notebook's sweep tries again
                made.remove()


_made: Final = OnePerProcess(_none_yet)
