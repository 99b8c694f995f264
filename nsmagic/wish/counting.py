"""Numbers in sentences."""

from __future__ import annotations


def counted(count: int, one: str, more: str) -> str:
    """Return how many there are, in words that fit: `1 process`, `2 processes`."""
    return f"{count} {one if count == 1 else more}"
