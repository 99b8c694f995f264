"""Run programs, kernels and tests as an ordinary user, with a copy of the project it can read.

A clone below /root (mode 0700) is closed to others.  So the user gets a copy of the sources; the
Python it runs is this one, found through links (the Makefile puts root's environment where others
can read it).
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROJECT = Path(__file__).resolve().parents[2]
COPIED = ("nsmagic", "tests", "kernelspec", "notebooks", "pyproject.toml", "README.md")
FOLDERS = ("run", "tmp", "state", "cache", "ipython", "jupyter")
NOBODY = 65534


@dataclass(frozen=True, kw_only=True)
class Account:
    """An ordinary user, a home that is only its own, and a readable copy of the project."""

    uid: int
    gid: int
    home: Path

    @property
    def project(self) -> Path:
        """The copy of the sources."""
        return self.home / "project"

    @property
    def python(self) -> str:
        """This Python, spelled without the links that lead through closed directories."""
        return str(Path(os.path.realpath(sys.prefix)) / "bin" / "python")

    @cached_property
    def env(self) -> dict[str, str]:
        """What its processes get on top of ours: paths that it may write, sources it may read."""
        home = str(self.home)
        runtime = self.home / "run"
        return {
            "HOME": home,
            "USER": pwd.getpwuid(self.uid).pw_name,
            "LOGNAME": pwd.getpwuid(self.uid).pw_name,
            "TMPDIR": str(self.home / "tmp"),
            "XDG_RUNTIME_DIR": str(runtime),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "HYPOTHESIS_STORAGE_DIRECTORY": str(self.home / "cache" / "hypothesis"),
            "IPYTHONDIR": str(self.home / "ipython"),
            "JUPYTER_CONFIG_DIR": str(self.home / "jupyter"),
            "JUPYTER_DATA_DIR": str(self.home / "jupyter"),
            "JUPYTER_RUNTIME_DIR": str(runtime),
            "PYTHONPATH": str(self.project),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    @property
    def popen(self) -> dict[str, Any]:
        """Arguments for subprocess.Popen; without them when we are that user already."""
        if os.geteuid() == self.uid:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def run(self, argv: Sequence[str], *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a program as this user in its home; output is captured, nothing is raised."""
        return subprocess.run(
            argv,
            env=os.environ | self.env,
            cwd=self.home,
            timeout=timeout,
            capture_output=True,
            text=True,
            check=False,
            **self.popen,
        )

    def why_not(self) -> str:
        """Why tests cannot run as this user: empty when they can."""
        try:
            done = self.run([self.python, "-c", "import sys, ipykernel; print(*sys.version_info)"])
        except PermissionError:
            return f"the user {self.uid} may not run {self.python}: use the environment of `make`"
        if done.returncode or done.stdout.split() != [str(part) for part in sys.version_info]:
            return f"the user {self.uid} cannot run this Python: {done.stderr.strip()[-300:]}"
        return ""


def make_account() -> Account:
    """A user for this test run: nobody when we are root, else ourselves; `remove` it afterwards."""
    uid = NOBODY if os.geteuid() == 0 else os.geteuid()
    # Straight below /tmp: paths of sockets have 107 bytes, and pytest's own directories are closed.
    home = Path(tempfile.mkdtemp(prefix="nst-user-", dir="/tmp"))
    account = Account(uid=uid, gid=pwd.getpwuid(uid).pw_gid, home=home)
    _furnish(account)
    account.project.mkdir()
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "artefacts")
            shutil.copytree(source, account.project / name, ignore=ignore)
        elif source.exists():
            shutil.copy(source, account.project)
    subprocess.run(["chmod", "-R", "a+rX", account.project], check=True)
    return account


@contextlib.contextmanager
def moved(account: Account) -> Iterator[Account]:
    """The same user in an empty home, for a test that counts what is in it or adds kernels."""
    home = replace(account, home=Path(tempfile.mkdtemp(prefix="home-", dir=account.home)))
    _furnish(home)
    home.project.symlink_to(account.project)
    try:
        yield home
    finally:
        remove(home)


def _furnish(account: Account) -> None:
    """Give it its home and the directories in it."""
    for name in FOLDERS:
        (account.home / name).mkdir(mode=0o700)
        os.chown(account.home / name, account.uid, account.gid)
    os.chown(account.home, account.uid, account.gid)


def remove(account: Account) -> None:
    """Delete the user's home and everything in it."""
    while account.home.exists():  # a spawner that ends just now takes its ledger away itself
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(account.home)
