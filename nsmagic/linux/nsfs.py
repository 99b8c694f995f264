"""Namespaces bound to files: what `unshare --net=FILE` and `ip netns add` leave in mountinfo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nsmagic.linux.mountinfo import mount_lines
from nsmagic.linux.namespaces import NamespaceId, nsfs_device, parse_link


@dataclass(frozen=True, kw_only=True, slots=True)
class BoundNamespace:
    """A namespace and the file it is bound to, as a process with that mountinfo sees the path."""

    type: str
    id: NamespaceId
    target: str


def read_bound(mountinfo: str = "/proc/self/mountinfo") -> list[BoundNamespace]:
    """Return the namespaces bound to files in proc_pid_mountinfo(5), each file once.

    Raises OSError where the file cannot be read.
    """
    found = {}
    for mount in mount_lines(mountinfo, kind="nsfs"):
        try:
            bound = BoundNamespace(
                type=mount.root.partition(":")[0], id=parse_link(mount.root), target=mount.target
            )
        except ValueError:  # a type that is newer than our table
            continue
        found[bound.id, bound.target] = bound
    return list(found.values())


def file_namespace(path: str) -> NamespaceId | None:
    """Return the namespace that a file is, such as /proc/1/ns/net; None for any other file.

    Raises OSError where there is no such file.
    """
    found = Path(path).stat()
    if found.st_dev != nsfs_device():
        return None
    return NamespaceId(dev=found.st_dev, ino=found.st_ino)
