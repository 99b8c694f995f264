"""Limit, one wished limit as frozen data, and how a line of them is read."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from nsmagic.wish.errors import WishError
from nsmagic.wish.limits.devices import merge
from nsmagic.wish.limits.metrics import METRICS
from nsmagic.wish.limits.row import Row
from nsmagic.wish.limits.sides import MEMSW, PERIOD_V1, QUOTA, Others, Writes
from nsmagic.wish.limits.sizes import human_size
from nsmagic.wish.limits.table import BY_KEY, BY_NAME, LIMITS
from nsmagic.wish.limits.units import RATES
from nsmagic.wish.spelling import or_nearest

# Files that are no limits: what to type for what they do.
_ACTIONS: Final = {
    "cgroup.freeze": "%cgroup freeze NAME and %cgroup thaw NAME",
    "freezer.state": "%cgroup freeze NAME and %cgroup thaw NAME",
    "cgroup.kill": "%cgroup kill NAME",
    "cgroup.procs": "%%cgroup, whose cell starts in the group",
    "tasks": "%%cgroup, whose cell starts in the group",
    "cgroup.subtree_control": "any limit: the controller that it needs is switched on with it",
}


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One limit.  `value` is what the row's unit reads: None for `max`, a tuple where it repeats.

    `typed` is the spelling that the person used, `implied` says that another limit brought it;
    neither makes two limits different.
    """

    key: str
    value: Any
    typed: str = field(default="", compare=False)
    implied: bool = field(default=False, compare=False)

    @property
    def row(self) -> Row:
        """The row of LIMITS."""
        return BY_KEY[self.key]

    @property
    def words(self) -> tuple[str, ...]:
        """The words that `parse_limits` reads back to this limit, in the short spelling."""
        values = self.value if self.row.repeats else (self.value,)
        return tuple(f"{self.key}={self.row.unit.show(value)}" for value in values)

    def __str__(self) -> str:
        return shlex.join(self.words)

    def writes(self, version: int, others: Others) -> Writes:
        """Return (file, text) in the order to write them; empty where this version has none.

        `others` are the values by key that the group has or gets as well.
        """
        side = self.row.side(version)
        return () if side is None else side.write(self.value, others)

    def spelled(self, version: int, others: Others) -> tuple[str, ...]:
        """Return `memory.max=67108864`, the same in the files of cgroup version 1 or 2."""
        writes = self.writes(version, others)
        # A file that is written twice on the way ends with the last text.
        pairs = writes if self.row.repeats else tuple(dict(writes).items())
        return tuple(f"{file}={text}" for file, text in pairs)


def values_of(limits: Iterable[Limit]) -> dict[str, Any]:
    """Return the values by key, as `Limit.writes` wants to know them."""
    return {limit.key: limit.value for limit in limits}


def parse_limits(words: Sequence[str]) -> tuple[Limit, ...]:
    """Return the limits of words such as `mem=64M`, `cpu.shares=512`, in the order of LIMITS.

    Raises WishError for what is no limit, has no sense or is said twice.
    """
    given: dict[str, list[tuple[str, Any]]] = {}
    for word in words:
        name, value = _read_word(word)
        given.setdefault(BY_NAME[name].key, []).append((name, value))
    found = [_one(row, given[row.key]) for row in LIMITS if row.key in given]
    return tuple(_without_memsw(limit, found) for limit in found)


def _read_word(word: str) -> tuple[str, Any]:
    name, equals, text = word.partition("=")
    if name not in BY_NAME:
        raise _unknown(name)
    row = BY_NAME[name]
    if not equals:
        raise WishError(f"{name} has no value: {name}={row.unit.example}")
    try:
        return name, row.names[name](text)
    except ValueError as reason:
        shown = f"{text!r} " if text else "nothing "
        raise WishError(f"{name}={text}: {shown}{reason}", hint=f"{name}: {row.meaning}") from None


