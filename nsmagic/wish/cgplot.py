"""The table of %cgplot, which is ours, and how a line of it is read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Option, Table, split_line
from nsmagic.wish.limits import PLOTS
from nsmagic.wish.lsns import SELF
from nsmagic.wish.ours import asks, parse
from nsmagic.wish.panels import USUAL
from nsmagic.wish.spelling import or_nearest
from nsmagic.wish.values import CGROUP, Names

CGPLOT = Table(
    program="cgplot",
    summary="Draw what a cgroup of this notebook uses against its limits, live, also while a cell"
    f"\nruns.  Panels: {' '.join(PLOTS)}; without any {', '.join(USUAL)}.  Without <group> the one"
    "\nthat was made last; self is what this notebook's kernel is in.",
    operands=f"[<group>|self] [{'|'.join(PLOTS)}]...",
    permute=True,
    takes=(replace(CGROUP, choices=(SELF, *PLOTS)),),
    example="%cgplot self mem --text",
    options=(
        Option(name="text", group="Options", field="text", help="lines of characters, once"),
        asks("help", "h", "show this help"),
    ),
)


@dataclass(frozen=True, kw_only=True)
class CgplotWish:
    """A line of %cgplot; `name` is "" for the group that was made last, else our own."""

    name: str = ""
    plots: tuple[str, ...] = USUAL
    text: bool = False
    help: bool = False


def read_cgplot(line: str, names: Names) -> CgplotWish:
    """Read a line of %cgplot; raises WishError."""
    parsed = parse(CGPLOT, split_line(line), names)
    if parsed.ours.help:
        return CgplotWish(help=True)
    plots = tuple(dict.fromkeys(word for word in parsed.program if word in PLOTS))
    rest = [word for word in parsed.program if word not in PLOTS]
    if len(rest) > 1:
        near = or_nearest(rest[1], PLOTS)
        raise WishError(
            f"cgplot: {rest[1]!r} is no panel{near}, and one group at a time",
            hint=f"The panels: {' '.join(PLOTS)}",
        )
    return CgplotWish(
        name=rest[0] if rest else "", plots=plots or USUAL, text=bool(parsed.values.get("text"))
    )
