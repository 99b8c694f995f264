"""The table of %nsdiff, which is ours, and how a line of it is read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nsmagic.wish import values
from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Option, Table, split_line
from nsmagic.wish.lsns import HOST, SELF, SUBJECTS
from nsmagic.wish.ours import asks, parse
from nsmagic.wish.values import Names

NSDIFF = Table(
    program="nsdiff",
    summary="Compare the namespaces of processes and boxes; with one, compare it with this"
    "\nnotebook's kernel.",
    operands="[<pid>|<box>|self|host]...",
    permute=True,
    takes=(replace(values.SUBJECT, choices=(SELF, HOST), meanings=SUBJECTS),),
    example="%nsdiff self host",
    options=(
        Option(name="last", group="Options", field="last",
               help="what the last isolated cell created, changed and left behind"),
        asks("help", "h", "show this help"),
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class NsdiffWish:
    """A line of %nsdiff: PIDs and names to compare, or the last cell."""

    whom: tuple[str, ...] = ()
    last: bool = False
    help: bool = False


def read_nsdiff(line: str, names: Names) -> NsdiffWish:
    """Read a line of %nsdiff; raises WishError."""
    parsed = parse(NSDIFF, split_line(line), names)
    last, whom = bool(parsed.values.get("last")), parsed.program
    if parsed.ours.help:
        return NsdiffWish(help=True)
    if last and whom:
        raise WishError("nsdiff: --last compares the last cell with this notebook, nobody else")
    if not last and not whom:
        raise WishError(
            "nsdiff: whom shall I compare?",
            hint="For example %nsdiff self host, %nsdiff 1234 5678 or %nsdiff --last.",
        )
    return NsdiffWish(whom=(SELF, *whom) if len(whom) == 1 else whom, last=last)
