"""The steps that are calls and nothing else, each as the calls that it is made of.

`nsmagic.run.perform` makes them in this process.  `nsmagic.run.launchorder` writes them down for
the launcher, a program that makes them without Python.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import singledispatch
from typing import Any

from nsmagic.linux import syscalls
from nsmagic.run.accounts import load_databases
from nsmagic.wish import steps
from nsmagic.wish.namespaces import clone_flags
from nsmagic.wish.steps import Step

Act = tuple[Callable[..., object], tuple[Any, ...]]


@singledispatch
def acts(step: Step) -> Iterator[Act]:
    """Yield functions with their arguments; each raises OSError where Linux refuses it."""
    raise TypeError(f"no calls alone make {type(step).__name__}")


def write_file(path: str, text: str) -> None:
    """Write `text` to a file of procfs or cgroupfs in one write(2); OSError names the file."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, os.fsencode(text))
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)


def drop_groups() -> None:
    """setgroups(2) to none."""
    os.setgroups([])


def try_to_drop_groups() -> None:
    """setgroups(2) to none, where a user namespace allows it."""
    with suppress(PermissionError):
        os.setgroups([])


def return_to(wd: str) -> None:
    """Change to a directory if there is one by that name, and we may."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        os.chdir(wd)


def make_private(target: str) -> None:
    """End the propagation of mounts below `target`; as unshare(1) does, also where none is."""
    try:
        syscalls.mount("none", target, None, syscalls.MS_PRIVATE | syscalls.MS_REC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def enter_group(cgroup: str, file: str) -> None:
    """Move this process, or by `tasks` its only thread, into a cgroup."""
    try:
        alone = len(os.listdir("/proc/self/task")) == 1
    except FileNotFoundError:  # no /proc here
        alone = False
    write_file(f"{cgroup}/{file if alone else 'cgroup.procs'}", "0")


@acts.register
def _(step: steps.SetOwner) -> Iterator[Act]:
    yield drop_groups, ()
    yield os.setgid, (step.gid,)
    yield os.setuid, (step.uid,)


@acts.register
def _(step: steps.Unshare) -> Iterator[Act]:
    yield syscalls.unshare, (clone_flags(frozenset(step.types)),)


@acts.register
def _(step: steps.SetGroups) -> Iterator[Act]:
    yield write_file, ("/proc/self/setgroups", step.policy)


@acts.register
def _(step: steps.MapIds) -> Iterator[Act]:
    yield write_file, (f"/proc/self/{step.kind}_map", step.text)


@acts.register
def _(step: steps.SetClock) -> Iterator[Act]:
    yield write_file, ("/proc/self/timens_offsets", f"{step.clock} {step.seconds} 0")


@acts.register
def _(step: steps.MakeCgroup) -> Iterator[Act]:
    yield os.mkdir, (step.cgroup,)


@acts.register
def _(step: steps.SetLimit) -> Iterator[Act]:
    yield write_file, (step.file, step.text)


@acts.register
def _(step: steps.EnterCgroup) -> Iterator[Act]:
    yield enter_group, (step.cgroup, step.file)


@acts.register
def _(step: steps.Propagate) -> Iterator[Act]:
    kind = {
        "private": syscalls.MS_PRIVATE,
        "slave": syscalls.MS_SLAVE,
        "shared": syscalls.MS_SHARED,
    }
    yield syscalls.mount, ("none", "/", None, syscalls.MS_REC | kind[step.kind])


_PSEUDO = syscalls.MS_NOSUID | syscalls.MS_NOEXEC | syscalls.MS_NODEV


@acts.register
def _(step: steps.MountProc) -> Iterator[Act]:
    if step.make_private:
        yield make_private, (step.target,)
    yield syscalls.mount, ("proc", step.target, "proc", _PSEUDO)


@acts.register
def _(step: steps.MountBinfmt) -> Iterator[Act]:
    yield syscalls.mount, ("binfmt_misc", step.target, "binfmt_misc", _PSEUDO)


@acts.register
def _(step: steps.LoadInterpreter) -> Iterator[Act]:
    yield write_file, (f"{step.target}/register", step.line)


@acts.register
def _(step: steps.Chroot) -> Iterator[Act]:
    if step.userspec or step.groups:
        yield load_databases, (step.userspec, step.groups)
    yield os.chroot, (step.root,)
    if step.chdir:
        yield os.chdir, ("/",)


@acts.register
def _(step: steps.Chdir) -> Iterator[Act]:
    yield os.chdir, (step.wd,)


@acts.register
def _(step: steps.SetGid) -> Iterator[Act]:
    yield drop_groups, ()
    yield os.setgid, (step.gid,)
    yield syscalls.die_with_parent, ()  # which a change of ids takes back, prctl(2)


@acts.register
def _(step: steps.SetUid) -> Iterator[Act]:
    yield os.setuid, (step.uid,)
    yield syscalls.die_with_parent, ()


@acts.register
def _(step: steps.Return) -> Iterator[Act]:
    yield return_to, (step.wd,)


@acts.register
def _(_step: steps.DropGroups) -> Iterator[Act]:
    yield drop_groups, ()


@acts.register
def _(step: steps.TakeIds) -> Iterator[Act]:
    if step.gid is not None:
        yield (drop_groups if step.groups else try_to_drop_groups), ()
        yield os.setgid, (step.gid,)
    if step.uid is not None:
        yield os.setuid, (step.uid,)
    yield syscalls.die_with_parent, ()
