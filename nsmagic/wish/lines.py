"""A magic's line up to the cursor, taken apart as sh(1) quotes, and put together again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_PLAIN: Final = frozenset("\"'\\")
_SPECIAL: Final = frozenset(" \t\"'\\")


@dataclass(frozen=True, kw_only=True)
class Begun:
    """The whole words of a line, and the one in which the cursor stands.

    `word` is that one as it will be read, `raw` as it is typed so far; both are "" between words.
    """

    words: tuple[str, ...]
    word: str
    raw: str

    @property
    def is_plain(self) -> bool:
        """Whether the word is typed without quotes and backslashes."""
        return not _PLAIN & set(self.raw)

    def written(self, text: str, kept: int) -> tuple[str, str]:
        """Return how `text` is typed in place of the word, and the typed part that goes for it.

        Its first `kept` characters stand there already.  A directory's quote is left open.
        """
        if self.is_plain:
            return _escaped(text[kept:]), self.raw[kept:]
        quote = self.raw[0]
        if quote in "\"'" and not _PLAIN & set(self.raw[1:]) and not _PLAIN & set(text):
            return quote + text + ("" if text.endswith("/") else quote), self.raw
        return shlex.quote(text), self.raw


def _escaped(text: str) -> str:
    return "".join(f"\\{char}" if char in _SPECIAL else char for char in text)


def take_apart(text: str) -> Begun:
    """Return the words of `text`, a line as far as the cursor; quotes may still be open."""
    words = [*_words(text)]
    if words and words[-1][2] == len(text):
        word, raw, _ = words.pop()
    else:
        word, raw = "", ""
    return Begun(words=tuple(word for word, _, _ in words), word=word, raw=raw)


def rest_after(text: str, count: int) -> str:
    """Return what stands behind the first `count` words, as it was typed."""
    ends = [end for _, _, end in _words(text)]
    return text[ends[count - 1] :].strip() if count <= len(ends) else ""


def _words(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield each word as it is read, as it is typed, and where it ends; the last may be open."""
    word, raw, quote, escaped = "", "", "", False
    for place, char in enumerate(text):
        if escaped:
            # Within double quotes a backslash stays, unless it guards a quote or another one.
            word += char if quote != '"' or char in '"\\' else f"\\{char}"
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if char == quote else quote
            word += char if quote else ""
        elif char in "\"'":
            quote = char
        elif char.isspace():
            if raw:
                yield word, raw, place
            word, raw = "", ""
            continue
        else:
            word += char
        raw += char
    if raw:
        yield word, raw, len(text)
