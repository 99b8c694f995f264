"""Removing what kernels that died left outside their processes, by their ledgers.

Only what such a ledger names, only what has a name of ours, and nothing that the ledger of a living
kernel names too.  What a ledger says is not trusted: paths are looked at before they are touched.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from nsmagic.linux import cgroups, syscalls
from nsmagic.linux.cgroups.leaf import move_back
from nsmagic.linux.mountinfo import read_mountinfo
from nsmagic.run.ledger import Entry, check_private, ledger_dir, read_entries
from nsmagic.run.owner import Owner

Outcome = Literal["removed", "removable", "listed", "failed"]
_OURS: Final = "nsmagic-"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A thing that the kernel with PID `kernel` left.

    `outcome`: it was `removed`, with a dry run would be (`removable`), is only `listed` because it
    is the user's, with the `command` that removes it, or `failed` to go, and `why`.
    """

    kind: str
    what: str
    kernel: int
    outcome: Outcome
    why: str = ""
    command: str = ""

    @property
    def sentence(self) -> str:
        """What became of it, in one line."""
        what = f"{self.kind} {self.what} of kernel {self.kernel}"
        command = f"   {self.command}" if self.command else ""
        match self.outcome:
            case "removed":
                return f"removed {what}"
            case "removable":
                return f"would remove {what}"
            case "listed":
                return f"yours, so it stays: {what}{command}"
        return f"could not remove {what}: {self.why}{command}"


class _Refused(Exception):
    """It is not what our ledgers name."""


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """How a thing is looked at (False if gone, _Refused if it is not ours), and removed."""

    there: Callable[[str], bool]
    remove: Callable[[str], None]
    outlives_boot: bool
    command: Callable[[str], str]


def sweep(directory: Path | None = None, *, dry_run: bool = False) -> list[Finding]:
    """Remove what kernels of this user left that live no more; with `dry_run` only tell.

    `directory` holds the ledgers.  OSError where it is not private to this user.
    """
    place = directory or ledger_dir()
    check_private(place)
    me, dead, kept = Owner.me(), [], set()
    for file in sorted(place.iterdir()):
        owner = Owner.of_file(file.name)
        if owner is None:
            continue
        if owner.lives(me, file):
            kept.update(_named(file))
        else:
            dead.append((owner, file))
    found = []
    for owner, file in dead:
        mine = list(_sweep_one(owner, file, me, kept, dry_run=dry_run))
        if not dry_run and all(each.outcome == "removed" for each in mine):
            file.unlink(missing_ok=True)
        found += mine
    return found


def _named(file: Path) -> list[Entry]:
    try:
        return read_entries(file)
    except OSError:
        return []


def _sweep_one(
    owner: Owner, file: Path, me: Owner, kept: set[Entry], *, dry_run: bool
) -> Iterator[Finding]:
    try:
        entries = read_entries(file)
    except FileNotFoundError:  # its kernel has ended meanwhile, and left nothing
        return
    except OSError as error:
        yield Finding(kind="ledger", what=str(file), kernel=owner.pid, outcome="failed",
                      why=str(error.strerror))  # fmt: skip
        return
    for name, kind in KINDS.items():
        for entry in reversed(entries):
            if entry[0] != name or _touches(entry, kept):
                continue
            if owner.boot == me.boot or kind.outlives_boot:
                yield from _deal_with(entry, kind, owner.pid, dry_run=dry_run)


def _touches(entry: Entry, kept: set[Entry]) -> bool:
    """Whether it is, holds or lies in something of a living kernel's."""
    what = f"{entry[1]}/"
    return any(what.startswith(f"{k}/") or f"{k}/".startswith(what) for _, k in kept)


def _deal_with(entry: Entry, kind: _Kind, kernel: int, *, dry_run: bool) -> Iterator[Finding]:
    name, what = entry
    found = Finding(
        kind=name, what=what, kernel=kernel, outcome="removable", command=kind.command(what)
    )
    try:
        if not kind.there(what):
            return
        if name == "namespace":
            found = replace(found, outcome="listed")
        elif not dry_run:
            kind.remove(what)
            found = replace(found, outcome="removed")
    except _Refused as problem:
        found = replace(found, outcome="failed", why=str(problem), command="")
    except OSError as error:
        found = replace(found, outcome="failed", why=str(error.strerror))
    except ValueError:  # a NUL byte
        found = replace(found, outcome="failed", why="no path", command="")
    yield found


