"""Doing the steps of a profile: covering what is there, and giving up rights."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Final

from nsmagic.linux import rights, syscalls
from nsmagic.wish import steps
from nsmagic.wish.seccomp import packed
from nsmagic.wish.steps import Step

_OURS: Final = syscalls.MS_NOSUID | syscalls.MS_NODEV
_DEV: Final = syscalls.MS_NOSUID | syscalls.MS_NOEXEC
_LINKS: Final = {
    "ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2",
}  # fmt: skip


def _mount_tmpfs(step: steps.MountTmpfs) -> None:
    if not os.path.isdir(step.target):  # noqa: PTH112  (no pathlib in the spawner's helpers)
        return
    with ExitStack() as opened:
        kept = [(path, _opened(path, opened)) for path in step.kept]
        syscalls.mount("tmpfs", step.target, "tmpfs", _OURS, "mode=1777")
        for path, fd in kept:
            os.makedirs(path)  # noqa: PTH103
            _bind(fd, path, syscalls.MS_REC)


def _mount_devices(step: steps.MountDevices) -> None:
    dev = step.target
    with ExitStack() as opened:
        nodes = [(name, _opened(f"/dev/{name}", opened)) for name in step.devices]
        syscalls.mount("tmpfs", dev, "tmpfs", _DEV, "mode=755")
        for name, fd in nodes:
            os.close(os.open(f"{dev}/{name}", os.O_CREAT | os.O_CLOEXEC, 0o666))
            _bind(fd, f"{dev}/{name}")
    for name, target in _LINKS.items():
        os.symlink(target, f"{dev}/{name}")  # noqa: PTH211
    for name in ("pts", "shm"):
        os.mkdir(f"{dev}/{name}")  # noqa: PTH102
    syscalls.mount("devpts", f"{dev}/pts", "devpts", _DEV, "newinstance,ptmxmode=0666")
    syscalls.mount("shm", f"{dev}/shm", "tmpfs", _OURS | syscalls.MS_NOEXEC, "mode=1777")


def _opened(path: str, opened: ExitStack) -> int:
    """Return what a path leads to before it is covered."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    opened.callback(os.close, fd)
    return fd


def _bind(fd: int, target: str, recursive: int = 0) -> None:
    syscalls.mount(f"/proc/self/fd/{fd}", target, None, syscalls.MS_BIND | recursive)


def _read_only(step: steps.ReadOnly) -> None:
    for path in filter(os.path.exists, step.paths):
        syscalls.mount(path, path, None, syscalls.MS_BIND | syscalls.MS_REC)
        syscalls.read_only(path)


def _mask(step: steps.Mask) -> None:
    for path in filter(os.path.exists, step.files):
        syscalls.mount("/dev/null", path, None, syscalls.MS_BIND)
    for path in filter(os.path.exists, step.directories):
        syscalls.mount("tmpfs", path, "tmpfs", syscalls.MS_RDONLY)


def _new_keyring(_: steps.NewKeyring) -> None:
    try:
        rights.join_new_keyring()
    except OSError as error:
        if error.errno != errno.ENOSYS:  # Linux without CONFIG_KEYS: nothing is shared
            raise


ACTS: Final[Mapping[type[Step], Callable[[Any], None]]] = {
    steps.MountTmpfs: _mount_tmpfs,
    steps.MountDevices: _mount_devices,
    steps.LinkUp: lambda step: syscalls.set_up(step.link),
    steps.ReadOnly: _read_only,
    steps.Mask: _mask,
    steps.BoundCapabilities: lambda _: rights.bound_capabilities(),
    steps.NewKeyring: _new_keyring,
    steps.DropCapabilities: lambda _: rights.drop_capabilities(),
    steps.NoNewPrivileges: lambda _: rights.forbid_new_privileges(),
    steps.Seccomp: lambda step: rights.install_filter(packed(step.program)),
}
