"""Where kernels are tortured: as root with cgroups, without (the keeper), as an ordinary user."""

from __future__ import annotations

import os
import pwd
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.groups import groups_with_limits
from tests.support.kernel_driver import KernelDriver
from tests.support.sandboxes import readonly_cgroup
from tests.support.user import Account
from tests.torture.remains import MARK, Remains

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

_FOLDERS = ("work", "run", "tmp", "state", "cache", "ipython", "jupyter")
LOAD = "%load_ext nsmagic"
PLACES = ("root", "keeper", "user")


@dataclass(frozen=True, kw_only=True)
class Place:
    """One configuration.  Each kernel gets directories of its own below `home`."""

    name: str
    home: Path
    account: Account | None = None

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        """Let a command line name a place, for `named_by`."""
        parser.add_argument("--place", choices=PLACES, default="root")
        parser.add_argument("--home", type=Path, required=True, help="kernels get directories here")
        parser.add_argument("--uid", type=int, help="the ordinary user of a prepared --home")
        parser.add_argument("--seed", default=str(time.time_ns()))

    @classmethod
    def named_by(cls, options: Namespace) -> Self:
        """The place that a command line named."""
        account = None
        if options.uid is not None:
            gid = pwd.getpwuid(options.uid).pw_gid
            account = Account(uid=options.uid, gid=gid, home=options.home)
        return cls(name=options.place, home=options.home, account=account)

    @property
    def is_root(self) -> bool:
        """Whether kernels here may do what root may."""
        return self.account is None and os.geteuid() == 0

    @property
    def has_groups(self) -> bool:
        """Whether cgroups with limits can be made here: also by a user to whom one is delegated."""
        are_we = self.account is None or self.account.uid == os.geteuid()
        return self.name != "keeper" and are_we and not groups_with_limits()

    def of(self, mark: str) -> Home:
        """Make the directories of one kernel."""
        home = self.home / mark
        account = None if self.account is None else replace(self.account, home=home)
        for name in _FOLDERS:
            (home / name).mkdir(mode=0o700, parents=True)
            if account:
                os.chown(home / name, account.uid, account.gid)
        if account and self.account:
            os.chown(home, account.uid, account.gid)
            account.project.symlink_to(self.account.project)
        return Home(place=self, home=home, mark=mark, account=account)


@dataclass(frozen=True, kw_only=True)
class Home:
    """The directories of one kernel, its mark, and what is left of it."""

    place: Place
    home: Path
    mark: str
    account: Account | None

    @property
    def env(self) -> dict[str, str]:
        """What its processes get on top of ours."""
        if self.account:
            return {MARK: self.mark}
        folders = {"TMPDIR": "tmp", "XDG_RUNTIME_DIR": "run", "XDG_STATE_HOME": "state",
                   "XDG_CACHE_HOME": "cache", "IPYTHONDIR": "ipython",
                   "JUPYTER_CONFIG_DIR": "jupyter"}  # fmt: skip
        return {name: str(self.home / folder) for name, folder in folders.items()} | {
            MARK: self.mark
        }

    def start(
        self, *, setup: str = LOAD, prefix: Sequence[str] = (), env: dict[str, str] | None = None
    ) -> KernelDriver:
        """Start a kernel; `prefix` is put before its command, behind the place's own."""
        prefix = (*(readonly_cgroup([]) if self.place.name == "keeper" else ()), *prefix)
        return KernelDriver(
            prefix=prefix, account=self.account, env=self.env | (env or {}),
            cwd=self.home / "work", setup=setup,
        )  # fmt: skip

    def remains(self) -> Remains:
        """Watch over it."""
        private = (self.home / "tmp", self.home / "run")
        return Remains(self.mark, private, self.home / "work")

    def remove(self) -> None:
        """Delete the directories."""
        shutil.rmtree(self.home)
