"""Profile -> steps, in their three places of a plan.

The device nodes come from the old root, so before the change of root.  What else is mounted comes
before the ids change and the bounding set with it, because both need capabilities; what is left of
those goes afterwards, and the filter last: it need let through only what our init and the program
do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nsmagic.wish import steps
from nsmagic.wish.errors import WishError
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.profiles import PROFILES, kept_below
from nsmagic.wish.seccomp import compile_filter
from nsmagic.wish.steps import Step


def before_root(wish: Isolation) -> Iterator[Step]:
    """Yield the /dev of the profile, below the root that is to come."""
    if wish.profile is not None:
        target = f"{(wish.root or '').rstrip('/')}/dev"
        yield steps.MountDevices(devices=PROFILES[wish.profile].devices, target=target)


def before_ids(wish: Isolation, kept: Sequence[str], wd: str) -> Iterator[Step]:
    """Yield what the profile covers, `kept` excepted, and what bounds it.

    `wd` is where the box goes on, if its root is the old one: the directory that it was in may be
    covered now, and below another one of that name.
    """
    if wish.profile is None:
        return
    profile = PROFILES[wish.profile]
    for link in profile.links:
        yield steps.LinkUp(link=link)
    for directory in profile.tmpfs:
        yield steps.MountTmpfs(target=directory, kept=kept_below(directory, kept))
    yield steps.ReadOnly(paths=profile.read_only)
    yield steps.Mask(files=profile.masked_files, directories=profile.masked_directories)
    if wish.root is None:
        yield steps.Return(wd=wish.wd or wd)
    yield steps.BoundCapabilities()


def after_ids(wish: Isolation, machine: str, body: Step) -> Iterator[Step]:
    """Yield what takes the rest; WishError for a box, and where the machine has no filter."""
    if wish.profile is None:
        return
    if isinstance(body, steps.KeepBox):
        raise WishError(
            "a profile confines one program and its children, and cells that enter a box are none",
            hint="Leave the profile out, or run the program itself with it.",
        )
    refused = PROFILES[wish.profile].refused
    yield steps.NewKeyring()
    yield steps.DropCapabilities()
    yield steps.NoNewPrivileges()
    yield steps.Seccomp(
        refused=tuple(call.name for call in refused), program=compile_filter(refused, machine)
    )
