"""Namespaces that last as long as a `with` block, and trees that look like /proc."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.skips import probe

# What an ordinary user needs to be allowed the rest.
AS_ROOT = () if os.geteuid() == 0 else ("--user", "--map-root-user")
WAIT = "echo ready; read line"


@probe
def unsharing() -> str | None:
    """Can this user make namespaces?"""
    done = subprocess.run(
        ["unshare", *AS_ROOT, "--net", "--mount", "true"], capture_output=True, text=True,
        check=False, timeout=20,
    )  # fmt: skip
    return done.stderr.strip() or None


@contextmanager
def running(argv: Sequence[str]) -> Iterator[int]:
    """Start a program that says "ready" and ends with its standard input; yield its PID."""
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n", argv
        yield child.pid


@contextmanager
def unshared(*options: str, script: str = WAIT) -> Iterator[int]:
    """Run a shell in new namespaces; yield its PID."""
    with running(["unshare", *AS_ROOT, *options, "--", "sh", "-c", script]) as pid:
        yield pid


def ino(path: str | Path) -> int:
    """Return the inode number of the namespace at a path."""
    return Path(path).stat().st_ino


NAMES = ("mnt", "uts", "ipc", "net", "pid", "user", "cgroup", "time")
FIRST = {name: 4026531832 + place for place, name in enumerate(NAMES)}


def add_process(
    proc: Path, pid: int, *, ppid: int = 1, name: str = "sh", command: bytes = b"sh\0",
    links: Mapping[str, int] = FIRST, threads: int = 1, mounts: str = "",
) -> Path:  # fmt: skip
    """Add a process to a directory that looks like /proc."""
    directory = proc / str(pid)
    (directory / "fd").mkdir(parents=True)
    (directory / "task").mkdir()
    zeros = " ".join(["0"] * 15)
    (directory / "stat").write_text(f"{pid} ({name}) S {ppid} {zeros} {threads} 0 0\n")
    (directory / "cmdline").write_bytes(command)
    (directory / "comm").write_text(f"{name}\n")
    (directory / "mountinfo").write_text(mounts)
    link_all(directory, links)
    return directory


def link_all(directory: Path, links: Mapping[str, int]) -> None:
    """Make the links in the directory `ns` below that of a process or thread."""
    (directory / "ns").mkdir(parents=True, exist_ok=True)
    for name, number in links.items():
        (directory / "ns" / name).symlink_to(f"{name.removesuffix('_for_children')}:[{number}]")
