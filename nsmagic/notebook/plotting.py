"""`nsmagic.plot`: what is kept of a cgroup in axes of matplotlib, for a figure of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsmagic.linux.cgroups.group import Cgroup
from nsmagic.notebook.graphs import keeper
from nsmagic.widgets.cgroup_graph import CgroupGraph
from nsmagic.widgets.graph_fields import TITLES
from nsmagic.widgets.graph_still import draw
from nsmagic.wish.errors import WishError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot(subject: Cgroup | CgroupGraph, panel: str = "mem", ax: Axes | None = None) -> Axes:
    """Draw one panel (`mem`, `cpu`, `pids`, `io` or `psi`) of a group or graph; return its axes.

    Without `ax` it is a new figure, shown below the cell as any of matplotlib is.  What a group did
    is known since %cgplot or --plot first looked at it.  WishError for a panel that there is not.
    """
    if panel not in TITLES:
        raise WishError(f"no panel is called {panel!r}, only {', '.join(TITLES)}")
    track = subject.track if isinstance(subject, CgroupGraph) else keeper().track(subject)
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(8, 2.6), layout="constrained")
    draw(ax, panel, track.columns(), list(track.events))
    return ax
