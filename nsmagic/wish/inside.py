"""The part of a plan that the cell's own process does: mounts, root, who it is, environment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nsmagic.wish import steps
from nsmagic.wish.accounts import Account, files_asked
from nsmagic.wish.chroot import to_words
from nsmagic.wish.hardening import before_root
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.options import BINFMT_MISC
from nsmagic.wish.steps import Step


def inside(wish: Isolation, outside: Account, before_ids: Iterable[Step] = ()) -> Iterator[Step]:
    """Yield the steps; `outside` is whom --userspec and --groups mean before the change of root."""
    propagation = wish.propagation or "private"
    if "mnt" in wish.namespaces and propagation != "unchanged":
        yield steps.Propagate(kind=propagation)
    yield from before_root(wish)
    fixed_for_root = wish.root is not None and _is_fixed(wish.load_interp)
    if fixed_for_root and wish.load_interp is not None:
        yield steps.MountBinfmt(target=BINFMT_MISC)
        yield steps.LoadInterpreter(target=BINFMT_MISC, line=wish.load_interp)
    if wish.root is not None:
        yield steps.Chroot(
            root=wish.root, chdir=not wish.skip_chdir, words=to_words(wish),
            userspec=wish.userspec, groups=wish.groups,
        )  # fmt: skip
    if wish.wd is not None:
        yield steps.Chdir(wd=wish.wd)
    if wish.mount_proc is not None:
        private_already = wish.root is not None or propagation == "private"
        yield steps.MountProc(target=wish.mount_proc, make_private=not private_already)
    if wish.mount_binfmt is not None:
        yield steps.MountBinfmt(target=wish.mount_binfmt)
        if wish.load_interp is not None and not fixed_for_root:
            yield steps.LoadInterpreter(target=wish.mount_binfmt, line=wish.load_interp)
    yield from before_ids
    yield from _accounts(wish, outside)
    yield from _own_ids(wish)


def _is_fixed(load_interp: str | None) -> bool:
    """Whether the binfmt line has flag F: the interpreter is opened now, so in the old root."""
    return load_interp is not None and "F" in load_interp.rpartition(":")[2]


def _accounts(wish: Isolation, outside: Account) -> Iterator[Step]:
    """Yield what --userspec and --groups of chroot(1) ask for, in its order."""
    userspec = (wish.userspec or "").rstrip(":")
    by_user = bool(userspec.partition(":")[0])
    kinds: list[type[steps.AccountStep]] = []
    if files_asked(wish.userspec, wish.groups, outside):
        kinds.append(steps.FindAccounts)
    if by_user or wish.groups is not None:
        kinds.append(steps.TakeGroups)
    if userspec:
        kinds.append(steps.TakeGroup)
    if by_user:
        kinds.append(steps.TakeUser)
    for kind in kinds:
        yield kind(userspec=wish.userspec, groups=wish.groups, before=outside)


def _own_ids(wish: Isolation) -> Iterator[Step]:
    if wish.setgid is not None:
        yield steps.SetGid(gid=wish.setgid)
    if wish.setuid is not None:
        yield steps.SetUid(uid=wish.setuid)
    if wish.keep_caps and "user" in wish.namespaces:
        yield steps.KeepCaps()
    if wish.clear_env:
        yield steps.ClearEnvironment(keep=wish.whitelist_env)
