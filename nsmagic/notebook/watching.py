"""The magics that watch: `%nsmap`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

from nsmagic.linux.ids import SystemNames
from nsmagic.notebook.failures import one_message
from nsmagic.wish.nsmap import NSMAP, read_nsmap
from nsmagic.wish.usage import help_text

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nsmagic.notebook.nsmap import Follower, Look
    from nsmagic.widgets.map_facts import Picture
    from nsmagic.widgets.namespace_map import NamespaceMap

Boxes = Callable[[], Mapping[int, str]]


@magics_class
class WatchingMagics(Magics):
    """`%nsmap`.  `boxes` tells the names of boxes by the PID of their init."""

    def __init__(self, shell: InteractiveShell, boxes: Boxes = dict) -> None:
        super().__init__(shell)
        self.boxes = boxes
        self._look: Look | None = None
        self._follower: Follower | None = None
        self._last: Picture | None = None

    def close(self) -> None:
        """End what still watches."""
        if self._follower is not None:
            self._follower.close()

    @no_var_expand
    @line_magic
    def nsmap(self, line: str) -> NamespaceMap | None:
        """Draw who is in which namespace; the map follows what happens, also in running cells."""
        with one_message():
            wish = read_nsmap(line, SystemNames())
            if wish.help:
                sys.stdout.write(help_text(NSMAP))
                return None
            return self._map(text=wish.text)

    def _map(self, *, text: bool) -> NamespaceMap | None:
        # Imported now: loading nsmagic does not wait for what one may never ask for.
        from nsmagic.notebook.nsmap import Follower, Look, words

        if self._look is None:
            self._look = Look(self.boxes)
        picture, base = self._look.now(), self._last
        self._last = picture
        if text or getattr(self.shell, "kernel", None) is None:
            sys.stdout.write(words(picture) + "\n")
            return None
        from nsmagic.widgets.namespace_map import NamespaceMap

        shown = NamespaceMap(picture, base=base, words=words)
        self._follower = self._follower or Follower(self._look)
        self._follower.follow(shown)
        return shown


WatchingMagics.nsmap.__doc__ = f"{WatchingMagics.nsmap.__doc__}\n\n{help_text(NSMAP)}"
