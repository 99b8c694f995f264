"""What Linux tells about one namespace: who it is, what it is, and whom it hangs from.

namespaces(7) and ioctl_ns(2).  Nothing here searches; see `nsmagic.linux.discover`.
"""

from __future__ import annotations

import fcntl
import functools
import os
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nsmagic.wish.namespaces import BY_NAME, NAMESPACES

# Requests of <linux/nsfs.h> as most architectures encode _IO() and _IOR().
NS_GET_USERNS: Final = 0xB701
NS_GET_PARENT: Final = 0xB702
NS_GET_NSTYPE: Final = 0xB703
NS_GET_OWNER_UID: Final = 0xB704
NS_GET_ID: Final = 0x8008_B70D  # Linux 6.18

# Only these two have parents; the others answer NS_GET_PARENT with EINVAL.
HIERARCHICAL: Final = frozenset({"pid", "user"})
TYPES: Final = tuple(row.name for row in NAMESPACES)
FOR_CHILDREN: Final = {row.for_children: row.name for row in NAMESPACES if row.for_children}
_LINKS: Final = tuple((f"ns/{name}", name) for name in (*TYPES, *FOR_CHILDREN))
_LINK: Final = re.compile(r"([a-z]+):\[([0-9]+)\]")
_TYPE_BY_FLAG: Final = {row.flag: row.name for row in NAMESPACES}


@dataclass(frozen=True, kw_only=True, slots=True)
class NamespaceId:
    """Which namespace: the device of nsfs and the inode number that `ls -l /proc/PID/ns` shows.

    Linux gives the number of a dead namespace to a new one; see `serial`.
    """

    dev: int
    ino: int


Links = Mapping[str, NamespaceId]


@functools.cache
def nsfs_device() -> int:
    """Return the device number of nsfs, which a running Linux has once."""
    return Path("/proc/self/ns/user").stat().st_dev


@functools.lru_cache(maxsize=1 << 16)
def parse_link(text: str) -> NamespaceId:
    """Return the namespace that the target of a link names, such as `net:[4026531833]`."""
    found = _LINK.fullmatch(text)
    if found is None or found[1] not in BY_NAME:
        raise ValueError(f"{text!r} names no namespace")
    return NamespaceId(dev=nsfs_device(), ino=int(found[2]))


def read_links(directory: int | str) -> dict[str, NamespaceId]:
    """Return the namespaces of a process or thread by link name, also `pid_for_children`.

    `directory` is its directory in /proc, as a path or an open descriptor.  Links that lead nowhere
    are left out: those of a zombie, or `pid_for_children` before the first fork.  Raises
    PermissionError where the process may not be looked at, ptrace(2), and ProcessLookupError or
    FileNotFoundError where there is none.
    """
    if isinstance(directory, str):
        opened = os.open(directory, os.O_PATH | os.O_CLOEXEC)
        try:
            return read_links(opened)
        finally:
            os.close(opened)
    links = {}
    for path, name in _LINKS:
        try:
            links[name] = parse_link(os.readlink(path, dir_fd=directory))
        except FileNotFoundError:
            continue
    return links


def type_of(fd: int) -> str | None:
    """Return the type of an open namespace; None for one newer than our table."""
    return _TYPE_BY_FLAG.get(fcntl.ioctl(fd, NS_GET_NSTYPE))


def id_of(fd: int) -> NamespaceId:
    """Return which namespace a descriptor refers to."""
    found = os.fstat(fd)
    return NamespaceId(dev=found.st_dev, ino=found.st_ino)


def related(fd: int, request: int) -> int | None:
    """Open the parent (NS_GET_PARENT) or owner (NS_GET_USERNS) of an open namespace.

    None where there is none, or where it lies outside of our own user or PID namespace.
    """
    try:
        return fcntl.ioctl(fd, request)
    except OSError:
        return None


def owner_uid(fd: int) -> int | None:
    """Return who created an open user namespace, as our own user namespace numbers users."""
    return _number(fd, NS_GET_OWNER_UID, "I")


def serial(fd: int) -> int | None:
    """Return the number that Linux gives to one namespace only, ever; None before Linux 6.18."""
    return _number(fd, NS_GET_ID, "Q")


def _number(fd: int, request: int, form: str) -> int | None:
    buffer = bytearray(struct.calcsize(form))
    try:
        fcntl.ioctl(fd, request, buffer)
    except OSError:
        return None
    number: int = struct.unpack(form, buffer)[0]
    return number


def read_serials(directory: str, names: Iterable[str]) -> dict[str, int]:
    """Return the serial numbers of a process's namespaces by type, as far as Linux tells them."""
    found = {}
    for name in names:
        try:
            fd = os.open(f"{directory}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        number = serial(fd)
        os.close(fd)
        if number is not None:
            found[name] = number
    return found
