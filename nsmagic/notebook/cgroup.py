"""What `%cgroup` does without a cell: limits that hold for later cells, and its verbs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from nsmagic.wish.cgroup import VERB_BY_WORD, Order, read_cgroup, read_order
from nsmagic.wish.counting import counted
from nsmagic.wish.errors import CgroupError, WishError
from nsmagic.wish.getopt import split_line
from nsmagic.wish.limits import Limit, overridden
from nsmagic.wish.limits.names import PREFIX
from nsmagic.wish.ours import Ours
from nsmagic.wish.spelling import or_nearest
from nsmagic.wish.values import Names

if TYPE_CHECKING:
    from nsmagic.notebook.request import Request
    from nsmagic.notebook.tables import Table
    from nsmagic.run.groups import LiveGroup

Say = Callable[[str], None]


class CgroupDesk:
    """The groups of one notebook; `held` are the limits that every isolated cell gets."""

    def __init__(self) -> None:
        self.held: tuple[Limit, ...] = ()

    def takes(self, line: str, names: Names, say: Say) -> tuple[bool, Table | None]:
        """Do what a line of `%cgroup` says, unless it has a program to run: then return False.

        What is to be shown as the cell's value comes second; `say` shows a line.
        """
        order = read_order(line)
        if order is not None:
            return True, self._obey(order, say)
        wish, ours, program = read_cgroup(line, names)
        if program or ours.help:
            if program == tuple(split_line(line)):
                _refuse_what_is_no_program(program[0])
            return False, None
        self._hold(wish.limits, ours, say)
        return True, None

    def applied(self, request: Request) -> Request:
        """Return the request with the limits that are held; those of the cell itself win.

        A cell in a box is in the box's group already.
        """
        wish = request.wish
        if not self.held or (wish.enter is not None and wish.enter.into_box):
            return request
        limits = overridden(self.held, wish.limits)
        return replace(request, wish=replace(wish, cgroup=True, limits=limits))

    def _hold(self, limits: tuple[Limit, ...], ours: Ours, say: Say) -> None:
        if ours != Ours():
            raise WishError(
                "%cgroup alone in its cell sets limits for later cells: the other options are of "
                "one cell",
                hint="Put code below it, or a program behind it.",
            )
        from nsmagic.run.groups import groups

        held = overridden(self.held, limits)
        groups().plan("held", held, strict=False, dry=True)  # refuses what no cell could have
        self.held = held
        say(f"isolated cells get {_said(held)} from now on, until %cgroup off")

    def _obey(self, order: Order, say: Say) -> Table | None:
        if order.verb is None:
            from nsmagic.notebook.cgroup_tables import groups_table
            from nsmagic.run.groups import groups
            from nsmagic.run.neighbours import live_neighbours

            own = groups().live
            live = {**own, **live_neighbours()}
            if self.held:
                say(f"isolated cells get {_said(self.held)}, until %cgroup off")
            if not own:
                say("no group now: one lives as long as its cell (--bg) or box (--name)")
            return groups_table(live) if live else None
        act: Callable[[Order, Say], Table | None] = getattr(self, f"_{order.verb}")
        return act(order, say)

    def _off(self, _: Order, say: Say) -> None:
        ended, self.held = self.held, ()
        say(f"{_said(ended)} holds no longer" if ended else "no limits were held")

    def _controllers(self, *_: object) -> Table:
        from nsmagic.notebook.cgroup_tables import controllers_table

        return controllers_table()

    def _tree(self, *_: object) -> Table:
        from nsmagic.notebook.cgroup_tables import tree_table

        return tree_table()

    def _show(self, order: Order, _: Say) -> Table:
        from nsmagic.notebook.cgroup_tables import show_table

        return show_table(_find(order.name), order.keys)

    def _set(self, order: Order, _: Say) -> Table:
        from nsmagic.notebook.cgroup_tables import readings_table

        return readings_table(_find(order.name).change(order.limits))

    def _freeze(self, order: Order, say: Say) -> None:
        group = _find(order.name).group
        group.freeze()
        say(f"froze {order.name}, {_processes(len(group.processes()))}")

    def _thaw(self, order: Order, say: Say) -> None:
        _find(order.name).group.thaw()
        say(f"thawed {order.name}")

    def _kill(self, order: Order, say: Say) -> None:
        say(f"killed {_processes(_find(order.name).group.kill())} of {order.name}")

    def _rm(self, order: Order, say: Say) -> None:
        from nsmagic.run.groups import groups

        group = _find(order.name).group
        if inside := group.processes():
            raise CgroupError(
                f"{order.name} holds {_processes(len(inside))}",
                hint=f"%cgroup kill {order.name}   ends them; then the group goes by itself.",
            )
        group.remove()
        groups().live.pop(order.name, None)
        say(f"removed {order.name}")


def _refuse_what_is_no_program(word: str) -> None:
    """Say which verbs there are to who meant one: `%cgroup frieze web`."""
    if "/" in word or shutil.which(word) is not None:
        return
    near = or_nearest(word, VERB_BY_WORD)
    raise WishError(
        f"%cgroup has no verb {word!r}{near}, and no program has this name",
        hint=f"The verbs: {', '.join(VERB_BY_WORD)}",
    )


def _find(name: str) -> LiveGroup:
    """Return a group of this notebook, or of another by the name of its directory.

    Names are looked up and never become part of a path.
    """
    from nsmagic.run.groups import groups

    live = groups().live
    if name in live:
        return live[name]
    if name.startswith(PREFIX):
        from nsmagic.run.neighbours import live_neighbours

        if name in (others := live_neighbours()):
            return others[name]
    from nsmagic.run.boxes import boxes

    if boxes().get(name) is not None:
        raise WishError(
            f"the box {name!r} has no limits, and so no group for %cgroup",
            hint="%%cgroup above the cell that makes the box gives it some: %%cgroup mem=64M",
        )
    there = f"There is: {', '.join(live)}." if live else "There is none now."
    raise WishError(
        f"no cell or box of this notebook has a group called {name!r}{or_nearest(name, live)}",
        hint=f"{there}  A group lives as long as its cell (--bg) or box (--name).",
    )


def _said(limits: tuple[Limit, ...]) -> str:
    return " ".join(map(str, limits))


def _processes(count: int) -> str:
    return counted(count, "process", "processes")
