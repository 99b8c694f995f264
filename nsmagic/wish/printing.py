"""Text of anybody's, as it can be shown and sent: what a terminal would obey is written out."""

from __future__ import annotations

from typing import Final

# Classes of HTML in which MathJax, versions 3 and 2, looks for no formula: it takes two `$` of
# shell lines for one.
NO_MATH: Final = "mathjax_ignore tex2jax_ignore"


def printable(text: str) -> str:
    r"""Return the text with what cannot be printed written out, as `\x1b` and `\ud800`.

    Line ends and escape sequences too, which steer a terminal, and halves of surrogate pairs, which
    no JSON message takes.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
