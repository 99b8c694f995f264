"""The magics: parse -> call -> show."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from nsmagic.notebook.failures import one_message
from nsmagic.notebook.request import read_request
from nsmagic.notebook.runner import Runner
from nsmagic.notebook.stopping import StopButton, on_sigint
from nsmagic.wish.options import UNSHARE
from nsmagic.wish.usage import help_text

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nsmagic.notebook.jobs import Job


@magics_class
class IsolationMagics(Magics):
    """`%%unshare` and its kin."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.runner = Runner(shell)

    @no_var_expand
    @line_cell_magic
    def unshare(self, line: str, cell: str | None = None) -> Job | None:
        """Run the cell, Python or a program, in new namespaces, as unshare(1) does."""
        button = StopButton()
        with on_sigint(button), one_message():
            request = read_request("unshare", line, cell)
            if request.ours.help or request.ours.version:
                sys.stdout.write(help_text(UNSHARE))
                return None
            return self.runner.run(request, button)


IsolationMagics.unshare.__doc__ = f"""{IsolationMagics.unshare.__doc__}

{help_text(UNSHARE)}"""
