"""Narrow what Linux will do, then become a program: `narrow.py NAME -- PROGRAM [ARG]...`.

Everything happens in namespaces of its own; the machine outside notices nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.enter_sandbox import (
    CLONE_NEWUSER,
    MS_BIND,
    MS_REC,
    check,
    libc,
    mount,
    own_mounts,
)

CLONE_NEWPID = 0x2000_0000


def deep_user() -> None:
    """User namespaces in each other, until Linux refuses one more."""
    while True:
        try:
            check(libc.unshare(CLONE_NEWUSER), "unshare")
        except OSError:
            return
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text("0 0 1")
        Path("/proc/self/gid_map").write_text("0 0 1")


def deep_pid() -> None:
    """PID namespaces in each other, until Linux refuses one more; each waits for the next."""
    while True:
        try:
            check(libc.unshare(CLONE_NEWPID), "unshare")
        except OSError:
            return
        child = os.fork()
        if child:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def chrooted() -> None:
    """A root that is a plain directory, holding all that the old one held."""
    own_mounts(user=False)
    mount("tmpfs", "/mnt", "tmpfs", 0)
    root = Path("/mnt/root")
    root.mkdir()
    for entry in Path("/").iterdir():
        if entry.is_symlink():
            (root / entry.name).symlink_to(os.readlink(entry))
        elif entry.is_dir() and entry.name != "mnt":
            (root / entry.name).mkdir()
            mount(str(entry), str(root / entry.name), "none", MS_BIND | MS_REC)
    os.chroot(root)
    os.chdir("/")


def few_ids() -> None:
    """A user namespace that knows the ids 0 to 9."""
    go_on, ready = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.read(go_on, 1)
        for kind in ("uid", "gid"):
            Path(f"/proc/{os.getppid()}/{kind}_map").write_text("0 0 10")
        os._exit(0)
    check(libc.unshare(CLONE_NEWUSER), "unshare")
    os.write(ready, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(helper, 0)[1]) == 0, "the maps were refused"


WAYS = {way.__name__: way for way in (deep_user, deep_pid, chrooted, few_ids)}


def prefix(way: str) -> list[str]:
    """The command prefix that puts a program there."""
    return [sys.executable, "-I", __file__, way, "--"]


if __name__ == "__main__":
    name, _, *program = sys.argv[1:]
    WAYS[name]()
    os.execvp(program[0], program)