def _unknown(name: str) -> WishError:
    if name in _ACTIONS:
        return WishError(f"{name} is no limit; type {_ACTIONS[name]}")
    if any(source.file == name for row in METRICS for source in row.sources):
        return WishError(f"{name} is read, not set; %cgroup show NAME shows it")
    if name in RATES:
        example = BY_KEY["io"].unit.example
        return WishError(f"{name} is a rate of a block device; type one as io={example}")
    short = tuple(row.key for row in LIMITS if "." not in row.key)
    near = ("" if "." in name else or_nearest(name, short)) or or_nearest(name, BY_NAME)
    return WishError(
        f"no limit is called {name!r}{near}", hint=f"The short names: {', '.join(short)}"
    )


def _one(row: Row, given: list[tuple[str, Any]]) -> Limit:
    """Unite what was said of one row."""
    names = [name for name, _ in given]
    if row.repeats:
        try:
            return Limit(key=row.key, value=merge(tuple(v for _, v in given)), typed=names[0])
        except ValueError as what:
            raise WishError(f"{what} is given two values") from None
    if PERIOD_V1 in names and sorted(names) == [PERIOD_V1, QUOTA]:
        parts = dict(given)
        value = replace(parts[QUOTA], period=parts[PERIOD_V1].period)
        return Limit(key=row.key, value=value, typed=QUOTA)
    if len(given) > 1:
        if len(set(names)) == 1:
            raise WishError(f"{names[0]} is given twice")
        raise WishError(
            f"{' and '.join(dict.fromkeys(names))} are the same limit: give one of them"
        )
    if names == [PERIOD_V1]:
        raise WishError(f"{PERIOD_V1} alone limits nothing: give {QUOTA}= too, or cpu=50%")
    return Limit(key=row.key, value=given[0][1], typed=names[0])


def _without_memsw(limit: Limit, among: Iterable[Limit]) -> Limit:
    """Turn v1's sum of memory and swap into swap, which is what v2 and `value` count."""
    if limit.typed != MEMSW or limit.value is None:
        return limit
    mem = values_of(among).get("mem")
    if mem is None:
        raise WishError(f"{MEMSW} counts memory and swap together: give mem= too")
    if limit.value < mem:
        raise WishError(
            f"{MEMSW} ({human_size(limit.value)}) counts memory and swap together, and mem alone "
            f"is {human_size(mem)}: give as much or more"
        )
    return replace(limit, value=limit.value - mem)


def unite_limits(mine: tuple[Limit, ...], theirs: tuple[Limit, ...]) -> tuple[Limit, ...]:
    """Return the limits of two lines as one; WishError where they give one limit two values."""
    merged = {limit.key: limit for limit in mine}
    for limit in theirs:
        before = merged.setdefault(limit.key, limit)
        if before == limit:
            continue
        if not limit.row.repeats:
            raise WishError(f"{limit.key} is given twice with different values: {before}, {limit}")
        merged[limit.key] = _one(
            limit.row, [(each.typed, v) for each in (before, limit) for v in each.value]
        )
    return _ordered(merged)


def overridden(lower: tuple[Limit, ...], upper: tuple[Limit, ...]) -> tuple[Limit, ...]:
    """Return `lower` with what `upper` says of the same keys instead: a cell's own keys win."""
    return _ordered({limit.key: limit for limit in (*lower, *upper)})


def with_implied(limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
    """Return the limits with what they imply: `mem=` forbids swap, which would defeat it."""
    keys = {limit.key: limit for limit in limits}
    if "swap" not in keys and "mem" in keys:
        no_limit = keys["mem"].value is None
        keys["swap"] = Limit(key="swap", value=None if no_limit else 0, implied=True)
    return _ordered(keys)


def _ordered(by_key: Mapping[str, Limit]) -> tuple[Limit, ...]:
    return tuple(by_key[row.key] for row in LIMITS if row.key in by_key)
