"""The magics: parse -> call -> show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from nsmagic.notebook.failures import one_message
from nsmagic.notebook.request import read_request
from nsmagic.notebook.runner import Runner

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


@magics_class
class IsolationMagics(Magics):
    """`%%unshare` and its kin."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)  # type: ignore[no-untyped-call]
        self._runner = Runner(shell)

    @no_var_expand
    @line_cell_magic
    def unshare(self, line: str, cell: str | None = None) -> None:
        """Run the cell, Python or a program, in new namespaces, as unshare(1) does."""
        with one_message():
            self._runner.run(read_request("unshare", line, cell))
