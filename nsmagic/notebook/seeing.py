"""The magics that look: `%lsns` and `%nsdiff`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

from nsmagic.linux.ids import SystemNames
from nsmagic.notebook.failures import one_message
from nsmagic.wish.counting import counted
from nsmagic.wish.errors import WishError
from nsmagic.wish.lsns import LSNS, read_lsns
from nsmagic.wish.nsdiff import NSDIFF, read_nsdiff
from nsmagic.wish.usage import help_text

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nsmagic.notebook.footprint import Footprint, Report
    from nsmagic.notebook.listing import Listing
    from nsmagic.notebook.nsdiff import Comparison
    from nsmagic.notebook.tables import Table

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
            # Imported now: loading nsmagic does not wait for what one may never ask for.
            from nsmagic.linux.lsns import lsns
            from nsmagic.notebook.listing import Listing, columns_table

            if wish.list_columns:
                return columns_table()
            lines, hidden = lsns(wish, self.boxes())
            return Listing(lines, wish, _notes(hidden))

    @no_var_expand
    @line_magic
    def nsdiff(self, line: str) -> Comparison | Report | None:
        """Show which namespaces processes and boxes share; --last: what the last cell changed."""
        with one_message():
            wish = read_nsdiff(line, SystemNames())
            if wish.help:
                sys.stdout.write(help_text(NSDIFF))
                return None
            if not wish.last:
                from nsmagic.notebook.nsdiff import compare

                return compare(wish.whom, self.boxes())
            footprint = self.last()
            if footprint is None:
                raise WishError("nsdiff: no isolated cell has run in this notebook yet")
            return footprint.report()


def _notes(hidden: int) -> list[str]:
    if not hidden:
        return []
    some = counted(hidden, "process", "processes")
    return [f"not counted: {some} that this user may not look at"]


SeeingMagics.lsns.__doc__ = f"{SeeingMagics.lsns.__doc__}\n\n{help_text(LSNS)}"
SeeingMagics.nsdiff.__doc__ = f"{SeeingMagics.nsdiff.__doc__}\n\n{help_text(NSDIFF)}"
