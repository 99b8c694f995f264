"""Carries out the plan of a root: makes directories and links, copies files."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Final

from nsmagic.wish.errors import NsmagicError
from nsmagic.wish.printing import printable
from nsmagic.wish.rootfs import Entry, RootfsPlan

_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_PIECE: Final = 1 << 24  # bytes that one sendfile(2) copies


def build_rootfs(plan: RootfsPlan) -> None:
    """Make what is new in the plan, and replace what differs.

    Raises NsmagicError where Linux refuses something; what was made stays, and a second call goes
    on from there.  No link below the directory is followed, so that nothing outside is touched.
    """
    top = Path.cwd() / plan.directory
    with told(str(top)):
        top.mkdir(parents=True, exist_ok=True)
        root = os.open(top, _FOLDER)
    try:
        for entry in plan.work:
            with told(f"{plan.directory.rstrip('/')}{entry.path}"):
                _make(entry, root)
    finally:
        os.close(root)


@contextmanager
def told(path: str = "") -> Generator[None]:
    """Turn an OSError into one message about `path`, else the path that it names itself."""
    try:
        yield
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, str(error.errno))
        on = path or os.fsdecode(error.filename or "")
        raise NsmagicError(
            f"rootfs: {printable(on)}: {error.strerror} ({name})",
            hint=_HINTS.get(error.errno or 0, ""),
        ) from error


_HINTS: Final = {
    errno.EACCES: "Choose a directory of your own; ls -ld shows whose one is.",
    errno.EPERM: "Choose a directory of your own; ls -ld shows whose one is.",
    errno.EROFS: "This file system is mounted read-only; choose a directory on another one.",
    errno.ENOSPC: "df -h shows how full each file system is.",
    errno.EDQUOT: "Your quota of this file system is used up; quota -s shows it.",
}


def _make(entry: Entry, root: int) -> None:
    path = PurePosixPath(entry.path).relative_to("/")
    parent = os.dup(root)
    try:
        for part in path.parts[:-1]:
            below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
            os.close(parent)
            parent = below
        _make_in(parent, path.name, entry)
    finally:
        os.close(parent)


def _make_in(parent: int, name: str, entry: Entry) -> None:
    if entry.kind == "directory":
        os.mkdir(name, dir_fd=parent)
        os.chmod(name, entry.mode, dir_fd=parent)  # whatever the umask
        return
    draft = f".nsmagic-{os.getpid()}"
    try:
        if entry.kind == "link":
            os.symlink(entry.target, draft, dir_fd=parent)
        elif _copy(entry, parent, name, draft):
            return
        os.replace(draft, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=parent)
        raise


def _copy(entry: Entry, parent: int, name: str, draft: str) -> bool:
    """Copy a file whole before it has a name, so that no program ever sees half a library.

    Returns whether that name is `name`; where there is something by that name it is `draft`, as
    it is from the beginning where the file system has no O_TMPFILE, open(2).
    """
    flags = os.O_WRONLY | os.O_CLOEXEC
    unnamed = True
    with open(entry.source, "rb") as source:
        try:
            copy = os.open(".", flags | os.O_TMPFILE, 0o600, dir_fd=parent)
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT}:
                raise
            unnamed = False
            copy = os.open(draft, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=parent)
        try:
            while os.sendfile(copy, source.fileno(), None, _PIECE):
                pass
            os.fchmod(copy, entry.mode)
            status = os.fstat(source.fileno())
            os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
            return unnamed and _name(copy, parent, name, draft)
        finally:
            os.close(copy)


def _name(copy: int, parent: int, name: str, draft: str) -> bool:
    """Give a file its name, or `draft` where there is one by that name already."""
    unnamed = f"/proc/self/fd/{copy}"
    try:
        os.link(unnamed, name, dst_dir_fd=parent, follow_symlinks=True)
    except FileExistsError:
        os.link(unnamed, draft, dst_dir_fd=parent, follow_symlinks=True)
        return False
    return True
