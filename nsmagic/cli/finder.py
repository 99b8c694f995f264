"""What argcomplete offers: of argparse for most commands, of the magic's table for its twin."""

from __future__ import annotations

from typing import Any, Final

from argcomplete.completers import FilesCompleter
from argcomplete.finders import CompletionFinder

from nsmagic.cli.main import COMMANDS
from nsmagic.linux.offers import offered
from nsmagic.notebook.catalogue import BY_NAME

_TWINS: Final = {row.name for row in COMMANDS if row.twin}


class Finder(CompletionFinder):
    """argcomplete, but for lines that argparse cannot read."""

    def _get_completions(
        self, comp_words: list[str], cword_prefix: str, cword_prequote: str,
        last_wordbreak_pos: int | None,
    ) -> list[str]:  # fmt: skip
        name = comp_words[1] if len(comp_words) > 1 else ""
        if name not in _TWINS:
            more: Any = super()
            found: list[str] = more._get_completions(
                comp_words, cword_prefix, cword_prequote, last_wordbreak_pos
            )
            return found
        before = comp_words[2:]
        if cword_prefix.startswith("-") and "=" in cword_prefix:
            del before[-1]  # argcomplete gives argparse the name of `--name=start` as a word
        offers = BY_NAME[name].complete([*before, cword_prefix], offered, cell=True)
        words = [each.text for each in offers]
        if not words and not cword_prefix.startswith("-"):
            words = list(FilesCompleter()(cword_prefix))
        quoted: list[str] = self.quote_completions(words, cword_prequote, last_wordbreak_pos)
        return quoted
