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

# Each verb: what may follow it, and what it does.
VERBS: Final = {
    "start": ("NAME", "begin a lab: a playground, a word, and what works on this machine"),
    "check": ("EXERCISE [on <pid>|<box>|<variable>]", "look at Linux: is the exercise done?"),
    "hint": ("[EXERCISE]", "the next of three hints"),
    "solution": ("[EXERCISE] | --all [DIR]", "a solution, or every lab with its solutions"),
    "predict": ("QUESTION [GUESS]", "guess, then let Linux answer"),
    "progress": ("", "what you have done so far"),
    "guard": ("", "is everything on this machine as it was at the start?"),
    "reset": ("", "remove what this lab made"),
}
_WIDEST: Final = 46


def _word(metavar: str, example: str, source: str, *choices: str) -> Kind:
    return Kind(
        metavar=metavar, example=example, read=lambda text, _: text, source=source, choices=choices
    )


_EXERCISE: Final = _word("EXERCISE", "family", "exercise")
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
        f" {f'{verb} {operands}'.strip():<{_WIDEST}}{text}"
        for verb, (operands, text) in VERBS.items()
    ),
    operands="VERB [WORD...]",
    permute=True,
    takes=(
        Kind(metavar="VERB", example="progress", read=lambda text, _: text, choices=tuple(VERBS),
             meanings=tuple(text for _, text in VERBS.values())),
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
    if verb not in VERBS:
        near = or_nearest(verb, VERBS, f", one of {', '.join(VERBS)}")
        raise WishError(f"lab: {verb!r} is not something to do{near}")
    name, *rest = rest or ("",)
    if not name and verb in ("start", "check", "predict"):
        raise WishError(f"lab: {verb} needs a word after it: %lab {verb} {VERBS[verb][0]}")
    flags = {flag: bool(parsed.values.get(flag)) for flag in ("strict", "all")}
    return _wish(verb, name, rest, **flags)


def _wish(verb: str, name: str, rest: list[str], *, strict: bool, all: bool) -> LabWish:  # noqa: A002
    if all and verb != "solution":
        raise WishError("lab: --all goes with solution: %lab solution --all")
    if verb == "predict":
        return LabWish(verb=verb, name=name, guess=" ".join(rest))
    if verb == "check" and len(rest) == 2 and rest[0] == "on":
        return LabWish(verb=verb, name=name, on=rest[1], strict=strict)
    if rest or (name and not VERBS[verb][0]):
        usage = f"%lab {verb} {VERBS[verb][0]}".rstrip()
        raise WishError(f"lab: there are too many words: the line is {usage}")
    return LabWish(verb=verb, name=name, strict=strict, all=all)


def complete_lab(words: Sequence[str], source: Source, *, cell: bool) -> list[Completion]:
    """Return what may stand in place of the last word: verbs, then what the verb is about."""
    if cell:  # there is no %%lab
        return []
    rest = scan(LAB, words[:-1]).rest
    if not rest:
        return completions(LAB, words, source)
    behind = _BEHIND.get(rest[0], ())
    takes = (*LAB.takes[:1], *behind) if len(rest) <= len(behind) else ()
    return completions(replace(LAB, takes=takes), words, source)
