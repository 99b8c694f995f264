"""Names of users and groups, as the machine's own databases have them (nsswitch.conf(5))."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SystemNames:
    """The `Names` and `Accounts` here: getpwnam(3), getgrnam(3) and kin, asked anew each time."""

    def uid(self, name: str) -> int | None:
        """Return the user id of a login name, None if there is no such user."""
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            return None

    def gid(self, name: str) -> int | None:
        """Return the group id of a group name, None if there is no such group."""
        try:
            return grp.getgrnam(name).gr_gid
        except KeyError:
            return None

    def login(self, user: str | int) -> tuple[str, int, int] | None:
        """Return login name, user id and group id of a user given by name or id."""
        try:
            found = pwd.getpwnam(user) if isinstance(user, str) else pwd.getpwuid(user)
        except KeyError:
            return None
        return found.pw_name, found.pw_uid, found.pw_gid

    def groups(self, login: str, gid: int) -> tuple[int, ...]:
        """Return all groups of a user with `gid` among them, getgrouplist(3)."""
        return tuple(os.getgrouplist(login, gid))
