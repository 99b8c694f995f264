"""Becoming another user as chroot(1) does, in the root that was entered."""

from __future__ import annotations

import errno
import os

from nsmagic.linux.ids import SystemNames
from nsmagic.wish import steps
from nsmagic.wish.accounts import Account, UnknownAccountError, find_inside, find_outside


def load_databases(userspec: str | None, groups: str | None) -> None:
    """Look up in the old root, so that glibc loads what it needs for that from here."""
    find_outside(userspec, groups, SystemNames())


def become(step: steps.AccountStep) -> None:
    """Do one step; OSError(ENOENT) names the file that does not have a user or group."""
    found = _found(step)
    if isinstance(step, steps.TakeGroups) and found.groups is not None:
        os.setgroups(found.groups)
    elif isinstance(step, steps.TakeGroup) and found.gid is not None:
        os.setgid(found.gid)
    elif isinstance(step, steps.TakeUser) and found.uid is not None:
        os.setuid(found.uid)


def _found(step: steps.AccountStep) -> Account:
    try:
        return find_inside(step.userspec, step.groups, SystemNames(), step.before)
    except UnknownAccountError as problem:
        raise OSError(errno.ENOENT, str(problem), problem.file) from None
