"""The magics: parse -> call -> show."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from nsmagic.notebook.failures import one_message
from nsmagic.notebook.request import read_request
from nsmagic.notebook.runner import Runner
from nsmagic.notebook.stopping import StopButton, on_sigint
from nsmagic.wish.chroot import CHROOT
from nsmagic.wish.getopt import Table
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
        return self._run(UNSHARE, line, cell)

    @no_var_expand
    @line_cell_magic
    def chroot(self, line: str, cell: str | None = None) -> Job | None:
        """Run the cell, Python or a program, with another root directory, as chroot(1) does.

        chroot(1) runs a shell where no program is named; here the cell is then Python.
        """
        return self._run(CHROOT, line, cell)

    def _run(self, table: Table, line: str, cell: str | None) -> Job | None:
        button = StopButton()
        with on_sigint(button), one_message():
            request = read_request(table.program, line, cell)
            if request.ours.help or request.ours.version:
                sys.stdout.write(help_text(table))
                return None
            return self.runner.run(request, button)


for _magic, _table in ((IsolationMagics.unshare, UNSHARE), (IsolationMagics.chroot, CHROOT)):
    _magic.__doc__ = f"{_magic.__doc__}\n\n{help_text(_table)}"
