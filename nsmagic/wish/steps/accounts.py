"""Steps of chroot(1) that become another user: names are looked up in the new root."""
# ruff: noqa: D102  (what shell() and syscalls() return is said once, in Step)

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nsmagic.wish.accounts import NOBODY, Account, files_asked, shown_ids
from nsmagic.wish.steps.base import Step


@dataclass(frozen=True, kw_only=True)
class AccountStep(Step):
    """A step that sets ids by --userspec and --groups; `before` was found in the old root."""

    userspec: str | None = None
    groups: str | None = None
    before: Account = NOBODY

    def shell(self) -> str:
        return "# by the options of chroot"


@dataclass(frozen=True, kw_only=True)
class FindAccounts(AccountStep):
    """Look up users and groups in passwd(5) and group(5) of the new root."""

    name: ClassVar[str] = "accounts"

    def syscalls(self) -> tuple[str, ...]:
        files = files_asked(self.userspec, self.groups, self.before)
        return tuple(f'openat(AT_FDCWD, "{file}", O_RDONLY|O_CLOEXEC)' for file in files)


@dataclass(frozen=True, kw_only=True)
class TakeGroups(AccountStep):
    """setgroups(2) with the groups of --groups, or those of the user."""

    name: ClassVar[str] = "groups"

    def syscalls(self) -> tuple[str, ...]:
        listed = shown_ids(self.userspec, self.groups)[2]
        if listed is None:
            return ("setgroups(COUNT, GIDS)",)
        return (f"setgroups({len(listed)}, [{', '.join(listed)}])",)


@dataclass(frozen=True, kw_only=True)
class TakeGroup(AccountStep):
    """setgid(2) with the group of --userspec, or the user's own."""

    name: ClassVar[str] = "setgid"

    def syscalls(self) -> tuple[str, ...]:
        return (f"setgid({shown_ids(self.userspec, self.groups)[1] or 'GID'})",)


@dataclass(frozen=True, kw_only=True)
class TakeUser(AccountStep):
    """setuid(2) with the user of --userspec."""

    name: ClassVar[str] = "setuid"

    def syscalls(self) -> tuple[str, ...]:
        return (f"setuid({shown_ids(self.userspec, self.groups)[0] or 'UID'})",)
