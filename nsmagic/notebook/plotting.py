"""`nsmagic.plot`: what is kept of a cgroup in axes of matplotlib, for a figure of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsmagic.linux.cgroups.group import Cgroup
from nsmagic.notebook.graphs import keeper
from nsmagic.run.boxes import Box
from nsmagic.run.groups import groups
from nsmagic.widgets.cgroup_graph import CgroupGraph
from nsmagic.widgets.graph_fields import TITLES
from nsmagic.widgets.graph_still import draw
from nsmagic.widgets.graph_track import Track
from nsmagic.wish.errors import WishError
from nsmagic.wish.spelling import or_nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot(
    subject: Cgroup | CgroupGraph | Box | str, panel: str = "mem", ax: Axes | None = None
) -> Axes:
    """Draw one panel (`mem`, `cpu`, `pids`, `io` or `psi`) of a group; return its axes.

    `subject` is a group, its graph, a box or the name of one.  Without `ax` it is a new figure,
    shown below the cell as any of matplotlib is.  What a group did is known since %cgplot or --plot
    first looked at it.  WishError for a panel or a group that there is not.
    """
    if panel not in TITLES:
        raise WishError(f"no panel is called {panel!r}, only {', '.join(TITLES)}")
    track = _track(subject)
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(8, 2.6), layout="constrained")
    draw(ax, panel, track.columns(), list(track.events))
    return ax


def _track(subject: Cgroup | CgroupGraph | Box | str) -> Track:
    if isinstance(subject, CgroupGraph):
        return subject.track
    if isinstance(subject, Box):
        if subject.planned is None:
            raise WishError(
                f"the box {subject.name} has no cgroup of its own",
                hint="--plot or %%cgroup on the cell that makes a box gives it one.",
            )
        subject = subject.planned.group
    if isinstance(subject, str):
        live = groups().live
        if subject not in live:
            near = or_nearest(subject, live)
            raise WishError(f"no cgroup of this notebook is called {subject!r} now{near}")
        subject = live[subject].group
    return keeper().track(subject)
