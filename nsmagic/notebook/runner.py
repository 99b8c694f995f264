"""Runs one isolated cell: request -> plan -> sandbox -> what the notebook shows."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsmagic.linux import cgroups
from nsmagic.linux.situation import read_situation
from nsmagic.notebook.cell import CellListener, raise_for, returned, run_to_end
from nsmagic.notebook.child import Cell, ChildShell
from nsmagic.notebook.pacing import OutputLimits
from nsmagic.notebook.publish import CaptureOutput, CellOutput
from nsmagic.notebook.publishers import publisher_for
from nsmagic.notebook.request import Request
from nsmagic.run.launch import ForkLauncher, Launcher
from nsmagic.run.logs import LogFile
from nsmagic.run.sandbox import Sandbox
from nsmagic.run.spawning import SpawnLauncher, spawner
from nsmagic.run.tree import Tree
from nsmagic.wish import steps
from nsmagic.wish.plan import Plan, make_plan

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_numbers = itertools.count(1)


class Runner:
    """Runs isolated cells of one notebook, one after the other or side by side."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self.limits = OutputLimits()

    def run(self, request: Request) -> None:
        """Run the cell to its end; raises what it raised."""
        number = next(_numbers)
        plan, tree = self._plan(request, number)
        publisher = publisher_for(self._shell)
        output = self._output(publisher, request, number)
        listener = CellListener(self._shell, output, publisher)
        for note in plan.notes:
            publisher.note(note)
        before = dict(self._shell.user_ns) if request.ours.returns else {}
        launcher = self._launcher(plan, request)
        sandbox = Sandbox(plan, launcher, tree, listener, timeout=request.ours.timeout)
        try:
            result = run_to_end(sandbox)
        finally:
            output.finish()
        raise_for(listener, result, what=request.program[0] if request.program else "the cell")
        self._shell.user_ns.update(returned(listener, request.ours.returns, before))

    def _plan(self, request: Request, number: int) -> tuple[Plan, Tree]:
        group = self._group(request, number)
        situation = read_situation(request.wish, None if group is None else str(group))
        body = steps.Exec(argv=request.program) if request.program else steps.RunPython()
        return make_plan(request.wish, situation, body, strict=request.ours.strict), Tree(
            number, spawner(), group
        )

    def _group(self, request: Request, number: int) -> Path | None:
        """Name a cgroup for the cell where no PID namespace will end its tree."""
        if "pid" in request.wish.namespaces and not request.ours.strict:
            return None
        place = cgroups.private_place()
        return None if place is None else place / f"nsmagic-{os.getpid()}-cell{number}"

    def _output(self, publisher: Any, request: Request, number: int) -> CellOutput | CaptureOutput:
        log = LogFile(cell=number, hold=self.limits.head)
        shown = CellOutput(
            publisher.text, log=log, limits=self.limits, now=time.monotonic,
            counter=publisher.counter,
        )  # fmt: skip
        captured = [name for name, var in (("stdout", request.ours.out),
                                           ("stderr", request.ours.err)) if var]  # fmt: skip
        return CaptureOutput(shown, streams=captured) if captured else shown

    def _launcher(self, plan: Plan, request: Request) -> Launcher:
        if request.program:
            return SpawnLauncher(plan, spawner(), request.body or "")
        cell = Cell(body=request.body or "", head=request.head, returns=request.ours.returns)
        return ForkLauncher(plan, lambda channel: ChildShell(self._shell, channel).run(cell))
