"""What an attached plan (`nsmagic.run.attached`) ends in: the program that the child becomes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn, Protocol

from nsmagic.run.channel import Channel
from nsmagic.run.perform import refuse
from nsmagic.wish import steps
from nsmagic.wish.plan import Plan


class Body(Protocol):
    """What the child does after the steps, which took `spent` milliseconds each; never returns."""

    def __call__(self, channel: Channel, spent: list[float]) -> NoReturn:
        """Do it; what is sent on `channel` reaches `told` of `Attached.run`."""


class Execute:
    """The body of a program: execve(2).

    With `hold` it waits until the caller, which is told that all is ready, has answered.
    """

    def __init__(self, plan: Plan, *, hold: bool = False) -> None:
        self._plan, self._hold = plan, hold

    def __call__(self, channel: Channel, spent: list[float]) -> NoReturn:
        """Become the program; report the errno if there is none to become."""
        body = self._plan.steps[-1]
        assert isinstance(body, steps.Exec)
        if self._hold and channel.receive() is None:
            os._exit(255)
        try:
            os.execvp(body.argv[0], body.argv)
        except OSError as error:
            failed = OSError(error.errno, error.strerror, body.argv[0])
            refuse(len(self._plan.steps) - 1, failed, channel, spent)
        os._exit(255)


def without_keeper(plan: Plan) -> Plan:
    """Return the plan without the fork that only ends a cell's background processes.

    In a shell they stay, as with unshare(1), unless --fork or --kill-child asks for a parent.
    """
    if plan.isolation.fork:
        return plan
    kept: Sequence[steps.Step] = [
        step for step in plan.steps if not (isinstance(step, steps.Fork) and step.keep)
    ]
    return replace(plan, steps=tuple(kept))
