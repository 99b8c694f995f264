"""The steps that map ids into a new user namespace, and who may do them, user_namespaces(7)."""

from __future__ import annotations

from collections.abc import Iterator

from nsmagic.wish import steps
from nsmagic.wish.idmaps import Ids, id_lines
from nsmagic.wish.isolation import IdMap, Isolation, SubIds
from nsmagic.wish.steps import Step


def map_steps(wish: Isolation, uids: Ids, gids: Ids) -> Iterator[Step]:
    """Yield the steps for `uid_map`, `setgroups` and `gid_map`, in the order that Linux demands."""
    user = _inner_id(wish.map_user, wish, uids)
    group = _inner_id(wish.map_group, wish, gids)
    yield from _id_map(wish, user, wish.map_users, uids, root=uids.own == 0)
    deny = group is not None and not _needs_parent(wish, wish.map_groups)
    if deny:  # an ordinary user may write gid_map only after this, user_namespaces(7)
        yield steps.SetGroups(policy="deny")
    yield from _id_map(wish, group, wish.map_groups, gids, root=uids.own == 0)
    if wish.setgroups is not None and not deny:
        yield steps.SetGroups(policy=wish.setgroups)


def _inner_id(named: int | None, wish: Isolation, ids: Ids) -> int | None:
    if named is not None:
        return named
    if wish.map_root_user:
        return 0
    return ids.own if wish.map_current_user else None


def _id_map(
    wish: Isolation, inner: int | None, ranges: tuple[IdMap | SubIds, ...], ids: Ids, *, root: bool
) -> Iterator[Step]:
    lines = id_lines(ranges, ids, inner)
    if not lines:
        return
    if not _needs_parent(wish, ranges):
        yield steps.MapIds(kind=ids.kind, maps=lines)
    elif root:
        yield steps.MapIdsOutside(kind=ids.kind, maps=lines)
    else:
        yield steps.MapIdsByHelper(kind=ids.kind, maps=lines)


def _needs_parent(wish: Isolation, ranges: tuple[IdMap | SubIds, ...]) -> bool:
    """Whether the map is more than one's own id, which only the parent namespace may write."""
    return bool(ranges) or wish.owner is not None
