"""`--name`: a cell makes a box and is then run in it, as every later cell is."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nsmagic.linux.rooted import working_directory
from nsmagic.linux.situation import read_situation
from nsmagic.linux.targets import box_to_be
from nsmagic.notebook.failures import raise_for
from nsmagic.notebook.request import Request
from nsmagic.notebook.stopping import StopButton
from nsmagic.run.boxes import Box, boxes
from nsmagic.run.boxsetup import Setup
from nsmagic.run.groups import LiveGroup, groups
from nsmagic.run.private import private_group
from nsmagic.wish import steps
from nsmagic.wish.boxes import box_part, cell_part
from nsmagic.wish.errors import StepError, WishError
from nsmagic.wish.plan import Plan, make_plan
from nsmagic.wish.target import Entering

if TYPE_CHECKING:
    from nsmagic.notebook.explain import ExplainView


@dataclass(frozen=True, kw_only=True)
class Order:
    """A request that names a box, with the plan of the box alone."""

    name: str
    request: Request
    plan: Plan
    group: Path | None
    planned: LiveGroup | None

    @classmethod
    def of(cls, request: Request) -> Order:
        """Read what the plan must know; WishError where the name is taken."""
        name, ours = request.ours.name, request.ours
        assert name is not None
        taken = boxes().get(name)
        if taken is not None and not ours.replace:
            sign = "%" if request.body is None else "%%"
            line = request.head.splitlines()[0].removeprefix(f"{sign}{request.magic}")
            raise WishError(
                f"there is a box {name!r} already (PID {taken.pid}, made by {taken.title})",
                hint=f"{sign}{request.magic} --replace{line}   removes it first; so does "
                f"%box rm {name}",
            )
        wish = box_part(request.wish)
        planned = None
        if wish.cgroup:
            planned = groups().plan(name, wish.limits, strict=ours.strict, dry=ours.dry_run)
        dry = ours.dry_run
        group = private_group(name, probe=not dry) if planned is None else planned.group.v2
        situation = replace(
            read_situation(wish, None if group is None else str(group)),
            group=None if planned is None else planned.cell,
            entering=boxes().entering(wish.enter),
        )
        plan = make_plan(wish, situation, steps.KeepBox(box=name), strict=ours.strict)
        return cls(name=name, request=request, plan=plan, group=group, planned=planned)

    @property
    def cell(self) -> Request:
        """The request of the cell in the box."""
        wish = cell_part(self.request.wish, self.name, working_directory())
        ours = replace(self.request.ours, name=None, replace=False, init=False)
        return replace(self.request, wish=wish, ours=ours)

    @property
    def entering(self) -> Entering:
        """How the cell will enter the box, before there is one (--dry-run)."""
        wish = self.plan.isolation
        enter = self.cell.wish.enter
        assert enter is not None
        target = box_to_be(self.name, wish.namespaces, rooted=wish.root is not None)
        return Entering(enter=enter, target=target, may_set_groups=os.geteuid() == 0)

    def make(self, button: StopButton, explained: ExplainView | None) -> Box:
        """Make the box; raises what was refused, and then nothing of it is left."""
        if boxes().get(self.name) is not None:
            boxes().remove(self.name)
        setup = Setup(self.name, self.plan, self.group, self.planned)
        button.aim(setup.interrupt)
        refused = None
        try:
            setup.start()
            result = setup.settle()
        except StepError as error:
            refused = error
            raise
        finally:
            if explained is not None:
                explained.update(setup.result, refused)
        if not setup.pid:
            raise_for(None, result, f"the box {self.name}")
        box = Box(self.name, setup, self.request.head)
        boxes().keep(box)
        return box
