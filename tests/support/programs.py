"""Real programs and real mounts, for tests that ask the machine itself."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nsmagic.wish.getopt import Table


def output(argv: Sequence[str], *, timeout: float = 20) -> str:
    """What a program wrote, errors after output; its exit status is not looked at."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=timeout)
    return done.stdout + done.stderr


def a_cgroup_mount() -> str:
    """Where the first cgroup hierarchy is mounted, v1 or v2."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup" in line:
            return line.split()[4]
    pytest.skip("no cgroup hierarchy is mounted")


def needs_open_python() -> None:
    """Skip unless other users can run this Python, without nsmagic's help."""
    for folder in Path(os.path.realpath(sys.executable)).parents:
        if not folder.stat().st_mode & 1:
            pytest.skip(f"{folder} is closed to others: use the environment of `make`")


def as_installed(table: Table, run: Callable[..., subprocess.CompletedProcess[str]]) -> Table:
    """Return a table without the options that the installed program does not know.

    getopt_long(3) is asked: unshare of util-linux 2.41 leaves --map-subids out of its --help.
    """

    def knows(name: str) -> bool:
        # An option that nobody has comes last, so that nothing is ever done.
        return f"unrecognized option '--{name}=" not in run(f"--{name}=", "--no-such").stderr

    rows = tuple(row for row in table.options if knows(row.name))
    return dataclasses.replace(table, options=rows, extra=())