def _status(what: str, *, named: bool = True) -> os.stat_result | None:
    """Return the lstat(2) of a path that is spelled plainly; None if nothing is there."""
    path = Path(what)
    if not path.is_absolute() or ".." in path.parts:
        raise _Refused("no absolute path")
    if named and not path.name.startswith(_OURS):
        raise _Refused(f"its name does not begin with {_OURS}")
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if path.parent.resolve() != path.parent:
        raise _Refused("a part of the path is a link")
    return status


def _is_mine(what: str, form: Callable[[int], bool], word: str, *, named: bool = True) -> bool:
    status = _status(what, named=named)
    if status is None:
        return False
    if not form(status.st_mode):
        raise _Refused(f"not a {word}")
    if status.st_uid != os.geteuid():
        raise _Refused("not yours")
    return True


def _is_dead_socket(what: str) -> bool:
    """A socket of ours on which nobody listens; its name is the front end's choice."""
    if not _is_mine(what, stat.S_ISSOCK, "socket", named=False):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        try:
            sock.connect(what)
        except ConnectionRefusedError:
            return True
        except OSError as error:
            raise _Refused(f"somebody may use it: {error.strerror}") from None
    raise _Refused("somebody listens on it")


def _is_group(what: str) -> bool:
    """A group of ours, or one in it: a box's group has one for each of its cells."""
    status = _status(what, named=False)
    if status is None:
        return False
    if not any(part.startswith(_OURS) for part in Path(what).parts):
        raise _Refused(f"no part of the path begins with {_OURS}")
    if not stat.S_ISDIR(status.st_mode) or not (Path(what) / "cgroup.procs").exists():
        raise _Refused("not a cgroup")
    places = [each.target for each in read_mountinfo() if each.kind in {"cgroup", "cgroup2"}]
    if not any(what.startswith(f"{place}/") for place in places):
        raise _Refused("not below a mounted cgroup hierarchy")
    return True


def _is_our_mount(what: str) -> bool:
    if not _is_mounted(what):
        return False
    if not any(part.startswith(_OURS) for part in Path(what).parts):
        raise _Refused(f"no part of the path begins with {_OURS}")
    return True


def _is_mounted(what: str) -> bool:
    return any(mount.target == what for mount in read_mountinfo())


def _remove_tree(what: str) -> None:
    targets = [mount.target for mount in read_mountinfo()]
    inside = [target for target in targets if target.startswith(f"{what}/")]
    if inside:
        raise OSError(16, f"something is mounted on {inside[0]}", what)
    shutil.rmtree(what)


# In the order of removal; within a kind, the last that was noted goes first.
KINDS: Final[dict[str, _Kind]] = {
    "cgroup": _Kind(
        there=_is_group, remove=lambda what: cgroups.end(Path(what)), outlives_boot=False,
        command=lambda what: f"rmdir {shlex.quote(what)}",
    ),
    # The processes in it were the kernel's, and the one that sweeps is among them: they move.
    "leaf": _Kind(
        there=_is_group, remove=lambda what: move_back(Path(what)), outlives_boot=False,
        command=lambda what: f"rmdir {shlex.quote(what)}",
    ),
    "mount": _Kind(
        there=_is_our_mount, remove=lambda what: syscalls.umount2(what, syscalls.MNT_DETACH),
        outlives_boot=False, command=lambda what: f"umount --lazy {shlex.quote(what)}",
    ),
    "socket": _Kind(
        there=_is_dead_socket,
        remove=os.unlink, outlives_boot=True, command=lambda what: f"rm {shlex.quote(what)}",
    ),
    "file": _Kind(
        there=lambda what: _is_mine(what, stat.S_ISREG, "regular file"),
        remove=os.unlink, outlives_boot=True, command=lambda what: f"rm {shlex.quote(what)}",
    ),
    "directory": _Kind(
        there=lambda what: _is_mine(what, stat.S_ISDIR, "directory"),
        remove=_remove_tree, outlives_boot=True, command=lambda what: f"rm -r {shlex.quote(what)}",
    ),
    "namespace": _Kind(
        there=_is_mounted, remove=os.unlink, outlives_boot=False,
        command=lambda what: f"umount {shlex.quote(what)} && rm {shlex.quote(what)}",
    ),
}  # fmt: skip
