"""`--plot`: the graph of a cell's cgroup above its output, from before its first process on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nsmagic.notebook.graphs import keeper
from nsmagic.widgets.graph_text import text_of

if TYPE_CHECKING:
    from nsmagic.linux.cgroups.group import Cgroup
    from nsmagic.notebook.publishers import Publisher
    from nsmagic.widgets.cgroup_graph import CgroupGraph


class CellPlot:
    """One cell's graph.  Without a kernel its text is written when the cell is over."""

    def __init__(self, panels: Sequence[str], publisher: Publisher, *, live: bool) -> None:
        self._panels, self._publisher, self._live = panels, publisher, live
        self._graph: CgroupGraph | None = None

    def begin(self, group: Cgroup) -> None:
        """Show the graph: the group is made, and nothing is in it yet."""
        self._group = group
        self._graph = keeper().open(group, self._panels, hold=True)
        if self._live:
            self._graph._ipython_display_()

    def look(self) -> None:
        """Look once more while the group is still there."""
        if self._graph is not None:
            keeper().track(self._group)

    def finish(self) -> None:
        """Let the graph end with the group, or go on with a box, and leave its picture."""
        if self._graph is None:
            return
        keeper().release(self._graph, "" if self._group.exists() else "group removed")
        if not self._live:
            text = text_of(self._graph.name, self._panels, self._graph.track)
            self._publisher.text("stdout", text + "\n")
