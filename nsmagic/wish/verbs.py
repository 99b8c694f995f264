"""The words that a line magic obeys: `%box rm NAME`, `%lab start NAME`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nsmagic.wish.values import Kind


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One word; `operands` is what may follow it, as help shows it."""

    word: str
    help: str
    operands: str = ""

    def typed(self, magic: str) -> str:
        """Return how it is typed: `%box rm NAME...|--all`."""
        return f"%{magic} {self.word} {self.operands}".rstrip()


def verb_lines(magic: str, verbs: Sequence[Verb], width: int) -> list[str]:
    """Return a line of help for each, of which the first `width` characters are what is typed."""
    return [f" {verb.typed(magic)}".ljust(width) + verb.help for verb in verbs]


def verb_kind(metavar: str, example: str, verbs: Sequence[Verb]) -> Kind:
    """Return the kind of word that one of them is, for completion."""
    return Kind(
        metavar=metavar, example=example, read=lambda text, _: text,
        choices=tuple(verb.word for verb in verbs), meanings=tuple(verb.help for verb in verbs),
    )  # fmt: skip
