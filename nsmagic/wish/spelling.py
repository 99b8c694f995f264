"""What was probably meant by a word that is none of those there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

_SHORT: Final = 2  # letters that say nothing about a word
_TYPO: Final = 0.8  # as similar as two words of which one is a slip


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that `word` was most probably meant to be, or None if none is near.

    A candidate that begins the word goes first: who writes `memory` means `mem`.
    """
    known = list(candidates)
    begun = [each for each in known if len(each) > _SHORT and word.startswith(each)]
    if begun and not difflib.get_close_matches(word, known, n=1, cutoff=_TYPO):
        return max(begun, key=len)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return close[0] if close else None


def or_nearest(word: str, candidates: Iterable[str], otherwise: str = "") -> str:
    """Return ` (nearest: WORD)`, to stand behind what was typed; `otherwise` if nothing is near."""
    guess = nearest(word, candidates)
    return f" (nearest: {guess})" if guess else otherwise
