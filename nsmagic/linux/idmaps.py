"""The maps of user namespaces: /proc/PID/uid_map and gid_map, user_namespaces(7)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nsmagic.wish.isolation import IdMap


def read_id_map(file: str | Path) -> tuple[IdMap, ...]:
    """Return the lines of a map; OSError where it cannot be read."""
    lines = [map(int, line.split()) for line in Path(file).read_text().splitlines()]
    return tuple(IdMap(inner=inner, outer=outer, count=count) for inner, outer, count in lines)


def inner_id(outer: int, lines: Sequence[IdMap]) -> int | None:
    """Return how an id of ours is numbered in the user namespace that has this map."""
    found = (line for line in lines if line.outer <= outer < line.outer + line.count)
    return next((line.inner + outer - line.outer for line in found), None)


def is_mapped(inner: int, lines: Sequence[IdMap]) -> bool:
    """Return whether an id exists in the user namespace that has this map."""
    return any(line.inner <= inner < line.inner + line.count for line in lines)
