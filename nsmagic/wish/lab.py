"""The table of %lab, which is ours, and how a line of it is read and completed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from nsmagic.wish.complete import Completion, Source, completions
from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Option, Table, scan, split_line
from nsmagic.wish.ours import asks, parse
from nsmagic.wish.spelling import or_nearest
from nsmagic.wish.values import Kind, Names
from nsmagic.wish.verbs import Verb, verb_kind

VERBS: Final = (
    Verb(word="start", operands="NAME",
         help="begin a lab: a playground, a word, and what works on this machine"),
    Verb(word="check", operands="EXERCISE [on <pid>|<box>|<variable>]",
         help="look at Linux: is the exercise done?"),
    Verb(word="hint", operands="[EXERCISE]", help="the next of three hints"),
    Verb(word="solution", operands="[EXERCISE] | --all [DIR]",
         help="a solution, or every lab with its solutions"),
    Verb(word="predict", operands="QUESTION [GUESS]", help="guess, then let Linux answer"),
    Verb(word="progress", help="what you have done so far"),
    Verb(word="guard", help="is everything on this machine as it was at the start?"),
    Verb(word="reset", help="remove what this lab made"),
)  # fmt: skip
_BY_WORD: Final = {verb.word: verb for verb in VERBS}
_WIDEST: Final = 46


def _word(metavar: str, example: str, source: str, *choices: str) -> Kind:
    return Kind(
        metavar=metavar, example=example, read=lambda text, _: text, source=source, choices=choices
    )


_EXERCISE: Final = _word("EXERCISE", "family", "exercise")
# Looked up by its question, and not by how it begins: the choices are few.
_GUESS: Final = _word("GUESS", "same", "guess")
# What completion offers behind a verb, word for word.
_BEHIND: Final = {
    "start": (_word("NAME", "01-processes", "lab"),),
    "check": (_EXERCISE, _word("on", "on", "", "on"), _word("WHO", "family", "running")),
    "hint": (_EXERCISE,),
    "solution": (_EXERCISE,),
    "predict": (_word("QUESTION", "fork-list", "question"),),
}

LAB = Table(
    program="lab",
    summary="Do a lab.  Checks look at Linux and not at what a cell printed.\n\n"
    + "\n".join(
        f" {f'{verb.word} {verb.operands}'.strip():<{_WIDEST}}{verb.help}" for verb in VERBS
    ),
    operands="VERB [WORD...]",
    permute=True,
    takes=(
        verb_kind("VERB", "progress", VERBS),
        _word("WORD", "01-processes", "lab"),
    ),
    example="%lab progress",
    options=(
        Option(name="strict", group="Options", field="strict",
               help="check: an exercise that is not done is an error"),
        Option(name="all", group="Options", field="all",
               help="solution: write all notebooks with their solutions into a directory"),
        asks("help", "h", "show this help"),
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LabWish:
    """A line of %lab: the verb, the id or name after it, whom to check, and a guess.

    With `all` the name is that of a directory.
    """

    verb: str = ""
    name: str = ""
    on: str = ""
    guess: str = ""
    strict: bool = False
    all: bool = False
    help: bool = False


def read_lab(line: str, names: Names) -> LabWish:
    """Read a line of %lab; raises WishError."""
    parsed = parse(LAB, split_line(line), names)
    if parsed.ours.help:
        return LabWish(help=True)
    verb, *rest = parsed.program or ("",)
    if not verb:
        return LabWish()
    if verb not in _BY_WORD:
        near = or_nearest(verb, _BY_WORD, f", one of {', '.join(_BY_WORD)}")
        raise WishError(f"lab: {verb!r} is not something to do{near}")
    name, *rest = rest or ("",)
    if not name and verb in ("start", "check", "predict"):
        raise WishError(
            f"lab: {verb} needs a word after it: {_BY_WORD[verb].typed('lab')}",
            hint="Tab offers what can stand there; %lab alone lists the labs.",
        )
    flags = {flag: bool(parsed.values.get(flag)) for flag in ("strict", "all")}
    return _wish(verb, name, rest, **flags)


def _wish(verb: str, name: str, rest: list[str], *, strict: bool, all: bool) -> LabWish:  # noqa: A002
    if all and verb != "solution":
        raise WishError("lab: --all goes with solution: %lab solution --all")
    if verb == "predict":
        return LabWish(verb=verb, name=name, guess=" ".join(rest))
    if verb == "check" and len(rest) == 2 and rest[0] == "on":
        return LabWish(verb=verb, name=name, on=rest[1], strict=strict)
    if rest or (name and not _BY_WORD[verb].operands):
        typed = _BY_WORD[verb].typed("lab")
        raise WishError(f"lab: there are too many words: the line is {typed}")
    return LabWish(verb=verb, name=name, strict=strict, all=all)


def complete_lab(words: Sequence[str], source: Source, *, cell: bool) -> list[Completion]:
    """Return what may stand in place of the last word: verbs, then what the verb is about."""
    if cell:  # there is no %%lab
        return []
    rest = scan(LAB, words[:-1]).rest
    if not rest:
        return completions(LAB, words, source)
    behind = _BEHIND.get(rest[0], ())
    if rest[0] == "predict" and len(rest) == len(behind) + 1:
        guesses = (text for text, _ in source(_GUESS, rest[1]))
        behind = (*behind, _word("GUESS", "", "", *guesses))
    takes = (*LAB.takes[:1], *behind) if len(rest) <= len(behind) else ()
    return completions(replace(LAB, takes=takes), words, source)
