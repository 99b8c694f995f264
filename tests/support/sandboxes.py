"""Command prefixes that put a program into a blocked sandbox: `docker_default(["id"])`.

Each is built for real by `enter_sandbox.py`; none is emulated by replacing a function.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.skips import probe

Prefix = Callable[[Sequence[str]], list[str]]
PROGRAM = Path(__file__).with_name("enter_sandbox.py")


def _prefix(name: str) -> Prefix:
    def build(argv: Sequence[str]) -> list[str]:
        # The links of .venv may lead through a directory that is closed to an ordinary user.
        python = str(Path(os.path.realpath(sys.prefix)) / "bin" / "python")
        return [python, "-I", str(PROGRAM), name, "--", *argv]

    build.__name__ = name
    return build


docker_default = _prefix("docker")  # seccomp, capabilities, masked paths
userns_exhausted = _prefix("userns_exhausted")  # unshare(CLONE_NEWUSER): ENOSPC
masked_proc = _prefix("masked_proc")  # mounting a fresh procfs: EPERM
readonly_cgroup = _prefix("readonly_cgroup")  # every write to cgroupfs: EROFS
no_cgroup = _prefix("no_cgroup")  # /sys/fs/cgroup is empty
few_namespaces = _prefix("few_namespaces")  # 30 of each type
small_disks = _prefix("small_disks")  # 1 MB each on the directories in $NSMAGIC_SMALL_DISKS

ALL: tuple[Prefix, ...] = (
    docker_default,
    userns_exhausted,
    masked_proc,
    readonly_cgroup,
    no_cgroup,
)


@probe
def sandboxes_work() -> str | None:
    """Can the sandboxes be built here?  They need what the magics need, one level up."""
    if platform.machine() not in {"x86_64", "aarch64"}:
        return "not x86-64 or aarch64: no table of system call numbers"
    for build in ALL:
        done = subprocess.run(build(["true"]), capture_output=True, text=True, check=False)
        if done.returncode:
            return f"{build.__name__}: {done.stderr.strip().splitlines()[-1]}"
    return None
