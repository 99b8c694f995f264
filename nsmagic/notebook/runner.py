"""Runs isolated cells: request -> plan -> sandbox -> what the notebook shows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nsmagic.linux.situation import read_situation
from nsmagic.notebook.jobs import Job
from nsmagic.notebook.pacing import OutputLimits
from nsmagic.notebook.publishers import Publisher, publisher_for
from nsmagic.notebook.request import Request
from nsmagic.notebook.running import RunningCell
from nsmagic.notebook.stopping import StopButton
from nsmagic.run import quiesce
from nsmagic.run.private import private_group
from nsmagic.run.spawning import spawner
from nsmagic.run.tree import Tree
from nsmagic.wish import steps
from nsmagic.wish.errors import WishError
from nsmagic.wish.plan import Plan, make_plan

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nsmagic.notebook.explain import ExplainView
    from nsmagic.notebook.footprint import Footprint
    from nsmagic.run.boxes import Box
    from nsmagic.run.groups import LiveGroup
    from nsmagic.wish.isolation import Enter
    from nsmagic.wish.target import Entering

_numbers = itertools.count(1)


class Runner:
    """Runs the isolated cells of one notebook."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self.limits = OutputLimits()
        self.footprint: Footprint | None = None
        self._noted: set[str] = set()

    def run(self, request: Request, button: StopButton) -> Job | Box | None:
        """Run the cell to its end and raise what it raised, or return it as a job (`--bg`).

        A cell that names a box makes it first; if there is nothing to run in it, it is returned.
        """
        if request.ours.name is not None:
            return self._make_box(request, button)
        return self._run(request, button)

    def _make_box(self, request: Request, button: StopButton) -> Job | Box | None:
        from nsmagic.notebook.boxmaking import Order  # loading nsmagic does not wait for it

        order = Order.of(request)
        publisher = publisher_for(self._shell)
        explained = self._explain(request, order.plan, publisher)
        nothing_to_run = request.body is None and not request.program
        if request.ours.dry_run:
            return None if nothing_to_run else self._run(order.cell, button, order.entering)
        if explained is None:
            self._say(order.plan.notes, publisher)
        box = order.make(button, explained)
        if explained is None:
            self._say_limits(box.planned, publisher)
        return box if nothing_to_run else self._run(order.cell, button, made=box.types)

    def run_aside(self, request: Request, publisher: Publisher) -> Job:
        """Run a `--bg` cell whose output goes to `publisher` and that nobody asked for by name."""
        before = self.footprint
        job = self._run(request, StopButton(), publisher=publisher)
        self.footprint = before
        assert job is not None
        return job

    def _run(
        self, request: Request, button: StopButton, entering: Entering | None = None,
        made: frozenset[str] = frozenset(), publisher: Publisher | None = None,
    ) -> Job | None:  # fmt: skip
        """Run a cell; `entering` is given for a box to be, `made` was made for it just now."""
        number = next(_numbers)
        entering = entering or _entering(request.wish.enter)
        box = _box_of(entering)
        planned = self._limited(request, number, box)
        group = self._group(request, number, box) if planned is None else planned.group.v2
        plan = self._plan(request, group, planned, entering, box)
        publisher = publisher or publisher_for(self._shell)
        explained = self._explain(request, plan, publisher)
        if request.ours.dry_run:
            return None
        if explained is None:  # whose table says it too
            self._say(plan.notes, publisher)
        running = RunningCell(
            self._shell, request, plan, publisher, explained, self.limits, number, planned, box
        )
        running.made = made
        others = [] if planned is None else [Path(each) for each in planned.cell.others]
        home, inside = (None, "") if box is None else (box.group, box.id)
        tree = Tree(
            number, spawner(), group, others, make=planned is None, inside=inside, home=home
        )  # fmt: skip
        running.start(tree, button)
        self.footprint = running.footprint
        self._say(quiesce.take_notes(), publisher)
        if explained is None:
            self._say_limits(planned, publisher)
        if not request.ours.bg or button.pressed:
            running.finish()
            return None
        return running.in_background()

    def _say(self, notes: Iterable[str], publisher: Publisher) -> None:
        """Show each note once in a notebook session."""
        for note in notes:
            if note not in self._noted:
                publisher.note(note)
            self._noted.add(note)

    def _say_limits(self, group: LiveGroup | None, publisher: Publisher) -> None:
        if group is not None:
            from nsmagic.notebook.obituary import read_back

            if text := read_back(group):  # each time: it is what Linux made of this group
                publisher.note(text)
            self._say(filter(None, [group.note]), publisher)

    def _limited(self, request: Request, number: int, box: Box | None) -> LiveGroup | None:
        """Plan the group that the cell asks for; CgroupError where there cannot be one."""
        if not request.wish.cgroup:
            return None
        if box is not None:
            raise WishError(
                f"a cell in a box uses the box's group, and has no limits of its own: {box.name}",
                hint=f"%cgroup set {box.name} mem=64M   changes a limit of a box that has limits; "
                "%%cgroup above the cell that makes the box gives it some.",
            )
        from nsmagic.run.groups import groups  # loading nsmagic does not wait for it

        ours = request.ours
        return groups().plan(
            f"cell-{number}", request.wish.limits, strict=ours.strict, dry=ours.dry_run
        )

    def _group(self, request: Request, number: int, box: Box | None) -> Path | None:
        """Name a cgroup for the cell where no PID namespace will end its tree."""
        if box is not None:
            return None if box.group is None else box.group / f"cell{number}"
        if request.wish.enter is not None and request.wish.enter.join_cgroup:
            return None
        if "pid" in request.wish.namespaces and not request.ours.strict:
            return None
        return private_group(f"cell-{number}", probe=not request.ours.dry_run)

    def _plan(
        self, request: Request, group: Path | None, planned: LiveGroup | None,
        entering: Entering | None, box: Box | None,
    ) -> Plan:  # fmt: skip
        wish, ours = request.wish, request.ours
        if ours.bg:  # its outside steps are done while the notebook may go to another directory
            kept = tuple((name, str(Path(file).absolute())) for name, file in wish.persist)
            wish = replace(wish, persist=kept)
        situation = replace(
            read_situation(wish, None if group is None else str(group)),
            group=None if planned is None else planned.cell,
            entering=entering,
            box_groups=() if box is None else box.other_groups,
        )
        other_root = wish.root is not None or (entering is not None and entering.changes_root)
        argv = request.argv(other_root=other_root)
        body = steps.Exec(argv=argv) if argv else steps.RunPython()
        return make_plan(wish, situation, body, strict=ours.strict, init=ours.init)

    def _explain(self, request: Request, plan: Plan, publisher: Publisher) -> ExplainView | None:
        if not request.ours.explain and not request.ours.dry_run:
            return None
        from nsmagic.notebook.explain import ExplainView  # 10 ms that most cells need not pay

        view = ExplainView(publisher)
        view.show(plan, asked=request.wish, dry_run=request.ours.dry_run)
        return view


def _entering(enter: Enter | None) -> Entering | None:
    if enter is None:
        return None
    from nsmagic.run.boxes import boxes  # loading nsmagic does not wait for it

    return boxes().entering(enter)


def _box_of(entering: Entering | None) -> Box | None:
    """Return the box that is entered, None for a process or a box to be."""
    if entering is None or entering.target is None or not entering.target.pid:
        return None
    from nsmagic.run.boxes import boxes

    return boxes().get(entering.target.box)
