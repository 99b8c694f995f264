"""The kernel's own populated group, as in a container: its processes move to a leaf, and back."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path

from nsmagic.linux.cgroups.candidates import Candidate, words
from nsmagic.linux.processes import descendants, read_processes
from nsmagic.wish.errors import CgroupError

_ROUNDS = 10


def leaf_note(leaf: Path) -> str:
    """Return what the person should know of it."""
    return (
        f"the notebook's own processes moved to {leaf}: cgroup v2 gives limits only to "
        "groups below one without processes.  They move back when the notebook ends"
    )


def move_to_leaf(found: Candidate, undo: ExitStack) -> Path:
    """Move the processes of our own group to a leaf, which is returned.

    Then the group may have controllers, and other groups beside the leaf.  On `undo` goes the way
    back: controllers off, processes back, leaf removed.  CgroupError where it cannot be done, and
    then all is as before.
    """
    leaf = found.directory / f"nsmagic-{os.getpid()}.kernel"  # no box can be called so
    with ExitStack() as on_failure:
        try:
            leaf.mkdir()
            on_failure.callback(_back, found.directory, leaf)
            moved = _moved(found.directory, leaf)
        except OSError as error:
            raise CgroupError(
                f"{leaf} cannot be made and filled: {error.filename}: {error.strerror}"
            ) from error
        if not moved:
            raise CgroupError(f"the processes of {found.directory} could not be moved to {leaf}")
        undo.push(on_failure.pop_all())
    return leaf


def _moved(group: Path, leaf: Path) -> bool:
    """Move all that is in a group; False if there is somebody else's, or no end to it."""
    for _ in range(_ROUNDS):  # while processes are moved, they fork
        left = [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
        if not left:
            return True
        if set(left) - descendants(os.getpid(), read_processes()):
            return False
        _move(left, leaf)
    return False


def _move(pids: list[int], group: Path) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            (group / "cgroup.procs").write_text(str(pid))


def _back(group: Path, leaf: Path) -> None:
    off = " ".join(f"-{name}" for name in words(group / "cgroup.subtree_control"))
    with suppress(OSError):  # a group in it is still there, and the leaf is where we stay
        if off:
            (group / "cgroup.subtree_control").write_text(off)
        for _ in range(_ROUNDS):
            left = [int(pid) for pid in (leaf / "cgroup.procs").read_text().split()]
            if not left:
                break
            _move(left, group)
        leaf.rmdir()
