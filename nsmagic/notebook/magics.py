"""The magics: parse -> call -> show."""

from __future__ import annotations

import inspect
import sys
from functools import cached_property
from typing import TYPE_CHECKING

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

import nsmagic
from nsmagic.linux.ids import SystemNames
from nsmagic.notebook.cgroup import CgroupDesk
from nsmagic.notebook.failures import one_line_if_stopped, one_message
from nsmagic.notebook.publishers import publisher_for
from nsmagic.notebook.request import read_request
from nsmagic.notebook.stopping import StopButton, on_sigint
from nsmagic.wish.cgroup import CGROUP, cgroup_help
from nsmagic.wish.chroot import CHROOT
from nsmagic.wish.getopt import Table
from nsmagic.wish.nsenter import NSENTER
from nsmagic.wish.options import UNSHARE
from nsmagic.wish.usage import help_text

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nsmagic.notebook import tables
    from nsmagic.notebook.footprint import Footprint
    from nsmagic.notebook.jobs import Job
    from nsmagic.notebook.runner import Runner
    from nsmagic.run.boxes import Box


@magics_class
class IsolationMagics(Magics):
    """`%%unshare` and its kin."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._shell = shell
        self.groups = CgroupDesk()

    @cached_property
    def runner(self) -> Runner:
        """What runs the cells, with the settings of this notebook."""
        # Its plans and steps are a third of what nsmagic loads, and the first cell is soon enough.
        from nsmagic.notebook.runner import Runner

        return Runner(self._shell)

    @property
    def footprint(self) -> Footprint | None:
        """What is known about the isolated cell that ran last, if one did."""
        return self.runner.footprint if "runner" in self.__dict__ else None

    @no_var_expand
    @line_cell_magic
    def unshare(self, line: str, cell: str | None = None) -> Job | Box | None:
        """Run the cell, Python or a program, in new namespaces, as unshare(1) does."""
        return self._run(UNSHARE, line, cell)

    @no_var_expand
    @line_cell_magic
    def chroot(self, line: str, cell: str | None = None) -> Job | Box | None:
        """Run the cell, Python or a program, with another root directory, as chroot(1) does.

        chroot(1) runs a shell where no program is named; here the cell is then Python.
        """
        return self._run(CHROOT, line, cell)

    @no_var_expand
    @line_cell_magic
    def cgroup(self, line: str, cell: str | None = None) -> Job | Box | tables.Table | None:
        """Run the cell, Python or a program, inside a fresh cgroup with limits.

        Without a cell: list, set, show, freeze, thaw, kill and remove groups; limits alone hold for
        every isolated cell that follows.
        """
        if cell is None:
            with one_message():
                say = publisher_for(self._shell).note
                taken, shown = self.groups.takes(line, SystemNames(), say)
                if taken:
                    return shown
        return self._run(CGROUP, line, cell)

    @no_var_expand
    @line_cell_magic
    def nsenter(self, line: str, cell: str | None = None) -> Job | Box | None:
        """Run the cell, Python or a program, in namespaces that exist, as nsenter(1) does."""
        return self._run(NSENTER, line, cell)

    def _run(self, table: Table, line: str, cell: str | None) -> Job | Box | None:
        with (
            one_message(),
            one_line_if_stopped("the cell had not begun"),  # there is no process to stop yet
            on_sigint(StopButton()) as button,
        ):
            request = read_request(table.program, line, cell)
            if request.ours.help:
                sys.stdout.write(cgroup_help() if table is CGROUP else help_text(table))
                return None
            if request.ours.version:
                sys.stdout.write(f"{table.program} from nsmagic {nsmagic.__version__}\n")
                return None
            return self.runner.run(self.groups.applied(request), button)


for _magic, _help in (
    (IsolationMagics.unshare, help_text(UNSHARE)),
    (IsolationMagics.chroot, help_text(CHROOT)),
    (IsolationMagics.cgroup, cgroup_help()),
    (IsolationMagics.nsenter, help_text(NSENTER)),
):
    _magic.__doc__ = f"{inspect.getdoc(_magic)}\n\n{_help}"
