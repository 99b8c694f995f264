"""What one isolated cell asks for: its stack of magic lines united, and the body that is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

from nsmagic.linux.ids import SystemNames
from nsmagic.wish.errors import WishError
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.ours import Ours
from nsmagic.wish.unshare import read_unshare, settle

Read = Callable[[str], tuple[Isolation, Ours, tuple[str, ...]]]

# The isolation magics, which stack; each reads its own line.
READERS: dict[str, Read] = {
    "unshare": lambda line: read_unshare(line, SystemNames()),
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One isolated cell.  `body` is None for a line magic; `head` are the magic lines themselves."""

    magic: str
    wish: Isolation
    ours: Ours
    program: tuple[str, ...]
    body: str | None
    head: str


def read_request(magic: str, line: str, body: str | None) -> Request:
    """Read the magic's line and, from the top of the body, the lines stacked below it.

    Stacking ends at the first line that is no isolation magic, or that follows one with a PROGRAM.
    Raises WishError.
    """
    sign = "%" if body is None else "%%"
    head = f"{sign}{magic} {line}".rstrip() + "\n"
    wish, ours, program = READERS[magic](line)
    while body is not None and not program:
        blank, name, rest, below = _split_first(body)
        if name not in READERS:
            break
        wish, ours, program = _unite((wish, ours), READERS[name](rest))
        head += f"{blank}%%{name} {rest}\n"
        body = below
    asks_only = ours.help or ours.version
    return Request(
        magic=magic, wish=wish if asks_only else settle(wish), ours=ours, program=program,
        body=body, head=head,
    )  # fmt: skip


def _split_first(body: str) -> tuple[str, str | None, str, str]:
    """Return blank lines above, name and arguments of a cell magic on the first line, the rest."""
    text = body.lstrip("\n")
    blank = body[: len(body) - len(text)]
    first, _, below = text.partition("\n")
    if not first.startswith("%%"):
        return blank, None, "", body
    name, _, rest = first[2:].partition(" ")
    return blank, name, rest.strip(), below


def _unite(
    above: tuple[Isolation, Ours], below: tuple[Isolation, Ours, Sequence[str]]
) -> tuple[Isolation, Ours, tuple[str, ...]]:
    changes = {}
    for field in fields(Ours):
        mine, theirs = getattr(above[1], field.name), getattr(below[1], field.name)
        if theirs == field.default or mine == theirs:
            continue
        if mine != field.default:
            raise WishError(f"--{field.name.replace('_', '-')} is given twice: {mine} and {theirs}")
        changes[field.name] = theirs
    return above[0].united_with(below[0]), replace(above[1], **changes), tuple(below[2])
