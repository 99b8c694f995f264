"""`%lab`: parse -> call -> show."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from IPython.core.magic import Magics, line_magic, magics_class

from nsmagic.labs.skips import Skips
from nsmagic.linux.ids import SystemNames
from nsmagic.notebook.failures import one_message
from nsmagic.wish.lab import LAB, LabWish, read_lab
from nsmagic.wish.usage import help_text

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nsmagic.labs.desk import Desk


@magics_class
class LabMagics(Magics):
    """`%lab`.  `boxes` tells the names of boxes by the PID of their init."""

    def __init__(
        self, shell: InteractiveShell, boxes: Callable[[], Mapping[int, str]] = dict
    ) -> None:
        super().__init__(shell)
        self.boxes = boxes
        self._desk: Desk | None = None
        self.skips = Skips()

    @line_magic
    def lab(self, line: str) -> object:
        """Do a lab: checks that look at Linux, hints, guesses, and a guard."""
        with one_message():
            wish = read_lab(line, SystemNames())
            if wish.help:
                sys.stdout.write(help_text(LAB))
                return None
            return self._do(wish)

    def offer(self, source: str, start: str) -> Iterator[tuple[str, str]]:
        """Yield what completion may put into a line: names of labs, exercises, questions..."""
        # Imported now: loading nsmagic does not wait for the first Tab.
        from nsmagic.labs import offers

        assert self.shell is not None
        running = self._desk.lab_name if self._desk else ""
        return offers.offered(source, start, running, self.boxes(), self.shell.user_ns)

    def _do(self, wish: LabWish) -> object:
        if self._desk is None:
            assert self.shell is not None
            # Imported now: loading nsmagic does not wait for what one may never ask for.
            from nsmagic.labs.desk import Desk

            self._desk = Desk(self.shell.user_ns, self.boxes, self.skips)
        return self._desk.do(wish)


LabMagics.lab.__doc__ = f"{LabMagics.lab.__doc__}\n\n{help_text(LAB)}"
