"""Who --userspec and --groups of chroot(1) mean: names and numbers, looked up as it does.

The rules are those of chroot.c in coreutils (9.1 to aa0c0de35) and of gnulib's userspec.c.  It
looks twice: before the change of root, and inside, where the databases are those of the new root.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

_LARGEST: Final = 2**32 - 1
# strtoul(3) takes spaces before and a plus sign; a minus sign is refused by gnulib's xstrtoul.
_NUMBER: Final = re.compile(r"[ \t\n\v\f\r]*\+?[0-9]{1,400}")


class Accounts(Protocol):
    """The databases of users and groups, passwd(5) and group(5); None for whom they do not have."""

    def login(self, user: str | int) -> tuple[str, int, int] | None:
        """Return login name, user id and group id of a user given by name or id."""

    def gid(self, name: str) -> int | None:
        """Return the group id of a group name."""

    def groups(self, login: str, gid: int) -> tuple[int, ...]:
        """Return all groups of a user with `gid` among them, getgrouplist(3)."""


class UnknownAccountError(LookupError):
    """A user or group that the database `file` does not have."""

    def __init__(self, message: str, file: str) -> None:
        super().__init__(message)
        self.file = file


@dataclass(frozen=True, kw_only=True)
class Account:
    """What was found: None where nothing is to be set, and for a login name that is not known."""

    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] | None = None
    login: str | None = None


NOBODY: Final = Account()


def find_outside(userspec: str | None, groups: str | None, accounts: Accounts) -> Account:
    """Look both up before the change of root; what is not found is left to the look-up inside."""
    found = NOBODY
    if userspec:
        try:
            found = _read_userspec(userspec, found, accounts)
        except UnknownAccountError:
            found = NOBODY
    found = _with_login(found, groups, accounts)
    if groups:
        try:
            return replace(found, groups=_read_groups(groups, accounts))
        except UnknownAccountError:
            return found
    return _with_groups_of_login(found, groups, accounts)


def find_inside(
    userspec: str | None, groups: str | None, accounts: Accounts, outside: Account
) -> Account:
    """Look both up in the new root; raises UnknownAccountError for what is not there either."""
    found = outside
    if userspec:
        found = _read_userspec(userspec, found, accounts)
    found = _with_login(found, groups, accounts)
    if found.uid is not None and found.gid is None:
        raise UnknownAccountError(
            f"no group is given, and there is no user {found.uid} to take it from", "/etc/passwd"
        )
    if groups:
        try:
            found = replace(found, groups=_read_groups(groups, accounts))
        except UnknownAccountError:
            if not outside.groups:
                raise
    else:
        found = _with_groups_of_login(found, groups, accounts)
    changed = found.uid is not None or groups is not None
    return replace(found, groups=(found.groups or ()) if changed else None)


def _with_login(found: Account, groups: str | None, accounts: Accounts) -> Account:
    """Add the login name, and the group where none is known, as far as the database has them."""
    if found.uid is None or (groups is not None and found.gid is not None):
        return found
    entry = accounts.login(found.uid)
    if entry is None:
        return found
    return replace(found, login=entry[0], gid=entry[2] if found.gid is None else found.gid)


def _with_groups_of_login(found: Account, groups: str | None, accounts: Accounts) -> Account:
    if groups is not None or found.gid is None or found.login is None:
        return found
    return replace(found, groups=accounts.groups(found.login, found.gid))


def _read_userspec(text: str, found: Account, accounts: Accounts) -> Account:
    """Read USER, USER:GROUP, :GROUP, or with a dot for the colon, which POSIX once allowed."""
    text = text.removesuffix(":")
    user, colon, group = text.partition(":")
    try:
        return _read_pair(user, colon, group, found, accounts)
    except UnknownAccountError as problem:
        user, dot, group = text.partition(".")
        if colon or not dot:
            raise
        try:
            return _read_pair(user, dot, group, found, accounts)
        except UnknownAccountError:
            raise problem from None


def _read_pair(
    user: str, separator: str, group: str, found: Account, accounts: Accounts
) -> Account:
    uid, gid = found.uid, found.gid
    group_of_user = bool(separator) and not group  # "bob::", "bob."
    if user:
        entry = None if user.startswith("+") else accounts.login(user)
        if entry is not None:
            uid, gid = entry[1], entry[2] if group_of_user else gid
        else:
            uid = None if group_of_user else _id(user)
        if uid is None:
            raise UnknownAccountError(f"there is no user {user!r}", "/etc/passwd")
    if group:
        known = None if group.startswith("+") else accounts.gid(group)
        gid = _id(group) if known is None else known
        if gid is None:
            raise UnknownAccountError(f"there is no group {group!r}", "/etc/group")
    return Account(uid=uid, gid=gid, groups=found.groups, login=found.login)


def _id(text: str) -> int | None:
    number = int(text) if _NUMBER.fullmatch(text) else _LARGEST
    return number if number < _LARGEST else None  # (uid_t) -1 means "leave it as it is"


def _read_groups(text: str, accounts: Accounts) -> tuple[int, ...]:
    names = [name for name in text.split(",") if name]
    if not names:
        raise UnknownAccountError(f"{text!r} names no group", "/etc/group")
    return tuple(_group(name, accounts) for name in names)


def _group(name: str, accounts: Accounts) -> int:
    numeric = _NUMBER.fullmatch(name) is not None and int(name) <= _LARGEST
    bare = name.lstrip() if numeric else name
    known = None if numeric and bare.startswith("+") else accounts.gid(bare)
    if known is None and not numeric:
        raise UnknownAccountError(f"there is no group {name!r}", "/etc/group")
    return int(bare) if known is None else known


class _Record:
    """Accounts that know everybody and note which file of the two was asked."""

    def __init__(self) -> None:
        self.files: dict[str, None] = {}

    def login(self, user: str | int) -> tuple[str, int, int]:
        self.files["/etc/passwd"] = None
        return str(user), 0, 0

    def gid(self, _: str) -> int:
        self.files["/etc/group"] = None
        return 0

    def groups(self, _: str, gid: int) -> tuple[int, ...]:
        self.files["/etc/group"] = None
        return (gid,)


def files_asked(userspec: str | None, groups: str | None, outside: Account) -> tuple[str, ...]:
    """Return which of passwd(5) and group(5) the look-up inside reads, the first one first."""
    record = _Record()
    find_inside(userspec, groups, record, outside)
    return tuple(record.files)


def shown_id(text: str) -> str:
    """Return an id that was written as a number, "" for a name, which is looked up when it runs."""
    number = _id(text)
    return "" if number is None else str(number)


def shown_ids(userspec: str | None, groups: str | None) -> tuple[str, str, Sequence[str] | None]:
    """Return user, group and the list of groups as far as they are numbers in what was typed.

    "" is what only a look-up tells, None a list that only a look-up tells.
    """
    user, _, group = (userspec or "").partition(":")
    listed = [shown_id(name) for name in (groups or "").split(",") if name]
    known = groups is not None and all(listed)
    return shown_id(user), shown_id(group), listed if known else None
