"""What may stand in a line of `%%cgroup` and `%cgroup`: options, limits, verbs and names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from nsmagic.wish.cgroup import CGROUP, VERB_BY_WORD, VERBS
from nsmagic.wish.complete import Completion, Source, completions
from nsmagic.wish.getopt import scan
from nsmagic.wish.limits import BY_NAME, LIMITS, METRICS
from nsmagic.wish.values import CGROUP as CGROUP_NAME


def complete_cgroup(words: Sequence[str], source: Source, *, cell: bool) -> list[Completion]:
    """Return what may stand in place of the last word; verbs are for `%cgroup` only."""
    *before, current = words or ("",)
    verb = VERB_BY_WORD.get(before[0]) if before and not cell else None
    if verb is not None:
        if verb.names and len(before) == 1:
            return [Completion(text=name, help=what) for name, what in source(CGROUP_NAME, current)]
        if verb.keys:
            return list(_keys(current, before[2:]))
        return list(_limits(current)) if verb.limits else []
    found = scan(CGROUP, before)
    offered = completions(CGROUP, words, source)
    if found.open and found.problem is None:
        offered = [*_limits(current), *offered]
    if not before and not cell:
        verbs = (each for each in VERBS if each.word.startswith(current))
        offered = [*(Completion(text=each.word, help=each.help) for each in verbs), *offered]
    return offered


def _keys(current: str, used: Sequence[str]) -> Iterator[Completion]:
    """Yield limits and readings that can be shown, each once."""
    rows = {row.key: row.meaning for row in LIMITS} | {row.name: row.meaning for row in METRICS}
    for key, meaning in rows.items():
        if key.startswith(current) and key not in used:
            yield Completion(text=key, help=meaning)


def _limits(current: str) -> Iterator[Completion]:
    """Yield `key=`, and behind it a value; the long names only where a dot shows they are meant."""
    key, equals, value = current.partition("=")
    if not equals:
        short = {row.key: row for row in LIMITS if "." not in row.key}
        for name, row in (BY_NAME if "." in key else short).items():
            if name.startswith(key):
                yield Completion(text=f"{name}=", help=row.meaning)
        return
    if key in BY_NAME:
        unit, meaning = BY_NAME[key].unit, BY_NAME[key].meaning
        for text in (unit.example, "max"):
            if text.startswith(value) and _reads(unit.read, text):
                yield Completion(text=f"{key}={text}", help=meaning, kept=len(key) + 1)


def _reads(read: Any, text: str) -> bool:  # noqa: ANN401 - what a unit reads is anything
    try:
        read(text)
    except ValueError:
        return False
    return True
