"""The magic that compares: `%sxs`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from IPython.core.display_functions import display
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from nsmagic.linux.ids import SystemNames
from nsmagic.notebook.failures import one_message, raise_for
from nsmagic.notebook.stopping import StopButton, on_sigint
from nsmagic.wish.sxs import SXS, read_sxs
from nsmagic.wish.usage import help_text

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nsmagic.notebook.runner import Runner
    from nsmagic.notebook.sxs import SideBySide


@magics_class
class ComparingMagics(Magics):
    """`%sxs`.  `runner` runs both sides."""

    def __init__(self, shell: InteractiveShell, runner: Callable[[], Runner]) -> None:
        super().__init__(shell)
        self.runner = runner

    @no_var_expand
    @line_cell_magic
    def sxs(self, line: str, cell: str | None = None) -> SideBySide | None:
        """Run a command on two sides at once; the cell's value is both outputs side by side."""
        with one_message(), on_sigint(StopButton()) as button:
            wish = read_sxs(line, cell, SystemNames())
            if wish.help:
                sys.stdout.write(help_text(SXS))
                return None
            # Imported now: loading nsmagic does not wait for what one may never ask for.
            from nsmagic.notebook.sxs import run_both

            both = run_both(self.runner(), wish, button)
            if button.pressed and both.left.result is not None:
                display(both)  # type: ignore[no-untyped-call]
                raise_for(None, both.left.result, "the command")
            return both


ComparingMagics.sxs.__doc__ = f"{ComparingMagics.sxs.__doc__}\n\n{help_text(SXS)}"
