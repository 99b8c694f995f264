"""Names of users and groups, as the machine's own databases have them (nsswitch.conf(5))."""

from __future__ import annotations

import grp
import pwd
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SystemNames:
    """The `Names` of this machine: getpwnam(3) and getgrnam(3), asked anew each time."""

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
