"""One isolated cell: started, pumped to its end, and what then becomes of it."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from nsmagic.notebook import otherroot
from nsmagic.notebook.body import Cell
from nsmagic.notebook.cell import CellListener
from nsmagic.notebook.child import ChildShell
from nsmagic.notebook.failures import raise_for, verdict
from nsmagic.notebook.jobs import Job
from nsmagic.notebook.pacing import OutputLimits
from nsmagic.notebook.publish import CaptureOutput, CellOutput
from nsmagic.notebook.publishers import Publisher
from nsmagic.notebook.request import Request
from nsmagic.notebook.stopping import StopButton
from nsmagic.run.channel import MAX_BYTES
from nsmagic.run.fork import Main
from nsmagic.run.launch import ForkLauncher, Launcher
from nsmagic.run.logs import LogFile
from nsmagic.run.result import Result
from nsmagic.run.sandbox import Sandbox
from nsmagic.run.spawned import SpawnLauncher
from nsmagic.run.spawning import spawner
from nsmagic.run.terminal import Terminal
from nsmagic.run.tree import Tree
from nsmagic.wish import steps
from nsmagic.wish.counting import counted
from nsmagic.wish.errors import CellFailed, NsmagicError, StepError, WishError
from nsmagic.wish.plan import Plan

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nsmagic.notebook.cellplot import CellPlot
    from nsmagic.notebook.explain import ExplainView
    from nsmagic.notebook.footprint import Footprint
    from nsmagic.run.boxes import Box
    from nsmagic.run.groups import LiveGroup


# Bytes of buffers in a frame that only shows something; values that were asked for have more room.
_SHOWN: Final = 256 * 2**20


class RunningCell:
    """One cell between its start and what becomes of it."""

    def __init__(
        self,
        shell: InteractiveShell,
        request: Request,
        plan: Plan,
        publisher: Publisher,
        explained: ExplainView | None,
        limits: OutputLimits,
        number: int,
        planned: LiveGroup | None,
        box: Box | None,
    ) -> None:
        self._shell, self._request, self._plan = shell, request, plan
        self._publisher, self._explained = publisher, explained
        self._name = request.program[0] if request.program else "the cell"
        self._number, self._planned, self.box = number, planned, box
        self._watched = planned if box is None else box.watched()
        self._plot = self._planned_plot()
        self._log = LogFile(cell=number, hold=limits.head, eager=request.ours.bg)
        shown = CellOutput(
            publisher.text, log=self._log, limits=limits, now=time.monotonic,
            counter=publisher.counter,
        )  # fmt: skip
        variables = {"stdout": request.ours.out, "stderr": request.ours.err}
        self._captured = {stream: name for stream, name in variables.items() if name}
        self._output = CaptureOutput(shown, streams=self._captured) if self._captured else shown
        self._listener = CellListener(shell, self._output, publisher, explained)
        self._listener.asks = not request.ours.bg
        self._listener.wanted = frozenset(request.ours.returns)
        self._before: dict[str, Any] = {}
        self.made: frozenset[str] = frozenset()

    def start(self, tree: Tree, button: StopButton) -> None:
        """Fork or spawn, in the calling thread; `button` stops the cell from the beginning."""
        ours = self._request.ours
        if ours.returns:
            self._before = dict(self._shell.user_ns)
        self.footprint = self._begin()
        text = self._request.text if self._request.is_program else ""
        self._sandbox = Sandbox(
            self._plan, self._launcher(text), tree, self._listener,
            timeout=ours.timeout, terminal=Terminal(text) if ours.tty else None,
            entered=self.footprint.entered, group=self._watched,
            leave=None if self.box is None else self.box.read_on,
        )  # fmt: skip
        self._listener.asking = self._sandbox.asking
        button.aim(self._stop)
        try:
            with self._in_its_box():
                self._sandbox.start()
        except BaseException as refused:
            if self._plot is not None:  # its group was made, and nothing will run in it
                self._plot.finish()
            if self._explained is not None and isinstance(refused, StepError):
                self._explained.update(self._sandbox.result, refused)
            raise
        self.footprint.begun()
        if self._planned is not None:
            from nsmagic.run.groups import groups

            groups().live[self._planned.group.name] = self._planned

    @contextmanager
    def _in_its_box(self) -> Generator[None]:
        """Say so if the box that the cell is in was removed while it started."""
        try:
            yield
        except (OSError, StepError) as error:
            if self._has_its_box:
                raise
            raise self._without_its_box() from error

    @property
    def _has_its_box(self) -> bool:
        return self.box is None or self.box.alive

    def _without_its_box(self) -> NsmagicError:
        name = "" if self.box is None else self.box.name
        return NsmagicError(
            f"the box {name!r} ended while {self._name} was starting in it",
            hint="Run the cell that made it again.",
        )

    def _planned_plot(self) -> CellPlot | None:
        """Return the graph of --plot, which the cell's group begins and ends; WishError if none."""
        if not self._request.ours.plot:
            return None
        if self._watched is None:
            what = "this cell" if self.box is None else f"the box {self.box.name}"
            raise WishError(
                f"--plot: {what} has no cgroup of its own to draw",
                hint="--plot or %%cgroup on the cell that makes a box gives it one.",
            )
        from nsmagic.notebook.cellplot import CellPlot  # the widgets take a while to import

        live = getattr(self._shell, "kernel", None) is not None
        plot = CellPlot(self._request.ours.plot, self._publisher, live=live)
        self._watched.on_begin.append(plot.begin)
        self._watched.on_end.append(plot.look)
        return plot

    def _begin(self) -> Footprint:
        from nsmagic.notebook.footprint import Footprint  # loading nsmagic does not wait for it

        types = [step.types for step in self._plan.steps if isinstance(step, steps.Unshare)]
        wish = self._plan.isolation
        title, shares = self._request.head.splitlines()[0], {"shared", "unchanged"}
        return Footprint.begin(
            title, self.made.union(*types),
            shares_mounts=bool(wish.persist) or wish.propagation in shares,
            joined=self._joined(),
        )  # fmt: skip

    def _joined(self) -> frozenset[str]:
        """Return the types that the cell enters and that were made for its box."""
        entered = [step.entered for step in self._plan.steps if isinstance(step, steps.Join)]
        return frozenset().union(*entered) & (frozenset() if self.box is None else self.box.types)

    def _launcher(self, text: str) -> Launcher:
        ours = self._request.ours
        if self._request.is_program:
            inside = "" if self.box is None else self.box.id
            return SpawnLauncher(self._plan, spawner(), text, tty=ours.tty, inside=inside)
        cell = Cell(
            body=self._request.body or "", head=self._request.head, returns=ours.returns,
            other_root=_changes_root(self._plan),
        )  # fmt: skip
        shell = self._shell
        main = Main(
            body=lambda channel: ChildShell(shell, channel).run(cell),
            room=MAX_BYTES if ours.returns else _SHOWN,
        )
        if cell.other_root:
            otherroot.load(shell)
            main = replace(main, before=otherroot.rehearse)
        return ForkLauncher(self._plan, main, tty=ours.tty)

    def finish(self) -> None:
        """Pump in this thread until the end, then raise what the cell raised, or assign."""
        self._assign(self._pump())

    def in_background(self) -> Job:
        """Pump in a thread; return the job, shown as the cell's value."""
        name = f"cell-{self._number}"
        job = Job(name, self._sandbox, self._log.path, lambda: self._pump_and_tell(name),
                  self._assign)  # fmt: skip
        if self._request.ours.proc:
            self._shell.user_ns[self._request.ours.proc] = job
        return job

    def _pump_and_tell(self, name: str) -> Result:
        try:
            result = self._pump()
        except NsmagicError as error:
            self._publisher.note(f"{name}: {error}")
            raise
        if problem := verdict(self._listener.error, result, self._name):
            self._publisher.note(f"{name}: {problem}")
        return result

    def _stop(self) -> None:
        self._output.hurry()
        self._sandbox.interrupt()

    def _pump(self) -> Result:
        refused = None
        try:
            with self._in_its_box():
                result = self._sandbox.finish()
            if result.killed_by and not result.spent and not self._has_its_box:
                raise self._without_its_box()
            return result
        except StepError as error:
            refused = error
            raise
        finally:
            self.footprint.ended(left=self._sandbox.result.left)
            self._output.finish()
            self._tell_left(self._sandbox.result)
            self._bury()
            if self._plot is not None:
                self._plot.finish()
            if self._explained is not None:
                self._explained.update(self._sandbox.result, refused)

    def _bury(self) -> None:
        """Forget the cell's group, and say which of its limits were hit without ending the cell."""
        if self._watched is None:
            return
        from nsmagic.notebook import obituary
        from nsmagic.run.groups import groups

        if self._planned is not None:
            groups().live.pop(self._planned.group.name, None)
        if self._sandbox.result.out_of_memory and not self._request.ours.raise_error:
            self._publisher.note(f"{self._name} {obituary.of_memory(self._sandbox.result)}")
        error = "" if self._listener.error is None else str(self._listener.error["ename"])
        for line in obituary.warnings(self._sandbox.result, error):
            self._publisher.note(line)

    def _tell_left(self, result: Result) -> None:
        if result.tracer:
            self._publisher.note(
                f"PID {result.tracer} traces a process of {self._name}: it was killed, and is gone"
                " when that takes note of it, or ends"
            )
        if result.left and not result.stopped and not result.all_killed:
            some = counted(result.left, "process", "processes")
            keeps = (
                "a box keeps them: --name" if self.box is None else "--pid makes boxes keep them"
            )
            self._publisher.note(f"ended {some} that outlived the cell; {keeps}")

    def _lacks(self, result: Result) -> str:
        """Name the library without which ld.so(8) ended the program, 127."""
        if result.exit_code != 127 or not self._request.program:
            return ""
        from nsmagic.linux.needs import missing_hint  # pyelftools, needed only now
        from nsmagic.wish.refusal import last_root

        return missing_hint(last_root(self._plan.steps), self._request.program[0])

    def _assign(self, result: Result) -> None:
        ours, user_ns = self._request.ours, self._shell.user_ns
        if isinstance(self._output, CaptureOutput):
            for stream, name in self._captured.items():
                user_ns[name] = self._output.text(stream)
        if ours.proc and not ours.bg:
            user_ns[ours.proc] = result
        if ours.raise_error or result.stopped:
            raise_for(self._listener.error, result, self._name, lambda: self._lacks(result))
        user_ns.update(self._listener.values(self._before, trusted=ours.allow_pickle))
        if self._listener.refused:
            why = "; ".join(f"{name}: {why}" for name, why in self._listener.refused.items())
            raise CellFailed(
                f"--return could not bring back {why}", result, hint=self._listener.hint
            )


def _changes_root(plan: Plan) -> bool:
    """Whether the cell's root is, or may be, another one than the notebook's."""
    return any(
        isinstance(step, steps.Chroot | steps.JoinRoot)
        or (isinstance(step, steps.Join) and step.other_root)
        for step in plan.steps
    )
