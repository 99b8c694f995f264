"""The kernel's own populated group, as in a container: its processes move to a leaf, and back."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path

from nsmagic.linux.cgroups.candidates import Candidate
from nsmagic.linux.cgroups.hierarchies import words
from nsmagic.linux.noting import Noting, unnoted
from nsmagic.linux.processes import descendants, read_processes
from nsmagic.wish.errors import CgroupError

_ROUNDS = 10


def leaf_note(leaf: Path) -> str:
    """Return what the person should know of it."""
    return (
        f"the notebook's own processes moved to {leaf}: cgroup v2 gives limits only to "
        "groups below one without processes.  They move back when the notebook ends"
    )


def move_to_leaf(found: Candidate, undo: ExitStack, noted: Noting = unnoted) -> Path:
    """Move the processes of our own group to a leaf, which is returned.

    Then the group may have controllers, and other groups beside the leaf.  On `undo` goes the way
    back: controllers off, processes back, leaf removed.  CgroupError where it cannot be done, and
    then all is as before.  `noted` hears of the leaf before it is made.
    """
    leaf = found.directory / f"nsmagic-{os.getpid()}.kernel"  # no box can be called so
    with ExitStack() as on_failure:
        try:
            on_failure.enter_context(noted(leaf))
            on_failure.callback(_back, leaf)
            leaf.mkdir()
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


def _back(leaf: Path) -> None:
    with suppress(OSError):  # a group in it is still there, and the leaf is where we stay
        move_back(leaf)


def move_back(leaf: Path) -> None:
    """Take the controllers from the groups beside a leaf, let its processes out, and remove it.

    OSError where a group beside it is still there.
    """
    group = leaf.parent
    if off := " ".join(f"-{name}" for name in words(group / "cgroup.subtree_control")):
        (group / "cgroup.subtree_control").write_text(off)
    for _ in range(_ROUNDS):
        left = [int(pid) for pid in (leaf / "cgroup.procs").read_text().split()]
        if not left:
            break
        _move(left, group)
    leaf.rmdir()
