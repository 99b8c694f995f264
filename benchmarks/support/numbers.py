"""How figures are written for a person."""

from __future__ import annotations


def plain(value: float) -> str:
    """Return a figure with as many digits as it is good for: 0.12, 3.4, 27, 1,240."""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{2 if size < 1 else 1 if size < 10 else 0}f}"
