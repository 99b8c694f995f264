"""The table of `%box`, which is ours, and how its lines are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nsmagic.wish import values
from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Option, Table, split_line
from nsmagic.wish.ours import asks, parse
from nsmagic.wish.spelling import or_nearest
from nsmagic.wish.usage import help_text
from nsmagic.wish.values import Kind, Names


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One word that `%box` obeys and what follows it; `most` names of boxes may stand there."""

    word: str
    operands: str
    help: str
    most: int


VERBS: Final = (
    Verb(word="show", operands="NAME", most=1,
         help="its processes, namespaces, maps, capabilities, links and mounts"),
    Verb(word="logs", operands="NAME [-f]", most=1,
         help="what its processes wrote after their cells had ended"),
    Verb(word="term", operands="NAME", most=1, help="a shell on a terminal in it"),
    Verb(word="rm", operands="NAME...|--all", most=10_000, help="end it and all that is in it"),
)  # fmt: skip

_GROUP = "Options"
_VERB: Final = Kind(
    metavar="<verb>", example="show", read=lambda text, _: text,
    choices=tuple(verb.word for verb in VERBS), meanings=tuple(verb.help for verb in VERBS),
)  # fmt: skip

BOX: Final = Table(
    program="box",
    summary="List the boxes of this notebook, look into one, open a terminal in it, remove them.\n"
    "%unshare --name NAME [options] makes one, %%nsenter -t NAME runs a cell in it.",
    operands="[show|logs|term|rm] [<name>...]",
    permute=True,
    takes=(_VERB, values.BOX),
    example="%unshare --replace --name web --pid --net --mount-proc\n%box show web",
    options=(
        Option(name="all", group=_GROUP, field="all", help="rm: all boxes of this notebook"),
        Option(name="follow", short="f", group=_GROUP, field="follow",
               help="logs: go on as it is written, until the stop button"),
        asks("help", "h", "show this help"),
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class BoxWish:
    """A line of `%box`: a verb ("" lists) and the boxes that it is about."""

    verb: str = ""
    names: tuple[str, ...] = ()
    all: bool = False
    follow: bool = False
    help: bool = False


def read_box(line: str, names: Names) -> BoxWish:
    """Read a line of `%box`.  Raises WishError."""
    parsed = parse(BOX, split_line(line), names)
    if parsed.ours.help:
        return BoxWish(help=True)
    word, *boxes = parsed.program or ("",)
    wish = BoxWish(verb=word, names=tuple(boxes), **parsed.values)
    verb = next((verb for verb in VERBS if verb.word == word), None)
    if verb is None and word:
        near = or_nearest(word, [verb.word for verb in VERBS], f": there are {', '.join(_words())}")
        raise WishError(f"%box has no verb {word!r}{near}")
    _refuse_nonsense(wish, verb)
    return wish


def _words() -> list[str]:
    return [verb.word for verb in VERBS]


def _refuse_nonsense(wish: BoxWish, verb: Verb | None) -> None:
    typed = "%box" if verb is None else f"%box {verb.word} {verb.operands}"
    if wish.all and (verb is None or verb.word != "rm"):
        raise WishError("--all goes with %box rm")
    if wish.follow and (verb is None or verb.word != "logs"):
        raise WishError("--follow goes with %box logs")
    if verb is None:
        return
    if wish.all and wish.names:
        raise WishError("%box rm takes names or --all, not both")
    if not wish.names and not wish.all:
        raise WishError(f"%box {verb.word}: which box?", hint=f"It is typed {typed}.")
    if len(wish.names) > verb.most:
        raise WishError(f"%box {verb.word} is about one box", hint=f"It is typed {typed}.")


def box_help() -> str:
    """Return the help of the magic, its verbs from their table."""
    verbs = [f" %box {verb.word} {verb.operands}".ljust(27) + verb.help for verb in VERBS]
    return "\n".join([help_text(BOX), "Verbs:", *verbs]) + "\n"
