"""The table of %nsmap, which is ours, and how a line of it is read."""

from __future__ import annotations

from dataclasses import dataclass

from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Option, Table, split_line
from nsmagic.wish.ours import asks, parse
from nsmagic.wish.values import Names

NSMAP = Table(
    program="nsmap",
    summary="Draw processes and boxes against the namespaces they are in; it follows what happens."
    "\nNew and gone mean since the %nsmap before.",
    operands="",
    permute=True,
    takes=(),
    example="%nsmap --text",
    options=(
        Option(name="text", group="Options", field="text", help="a table of characters, once"),
        asks("help", "h", "show this help"),
    ),
)


@dataclass(frozen=True, kw_only=True)
class NsmapWish:
    """A line of %nsmap."""

    text: bool = False
    help: bool = False


def read_nsmap(line: str, names: Names) -> NsmapWish:
    """Read a line of %nsmap; raises WishError."""
    parsed = parse(NSMAP, split_line(line), names)
    if parsed.program:
        raise WishError(
            f"nsmap: it shows everybody, there is nothing to name: {' '.join(parsed.program)}",
            hint="Type into the filter above the map, or %nsdiff compares two.",
        )
    return NsmapWish(text=bool(parsed.values.get("text")), help=parsed.ours.help)
