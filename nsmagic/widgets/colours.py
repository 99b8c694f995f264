"""Colours and marks of all pictures: told apart by who sees no red or green, on light and dark.

Hues of Okabe and Ito, https://jfly.uni-koeln.de/color/, darkened or lightened until lines and
text have a contrast of 3:1 and more on white and on JupyterLab's dark grey.
"""

from __future__ import annotations

from typing import Final

# The first is for what is the notebook's own.
LIGHT: Final = ("#64748b", "#c25400", "#0067a8", "#00785a", "#a8467f", "#86690b", "#5b4db0")
DARK: Final = ("#94a3b8", "#f08c3a", "#58b4f0", "#2fc79a", "#e094c4", "#e3c64a", "#aaa1f5")
MARKS: Final = "●◆■▲▼★✚"
PALETTE: Final = {"light": list(LIGHT), "dark": list(DARK), "marks": MARKS}


def colour(number: int, *, dark: bool = False) -> str:
    """Return the colour of the namespace or line with this number; 0 is our own."""
    return _turn(DARK if dark else LIGHT, number)


def mark(number: int) -> str:
    """Return the mark that tells it without colours; its cycle is as long but shifted."""
    shift = (number - 1) // (len(MARKS) - 1)
    return _turn(MARKS, number and (number + shift - 1) % (len(MARKS) - 1) + 1)


def _turn(names: tuple[str, ...] | str, number: int) -> str:
    return names[0] if number == 0 else names[(number - 1) % (len(names) - 1) + 1]
