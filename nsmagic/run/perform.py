"""Doing steps: the one place where a plan touches Linux.

`Inside` steps run in the child itself.  `outside` steps are asked of the parent, which answers
through `perform_outside`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import singledispatch
from typing import Protocol

from nsmagic.linux import rights, syscalls
from nsmagic.run import hardening, joining
from nsmagic.run.accounts import become
from nsmagic.run.acts import acts
from nsmagic.run.channel import Channel
from nsmagic.run.init import fork_from_init
from nsmagic.run.keeper import KEEPER_SIGNALS, keep_tree
from nsmagic.wish import steps
from nsmagic.wish.steps import Step


class Handover(Protocol):
    """How our parent learns of the process that goes on after a Fork step."""

    parent: int  # its PID

    def tell(self, pid: int, *, kept: bool) -> None:
        """Say its PID; `kept` if the process that forked it stays (see `nsmagic.run.keeper`)."""

    def wait(self) -> None:
        """Wait, in that process, until the parent has taken note; then be its child for good.

        Before that it must neither end nor run anything of the cell (see `take_over`).
        """


def perform_all(plan: Sequence[Step], channel: Channel, handover: Handover) -> list[float]:
    """Do every step but the last (the body) in this process; return milliseconds for each.

    Those that were done `ahead` are passed over.  A step that Linux refuses is reported on
    `channel` and ends the process.
    """
    spent: list[float] = []
    dumpable = syscalls.prctl(syscalls.PR_GET_DUMPABLE)
    with ExitStack() as noted:  # the parent takes note while we go on
        for index, step in enumerate(plan[:-1]):
            if step.ahead:
                continue
            start = time.time()  # the wall clock, because a time namespace moves all others
            try:
                if isinstance(step, steps.Fork):
                    _fork(step, channel, handover)
                    noted.callback(handover.wait)
                elif step.outside or isinstance(step, steps.Init):
                    noted.close()
                    _ask_outside(index, channel) if step.outside else fork_from_init(channel)
                else:
                    perform(step)
            except OSError as error:
                noted.close()
                refuse(index, error, channel, spent)
            spent.append((time.time() - start) * 1e3)
    joining.close_held()
    if isinstance(plan[-1], steps.RunPython):
        _as_after_execve(plan, dumpable)
    return spent


def _as_after_execve(plan: Sequence[Step], dumpable: int) -> None:
    """Have the capabilities and the access to our own /proc/self that a program here would have."""
    entered = [step.entered for step in plan if isinstance(step, steps.Join)]
    entered += [frozenset(step.types) for step in plan if isinstance(step, steps.Unshare)]
    if any("user" in types for types in entered):
        rights.lose_capabilities()
    if dumpable == 1:  # which a change of ids took back, prctl(2)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)


def refuse(index: int, error: OSError, channel: Channel, spent: list[float]) -> None:
    """Tell the parent which step Linux refused, and what those before took; end this process."""
    path = None if error.filename is None else os.fsdecode(error.filename)
    channel.send(
        "failed", index=index, errno=error.errno, text=error.strerror, path=path, spent=spent
    )
    os._exit(1)


@singledispatch
def perform(step: Step) -> None:
    """Do one step in the calling process; OSError says what Linux refused, and on which path."""
    for function, arguments in acts(step):
        function(*arguments)


@perform.register
def _(step: steps.AccountStep) -> None:
    become(step)
    syscalls.die_with_parent()


@perform.register
def _(_step: steps.KeepCaps) -> None:
    rights.keep_capabilities()


@perform.register
def _(step: steps.ClearEnvironment) -> None:
    kept = {name: os.environ[name] for name in step.keep if name in os.environ}
    os.environ.clear()
    os.environ.update(kept)


for _kind, _act in (*joining.ACTS.items(), *hardening.ACTS.items()):
    perform.register(_kind, _act)


def _fork(step: steps.Fork, channel: Channel, handover: Handover) -> None:
    """Return in the process that goes on; the one before is killed, gone or keeps the tree."""
    cgroup = None if step.cgroup is None else joining.held(step.cgroup)
    if step.share_memory and (address := syscalls.thread_id_address()) is not None:
        handover.tell(syscalls.take_over(address, cgroup), kept=False)
    else:
        _fork_plainly(step.keep, cgroup, channel, handover)
    if cgroup is not None:
        os.close(cgroup)


def _fork_plainly(keep: bool, cgroup: int | None, channel: Channel, handover: Handover) -> None:
    if keep:
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        signal.pthread_sigmask(signal.SIG_BLOCK, KEEPER_SIGNALS)
    pid = syscalls.continue_as_child(cgroup, sibling=not keep)
    if pid:
        handover.tell(pid, kept=keep)
        if keep:
            keep_tree(pid, channel, handover.parent)
        while True:  # killed by who hears of `pid`: an end of ours could be seen before the word
            signal.pause()
    if keep:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, KEEPER_SIGNALS)


def _ask_outside(index: int, channel: Channel) -> None:
    # Before the Fork step nobody outside knows this process by another way.
    channel.send("outside", index=index, pid=os.getpid())
    answer = channel.receive()
    if answer is None:
        os._exit(1)
    if answer.data["errno"]:
        raise OSError(answer.data["errno"], answer.data["text"], answer.data["path"])
