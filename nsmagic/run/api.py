"""`nsmagic.run`: one program in a sandbox of its own, from Python."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nsmagic.linux.situation import read_situation
from nsmagic.run.boxes import boxes
from nsmagic.run.listener import Silent
from nsmagic.run.private import private_group
from nsmagic.run.result import Result
from nsmagic.run.sandbox import Sandbox
from nsmagic.run.spawned import SpawnLauncher
from nsmagic.run.spawning import spawner
from nsmagic.run.tree import Tree
from nsmagic.wish import steps
from nsmagic.wish.errors import WishError
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.plan import make_plan
from nsmagic.wish.unshare import settle

_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a program wrote and how it ended."""

    stdout: bytes
    stderr: bytes
    result: Result


class _Collector(Silent):
    def __init__(self) -> None:
        self.streams = {"stdout": bytearray(), "stderr": bytearray()}

    def output(self, stream: str, data: bytes) -> None:
        self.streams[stream] += data


def run(
    isolation: Isolation, argv: Sequence[str], *, text: str = "", timeout: float | None = None,
    strict: bool = False,
) -> Finished:  # fmt: skip
    """Run a program in a sandbox, as `%%unshare` does, and wait for its end.

    `text` is its standard input, `timeout` in seconds; `strict` implies nothing.  WishError where
    the wish makes no sense, StepError where Linux refuses a step: then nothing is left.
    """
    if not argv:
        raise WishError("run: there is no program", hint='For example run(wish, ["hostname"]).')
    if isolation.cgroup:
        raise WishError("run: limits are for cells", hint="%%cgroup mem=64M has them.")
    isolation = settle(isolation)
    number = next(_numbers)
    group = None if "pid" in isolation.namespaces else private_group(f"run-{number}")
    situation = read_situation(isolation, None if group is None else str(group))
    situation = replace(situation, entering=boxes().entering(isolation.enter))
    plan = make_plan(isolation, situation, steps.Exec(argv=tuple(argv)), strict=strict)
    collector = _Collector()
    tree = Tree(f"run-{number}", spawner(), group)
    launcher = SpawnLauncher(plan, spawner(), text)
    sandbox = Sandbox(plan, launcher, tree, collector, timeout=timeout)
    sandbox.start()
    result = sandbox.finish()
    out, err = (bytes(collector.streams[name]) for name in ("stdout", "stderr"))
    return Finished(stdout=out, stderr=err, result=result)
