"""The table of %lab, which is ours, and how a line of it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Option, Table, split_line
from nsmagic.wish.ours import asks, parse
from nsmagic.wish.values import Kind, Names, nearest

# Each verb: what may follow it, and what it does.
VERBS: Final = {
    "start": ("NAME", "begin a lab: a playground, a word, and what works on this machine"),
    "check": ("EXERCISE [on <pid>|<box>|<variable>]", "look at Linux: is the exercise done?"),
    "hint": ("[EXERCISE]", "the next of three hints"),
    "solution": ("[EXERCISE]", "a solution"),
    "predict": ("QUESTION [GUESS]", "guess, then let Linux answer"),
    "progress": ("", "what you have done so far"),
    "guard": ("", "is everything on this machine as it was at the start?"),
    "reset": ("", "remove what this lab made"),
}
_WIDEST: Final = 46

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
        Kind(metavar="WORD", example="01-processes", read=lambda text, _: text, source="lab"),
    ),
    example="%lab progress",
    options=(
        Option(name="strict", group="Options", field="strict",
               help="check: an exercise that is not done is an error"),
        asks("help", "h", "show this help"),
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LabWish:
    """A line of %lab: the verb, the id or name after it, whom to check, and a guess."""

    verb: str = ""
    name: str = ""
    on: str = ""
    guess: str = ""
    strict: bool = False
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
        guess = nearest(verb, list(VERBS))
        near = f" (nearest: {guess})" if guess else f", one of {', '.join(VERBS)}"
        raise WishError(f"lab: {verb!r} is not something to do{near}")
    name, *rest = rest or ("",)
    if not name and verb in ("start", "check", "predict"):
        raise WishError(f"lab: {verb} needs a word after it: %lab {verb} {VERBS[verb][0]}")
    return _complete(verb, name, rest, strict=bool(parsed.values.get("strict")))


def _complete(verb: str, name: str, rest: list[str], *, strict: bool) -> LabWish:
    if verb == "predict":
        return LabWish(verb=verb, name=name, guess=" ".join(rest))
    if verb == "check" and len(rest) == 2 and rest[0] == "on":
        return LabWish(verb=verb, name=name, on=rest[1], strict=strict)
    if rest or (name and not VERBS[verb][0]):
        usage = f"%lab {verb} {VERBS[verb][0]}".rstrip()
        raise WishError(f"lab: there are too many words: the line is {usage}")
    return LabWish(verb=verb, name=name, strict=strict)
