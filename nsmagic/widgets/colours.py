"""Colours and marks of all pictures: told apart by who sees no red or green, on light and dark.

Hues of Okabe and Ito, https://jfly.uni-koeln.de/color/, moved until lines and text have a contrast
of 3:1 and more on white and on JupyterLab's dark grey, and until lines of one panel differ for all
eyes: tests/widgets/test_colours.py computes both.
"""

from __future__ import annotations

from typing import Final

# The first is for what is the notebook's own.
LIGHT: Final = ("#64748b", "#d56718", "#2c77be", "#06785a", "#ab487f", "#7d5e00", "#5247a9")
DARK: Final = ("#94a3b8", "#f18b3c", "#6ac1ff", "#15be8f", "#e091c4", "#eacb4f", "#a58cd5")
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
