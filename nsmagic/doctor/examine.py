"""Runs the checks, each in a child of its own, and makes verdicts of what Linux says."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import Final, NoReturn

from nsmagic.doctor.checks import CHECKS, TOOLS, Check
from nsmagic.doctor.reasons import explain
from nsmagic.doctor.trials import Trial
from nsmagic.doctor.verdict import Verdict, Way
from nsmagic.linux import syscalls
from nsmagic.linux.circumstances import read_circumstances
from nsmagic.linux.ids import SystemNames
from nsmagic.linux.situation import read_situation
from nsmagic.run.attached import Attached
from nsmagic.run.channel import Channel, Frame
from nsmagic.run.execute import without_keeper
from nsmagic.wish import steps
from nsmagic.wish.circumstances import Circumstances
from nsmagic.wish.errors import StepError, WishError
from nsmagic.wish.idmaps import Ids
from nsmagic.wish.plan import Plan, Situation, make_plan
from nsmagic.wish.unshare import unshare_wish

NOBODY: Final = 65534
_NO_PROC: Final = "Nothing is mounted on /proc, and Linux is asked through files there."
_MOUNT_PROC: Final = "As root: mount -t proc proc /proc"
_SECONDS: Final = 5.0  # for one check; a busy machine needs 0.1


class Examiner:
    """Knows who and where we are, and tries one check after the other."""

    def __init__(self) -> None:
        self.facts = read_circumstances()
        self.is_root = os.geteuid() == 0
        self.is_admin = not self.facts.lacks("CAP_SYS_ADMIN")
        # Root's own user namespaces are no proof that others may make some.
        self._drops = self.is_root and self.is_admin

    @property
    def usual(self) -> Way:
        """The way that nsmagic goes here: it adds --user where CAP_SYS_ADMIN is not there."""
        return "root" if self.is_admin else "rootless"

    def examine(self, check: Check, way: Way) -> Verdict:
        """Try it; never raises for what Linux refuses."""
        verdict = Verdict(
            name=check.name, group=check.group, way=way, tries=check.tries, state="works"
        )
        if check.group == TOOLS:
            return _look_for(check.program, verdict)
        if not self.facts.proc:
            return replace(verdict, state="untried", why=_NO_PROC, fix=_MOUNT_PROC)
        if way == "root" and not self.is_root:
            why = f"You are uid {self.facts.uid}, not root."
            return replace(verdict, state="untried", why=why)
        if check.name == "subids" and self.is_root:
            why = "Root writes such maps itself; it is ordinary users who need newuidmap(1)."
            return replace(verdict, state="untried", why=why)
        dropped = way == "rootless" and self._drops
        try:
            plan = self._plan(check, way, dropped=dropped)
        except WishError as error:
            return replace(verdict, state="refused", why=str(error), fix=error.hint)
        return self._in_child(check, verdict, plan, become_nobody if dropped else _stay)

    def _plan(self, check: Check, way: Way, *, dropped: bool) -> Plan:
        needs_user = way == "rootless" and "--user" not in check.line
        line = f"--user --map-root-user {check.line}" if needs_user else check.line
        wish, _, _ = unshare_wish(line, SystemNames())
        situation = _of_nobody() if dropped else read_situation(wish)
        return without_keeper(make_plan(wish, situation, steps.RunPython(), strict=True))

    def _in_child(
        self, check: Check, verdict: Verdict, plan: Plan, before: Callable[[], None]
    ) -> Verdict:
        told: list[Frame] = []
        facts = self._facts_of(before)
        attached = Attached(
            plan, partial(_try, check.trial), told=told.append, before=before,
            facts=lambda of, step: _with_place(facts, of, step),
        )  # fmt: skip
        begun = time.monotonic()
        try:
            result = attached.run(timeout=_SECONDS)
        except StepError as error:
            why, _, fix = error.hint.partition("\n")
            call = str(error).partition(" failed")[0]
            verdict = _refused(verdict, error.number, call, why, fix)
        else:
            verdict = self._judge(check, verdict, told, replace(facts, plan=plan), result.stopped)
        return replace(verdict, milliseconds=(time.monotonic() - begun) * 1e3)

    def _facts_of(self, before: Callable[[], None]) -> Circumstances:
        if before is become_nobody:
            return replace(self.facts, uid=NOBODY, capabilities=0)
        return self.facts

    def _judge(
        self, check: Check, verdict: Verdict, told: list[Frame], facts: Circumstances, stopped: str
    ) -> Verdict:
        last = told[-1] if told else None
        if last is None:
            why = "It hung and was ended." if stopped else "The child ended without a word."
            return replace(verdict, state="refused", why=why)
        if last.kind == "works":
            return replace(verdict, detail=last.data["detail"])
        number, call = last.data["errno"], last.data["text"]
        if last.kind == "unable":
            why = f"No other user can be tried here: setuid({NOBODY}) gives {call}."
            return replace(verdict, state="untried", why=why)
        why, fix = explain(check.name, number, facts, program=check.program)
        return _refused(verdict, number, call, why, fix)


def _look_for(program: str, verdict: Verdict) -> Verdict:
    found = shutil.which(program)
    if found is not None:
        return replace(verdict, detail=found)
    why, fix = explain(verdict.name, errno.ENOENT, Circumstances(), program=program)
    return _refused(verdict, errno.ENOENT, f"which {program}", why, fix)


def _refused(verdict: Verdict, number: int, call: str, why: str, fix: str) -> Verdict:
    name = errno.errorcode.get(number, str(number))
    return replace(verdict, state="refused", errno=name, call=call, why=why, fix=fix)


def _with_place(facts: Circumstances, plan: Plan, step: steps.Step) -> Circumstances:
    """Return the facts with what the refused step names, read now."""
    now = read_circumstances(plan, step)
    return replace(now, uid=facts.uid, capabilities=facts.capabilities)


def _try(trial: Trial, channel: Channel, _spent: list[float]) -> NoReturn:
    """The body in the child: try, tell, end."""
    try:
        detail = trial()
    except OSError as error:
        channel.send("denied", errno=error.errno or errno.EIO, text=str(error.strerror or error))
    else:
        channel.send("works", detail=detail)
    os._exit(0)


def _stay() -> None:
    """Stay who we are."""


def become_nobody() -> None:
    """Give up root for good, as an ordinary user has none."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    # After a change of ids /proc/self belongs to root, and with it the maps: proc(5), dumpable.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)


def _of_nobody() -> Situation:
    return Situation(
        uids=Ids(kind="uid", own=NOBODY), gids=Ids(kind="gid", own=NOBODY), sys_admin=False
    )


def examine(names: Collection[str] = ()) -> list[Verdict]:
    """Return verdicts on the checks of these names, on all unless named, in the table's order.

    The calling process must have one thread: its children are forks.
    """
    examiner = Examiner()
    sys.stdout.flush()
    return [
        examiner.examine(check, way)
        for check in CHECKS
        if not names or check.name in names
        for way in check.ways
    ]
