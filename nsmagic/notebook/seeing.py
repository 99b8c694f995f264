"""The magics that look: `%lsns` and `%nsdiff`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

from nsmagic.linux.ids import SystemNames
from nsmagic.linux.lsns import lsns
from nsmagic.notebook.failures import one_message
from nsmagic.notebook.listing import Listing, columns_table
from nsmagic.notebook.nsdiff import Comparison, compare
from nsmagic.notebook.tables import Table
from nsmagic.wish.lsns import LSNS, read_lsns
from nsmagic.wish.nsdiff import NSDIFF, read_nsdiff
from nsmagic.wish.usage import help_text

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nsmagic.notebook.footprint import Footprint

Boxes = Callable[[], Mapping[int, str]]


@magics_class
class SeeingMagics(Magics):
    """`%lsns` and `%nsdiff`.

    `boxes` tells the names of boxes by the PID of their init, `last` what is known about the
    isolated cell that ran last.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        boxes: Boxes = dict,
        last: Callable[[], Footprint | None] = lambda: None,
    ) -> None:
        super().__init__(shell)
        self.boxes, self.last = boxes, last

    @no_var_expand
    @line_magic
    def lsns(self, line: str) -> Listing | Table | None:
        """List namespaces, as lsns(8) does; the cell's value is the list."""
        with one_message():
            wish = read_lsns(line, SystemNames())
            if wish.help:
                sys.stdout.write(help_text(LSNS))
                return None
            if wish.list_columns:
                return columns_table()
            lines, hidden = lsns(wish, self.boxes())
            return Listing(lines, wish, _notes(hidden))

    @no_var_expand
    @line_magic
    def nsdiff(self, line: str) -> Comparison | Table | None:
        """Show which namespaces processes and boxes share; --last: what the last cell changed."""
        with one_message():
            wish = read_nsdiff(line, SystemNames())
            if wish.help:
                sys.stdout.write(help_text(NSDIFF))
                return None
            return compare(wish.whom, self.boxes())


def _notes(hidden: int) -> list[str]:
    if not hidden:
        return []
    who = "1 process that this user may not look at is" if hidden == 1 else (
        f"{hidden} processes that this user may not look at are"
    )  # fmt: skip
    return [f"{who} not counted, nor the namespaces that only they are in"]


SeeingMagics.lsns.__doc__ = f"{SeeingMagics.lsns.__doc__}\n\n{help_text(LSNS)}"
SeeingMagics.nsdiff.__doc__ = f"{SeeingMagics.nsdiff.__doc__}\n\n{help_text(NSDIFF)}"
