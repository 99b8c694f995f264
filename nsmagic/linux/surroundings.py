"""What is around this process and could be changed by a cell that is not isolated from it."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """A look at the namespaces that this process is in; taking it costs about 0.1 ms.

    `mounts` maps what a mount is to its options, `links` index to name, `ipc` holds System V
    objects such as `shared memory 3`.
    """

    hostname: str
    mounts: Mapping[str, str]
    links: Mapping[int, str]
    ipc: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that is not as before: `happened` is `added`, `removed` or `changed`."""

    what: str
    happened: str
    detail: str


_SYSV = (("shm", "shared memory"), ("sem", "semaphores"), ("msg", "message queue"))


def read_surroundings(
    proc: str = "/proc", *, without: Collection[str] = frozenset()
) -> Surroundings:
    """Look around; what cannot be read counts as empty, and so do the types of `without`.

    Those are the namespaces that a cell has to itself: nothing of theirs can change around us.
    """
    return Surroundings(
        hostname=os.uname().nodename,
        mounts={} if "mnt" in without else _mounts(f"{proc}/self/mountinfo"),
        links={} if "net" in without else _links(),
        ipc=frozenset() if "ipc" in without else frozenset(_ipc(proc)),
    )


def _mounts(mountinfo: str) -> dict[str, str]:
    """Return the options of each mount by "ID TARGET (TYPE from SOURCE)", proc_pid_mountinfo(5)."""
    with suppress(OSError), open(mountinfo, "rb") as file:
        # As nsmagic.linux.mountinfo does; its MountLines take twice as long, at each cell.
        lines = os.fsdecode(file.read()).split("\n")
        mounts = {}
        for left, _, right in (line.partition(" - ") for line in lines if line):
            number, _, _, root, target, options = left.split(" ", 5)
            kind, source, more = right.split(" ", 2)
            origin = root if kind == "nsfs" else source
            mounts[f"{number} {target} ({kind} from {origin})"] = f"{options} {more}"
        return mounts
    return {}


def _links() -> dict[int, str]:
    with suppress(OSError):
        return dict(socket.if_nameindex())
    return {}


def _ipc(proc: str) -> Iterator[str]:
    for name, word in _SYSV:
        with suppress(OSError), open(f"{proc}/sysvipc/{name}", "rb", buffering=0) as file:
            lines = file.readall().splitlines()[1:]
            yield from (f"{word} {line.split()[1].decode()}" for line in lines)


def differences(before: Surroundings, after: Surroundings) -> list[Difference]:
    """Return what is not as before, mounts first."""
    found = []
    for key, options in after.mounts.items():
        target = key.partition(" ")[2]
        if key not in before.mounts:
            found.append(Difference(what="mount", happened="added", detail=target))
        elif before.mounts[key] != options:
            detail = f"{target}: {before.mounts[key]} → {options}"
            found.append(Difference(what="mount", happened="changed", detail=detail))
    for key in before.mounts.keys() - after.mounts.keys():
        detail = key.partition(" ")[2]
        found.append(Difference(what="mount", happened="removed", detail=detail))
    if before.hostname != after.hostname:
        detail = f"{before.hostname} → {after.hostname}"
        found.append(Difference(what="hostname", happened="changed", detail=detail))
    found += _of_links(before.links, after.links)
    for happened, more, less in (("added", after, before), ("removed", before, after)):
        found += [
            Difference(what="System V IPC", happened=happened, detail=item)
            for item in sorted(more.ipc - less.ipc)
        ]
    return found


def _of_links(before: Mapping[int, str], after: Mapping[int, str]) -> Iterator[Difference]:
    for index, name in after.items():
        if index not in before:
            yield Difference(what="network link", happened="added", detail=name)
        elif before[index] != name:
            detail = f"{before[index]} → {name}"
            yield Difference(what="network link", happened="changed", detail=detail)
    for index in before.keys() - after.keys():
        yield Difference(what="network link", happened="removed", detail=before[index])
