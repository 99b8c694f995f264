"""Run cells without a notebook: a line of unshare(1), a body, and what came of it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

from nsmagic.linux import cgroups
from nsmagic.linux.ids import SystemNames
from nsmagic.linux.situation import read_situation
from nsmagic.run.boxes import boxes
from nsmagic.run.fork import Main
from nsmagic.run.launch import ForkLauncher, Launcher
from nsmagic.run.sandbox import Sandbox
from nsmagic.run.spawned import SpawnLauncher
from nsmagic.run.spawning import spawner
from nsmagic.run.terminal import Terminal
from nsmagic.run.tree import Tree
from nsmagic.wish import steps
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.ours import Ours
from nsmagic.wish.plan import Plan, make_plan
from nsmagic.wish.unshare import unshare_wish

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nsmagic.run.channel import Channel, Frame
    from nsmagic.run.result import Result

Read = Callable[..., tuple[Isolation, Ours, tuple[str, ...]]]

_numbers = itertools.count(1)


@dataclass(kw_only=True)
class Ran:
    """What came of a cell: its output, by stream, and how it ended."""

    plan: Plan
    result: Result
    out: str
    err: str


@dataclass
class _Listener:
    streams: dict[str, bytearray] = field(
        default_factory=lambda: {"stdout": bytearray(), "stderr": bytearray()}
    )

    def output(self, stream: str, data: bytes) -> None:
        self.streams[stream] += data

    def message(self, frame: Frame, channel: Channel) -> None:
        raise AssertionError(frame, channel)

    def ready(self, result: Result) -> None:
        pass

    def deadline(self) -> float | None:
        return None

    def tick(self) -> None:
        pass


@dataclass(kw_only=True)
class Cell:
    """How to run the cells of a test.  `fenced`: in a cgroup of their own, where one can be made.

    `read` is what reads their lines: of unshare(1) or nsenter(1).  `before` is for `Main`.

    Without a cgroup and without a PID namespace the keeper holds the cell's processes together.
    """

    fenced: bool = True
    tty: bool = False
    timeout: float | None = 30
    read: Read = unshare_wish
    before: Callable[[], None] = lambda: None

    def program(self, words: Sequence[str], body: str = "") -> Ran:
        """Run the program named after the options, the body being its standard input."""
        _, _, program = self.read(words, SystemNames())
        return self.run(*self.plan(words, steps.Exec(argv=program)), body)

    def run(self, plan: Plan, group: Path | None, body: str = "") -> Ran:
        """Run the program that a plan ends in."""
        terminal = Terminal(body) if self.tty else None
        launcher = SpawnLauncher(plan, spawner(), body, tty=self.tty)
        return self._run(plan, group, launcher, terminal)

    def python(self, words: Sequence[str], main: Callable[[], str]) -> Ran:
        """Run `main` in a fork of this process; what it returns is the output."""
        plan, group = self.plan(words, steps.RunPython())

        def body(_: Channel) -> NoReturn:
            text = main().encode()
            while text:
                text = text[os.write(1, text) :]
            os._exit(0)

        terminal = Terminal() if self.tty else None
        launcher = ForkLauncher(plan, Main(body=body, before=self.before), tty=self.tty)
        return self._run(plan, group, launcher, terminal)

    def plan(self, words: Sequence[str], body: steps.Step) -> tuple[Plan, Path | None]:
        """Return the plan of a line, and the group that is to be made for it."""
        wish, ours, _ = self.read(words, SystemNames())
        place = cgroups.private_place() if self.fenced else None
        ends_itself = "pid" in wish.namespaces and not ours.strict
        group = None
        if place is not None and not ends_itself:
            group = place / f"nsmagic-{os.getpid()}-cell{next(_numbers)}"
        situation = read_situation(wish, None if group is None else str(group))
        situation = replace(situation, entering=boxes().entering(wish.enter))
        return make_plan(wish, situation, body, strict=ours.strict), group

    def _run(
        self, plan: Plan, group: Path | None, launcher: Launcher, terminal: Terminal | None
    ) -> Ran:
        listener = _Listener()
        tree = Tree(next(_numbers), spawner(), group)
        sandbox = Sandbox(
            plan, launcher, tree, listener, timeout=self.timeout, terminal=terminal
        )  # fmt: skip
        sandbox.start()
        result = sandbox.finish()
        out, err = (
            listener.streams[name].decode(errors="surrogateescape") for name in ("stdout", "stderr")
        )
        return Ran(plan=plan, result=result, out=out, err=err)
