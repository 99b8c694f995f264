"""Lines of uid_map and gid_map: what `auto`, `subids`, `all` mean, how one id is fitted in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from nsmagic.wish.errors import WishError
from nsmagic.wish.isolation import IdMap, SubIds


@dataclass(frozen=True, kw_only=True)
class Range:
    """`count` ids from `start` on, as a line of subuid(5) grants them."""

    start: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Ids:
    """One kind of id (`uid` or `gid`): our own, the ranges granted, those our namespace knows."""

    kind: str
    own: int
    granted: tuple[Range, ...] = ()
    known: tuple[Range, ...] = ()


def id_lines(wished: tuple[IdMap | SubIds, ...], ids: Ids, inner: int | None) -> tuple[IdMap, ...]:
    """Return the lines for `--map-users` or `--map-groups`, our own id being seen as `inner`.

    `auto` lays the first granted range at 0, `subids` maps it to itself, `all` maps to itself every
    id that our own user namespace knows.  Ids that `inner` pushes aside move up by one, as in
    unshare(1).  Raises WishError where no range is granted.
    """
    lines = [] if inner is None else [IdMap(inner=inner, outer=ids.own)]
    for wish in wished:
        for line in _ranges(wish, ids):
            is_auto = isinstance(wish, SubIds) and wish.which == "auto"
            lines += [line] if inner is None else _around(line, ids.own, inner, whole=is_auto)
    return tuple(lines)


def _ranges(wish: IdMap | SubIds, ids: Ids) -> list[IdMap]:
    if isinstance(wish, IdMap):
        return [wish]
    if wish.which == "all":
        return [IdMap(inner=r.start, outer=r.start, count=r.count) for r in ids.known]
    if not ids.granted:
        file, option = f"/etc/sub{ids.kind}", "users" if ids.kind == "uid" else "groups"
        raise WishError(
            f"--map-{option}={wish.which}: you have no line in {file}",
            hint=f'As root: echo "$(id -un):100000:65536" >> {file}',
        )
    first = ids.granted[0]
    inner = 0 if wish.which == "auto" else first.start
    return [IdMap(inner=inner, outer=first.start, count=first.count)]


def _around(line: IdMap, outer: int, inner: int, *, whole: bool) -> Iterator[IdMap]:
    """Cut `line` so that neither `inner` nor `outer` is in it: at most three lines come out.

    `whole` keeps the number of ids (an automatic range has room above), else the last one goes.
    """
    offsets = inner - line.inner, outer - line.outer
    # add_single_map_range() in unshare.c counts the id right above the range as one of it.
    touched = any(0 <= offset <= line.count for offset in offsets)
    count = line.count if whole or not touched else line.count - 1
    bounds = sorted({0, count, *(offset for offset in offsets if 0 < offset < count)})
    for start, end in pairwise(bounds):
        yield IdMap(
            inner=line.inner + start + (line.inner <= inner <= line.inner + start),
            outer=line.outer + start + (line.outer <= outer <= line.outer + start),
            count=end - start,
        )
