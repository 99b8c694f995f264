"""The magics that watch: `%nsmap` and `%cgplot`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

from nsmagic.linux.ids import SystemNames
from nsmagic.notebook.failures import one_message
from nsmagic.wish.cgplot import CGPLOT, read_cgplot
from nsmagic.wish.errors import WishError
from nsmagic.wish.limits.names import PREFIX
from nsmagic.wish.lsns import SELF
from nsmagic.wish.nsmap import NSMAP, read_nsmap
from nsmagic.wish.spelling import or_nearest
from nsmagic.wish.usage import help_text

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nsmagic.linux.cgroups.group import Cgroup
    from nsmagic.notebook.nsmap import Follower, Look
    from nsmagic.widgets.cgroup_graph import CgroupGraph
    from nsmagic.widgets.map_facts import Picture
    from nsmagic.widgets.namespace_map import NamespaceMap

Boxes = Callable[[], Mapping[int, str]]
Groups = Callable[[], Mapping[str, "Cgroup"]]


@magics_class
class WatchingMagics(Magics):
    """`%nsmap` and `%cgplot`.

    `boxes` tells the names of boxes by the PID of their init, `groups` the cgroups of this notebook
    by name, the one that was made last at the end.
    """

    def __init__(self, shell: InteractiveShell, boxes: Boxes = dict, groups: Groups = dict) -> None:
        super().__init__(shell)
        self.boxes, self.groups = boxes, groups
        self._look: Look | None = None
        self._follower: Follower | None = None
        self._last: Picture | None = None

    def close(self) -> None:
        """End what still watches."""
        self.end_threads()
        if "nsmagic.widgets.whilebusy" in sys.modules:
            from nsmagic.widgets import whilebusy

            whilebusy.close(getattr(self.shell, "kernel", None))

    def end_threads(self) -> None:
        """End all that sends by itself.

        When Python exits, before ipykernel's thread that sends for all of them has ended: then each
        sends at once, and two that do so mix up the frames of their messages.
        """
        if self._follower is not None:
            self._follower.close()
        if "nsmagic.notebook.graphs" in sys.modules:
            from nsmagic.notebook.graphs import close_graphs

            close_graphs()
        if "nsmagic.notebook.boxterm" in sys.modules:
            from nsmagic.notebook.boxterm import close_terminals

            close_terminals()

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

    @no_var_expand
    @line_magic
    def cgplot(self, line: str) -> CgroupGraph | None:
        """Draw what a cgroup uses against its limits, live; the cell's value is the graph."""
        with one_message():
            wish = read_cgplot(line, SystemNames())
            if wish.help:
                sys.stdout.write(help_text(CGPLOT))
                return None
            from nsmagic.notebook.graphs import keeper
            from nsmagic.widgets.graph_text import text_of

            name, group = self._group(wish.name)
            if wish.text or getattr(self.shell, "kernel", None) is None:
                track = keeper().track(group)
                sys.stdout.write(text_of(group.name, wish.plots, track) + "\n")
                return None
            return keeper().open(group, wish.plots, steer=name != SELF)

    def _group(self, name: str) -> tuple[str, Cgroup]:
        """Return a group by its name; "" is the last one, or our own where there is none.

        A group of another kernel has for its name that of its directory.
        """
        from nsmagic.linux.cgroups.own import own_cgroup

        known = dict(self.groups())
        name = name or next(reversed(known), SELF)
        if name == SELF:
            return name, own_cgroup()
        if name.startswith(PREFIX):
            from nsmagic.run.neighbours import neighbours

            known |= neighbours()
        if name not in known:
            near = or_nearest(name, [SELF, *known])
            raise WishError(
                f"cgplot: no cgroup of this notebook is called {name!r} now{near}",
                hint="One lives as long as its cell or box; %%cgroup --plot shows it at once.",
            )
        return name, known[name]


WatchingMagics.nsmap.__doc__ = f"{WatchingMagics.nsmap.__doc__}\n\n{help_text(NSMAP)}"
WatchingMagics.cgplot.__doc__ = f"{WatchingMagics.cgplot.__doc__}\n\n{help_text(CGPLOT)}"
