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
from nsmagic.wish.values import Names
from nsmagic.wish.verbs import Verb, verb_kind, verb_lines


@dataclass(frozen=True, kw_only=True)
class BoxVerb(Verb):
    """A word that `%box` obeys; up to `most` names of boxes follow it."""

    most: int


VERBS: Final = (
    BoxVerb(word="show", operands="NAME", most=1,
            help="its processes, namespaces, maps, capabilities, links and mounts"),
    BoxVerb(word="logs", operands="NAME [-f]", most=1,
            help="what its processes wrote after their cells had ended"),
    BoxVerb(word="term", operands="NAME", most=1, help="a shell on a terminal in it"),
    BoxVerb(word="rm", operands="NAME...|--all", most=10_000, help="end it and all that is in it"),
)  # fmt: skip

_BY_WORD: Final = {verb.word: verb for verb in VERBS}
_GROUP = "Options"

BOX: Final = Table(
    program="box",
    summary="List the boxes of this notebook, look into one, open a terminal in it, remove them.\n"
    "%unshare --name NAME [options] makes one, %%nsenter -t NAME runs a cell in it.",
    operands="[show|logs|term|rm] [<name>...]",
    permute=True,
    takes=(verb_kind("<verb>", "show", VERBS), values.BOX),
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
    verb = _BY_WORD.get(word)
    if verb is None and word:
        near = or_nearest(word, _BY_WORD, f": there are {', '.join(_BY_WORD)}")
        raise WishError(f"%box has no verb {word!r}{near}")
    _refuse_nonsense(wish, verb)
    return wish


def _refuse_nonsense(wish: BoxWish, verb: BoxVerb | None) -> None:
    if wish.all and (verb is None or verb.word != "rm"):
        raise WishError("--all goes with %box rm")
    if wish.follow and (verb is None or verb.word != "logs"):
        raise WishError("--follow goes with %box logs")
    if verb is None:
        return
    if wish.all and wish.names:
        raise WishError("%box rm takes names or --all, not both")
    hint = f"It is typed {verb.typed('box')}."
    if not wish.names and not wish.all:
        raise WishError(f"%box {verb.word}: which box?", hint=hint)
    if len(wish.names) > verb.most:
        raise WishError(f"%box {verb.word} is about one box", hint=hint)


def box_help() -> str:
    """Return the help of the magic, its verbs from their table."""
    return "\n".join([help_text(BOX), "Verbs:", *verb_lines("box", VERBS, 27)]) + "\n"
