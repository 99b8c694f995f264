"""What a person wished for, as frozen data: what magics, API and command line share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

from nsmagic.wish.errors import WishError

if TYPE_CHECKING:
    from nsmagic.wish.limits import Limit


@dataclass(frozen=True, kw_only=True)
class IdMap:
    """A line of uid_map, user_namespaces(7): `count` ids from `inner` on are `outer` and on."""

    inner: int
    outer: int
    count: int = 1

    def __str__(self) -> str:
        return f"{self.inner} {self.outer} {self.count}"


@dataclass(frozen=True, kw_only=True)
class SubIds:
    """Ids to take from /etc/subuid or /etc/subgid: `auto`, `subids` or `all`, as in unshare(1)."""

    which: str


@dataclass(frozen=True, kw_only=True)
class Enter:
    """The options of nsenter(1) (util-linux 2.43-devel), each under its own long name.

    `target` is a PID or the name of a box; `types` holds /proc names of namespaces to take from it,
    `files` pairs such a name with a namespace file.  `root` and `wd` are "" for the target's own;
    `setuid` and `setgid` may be `follow`.
    """

    target: str | None = None
    all: bool = False
    types: frozenset[str] = frozenset()
    files: tuple[tuple[str, str], ...] = ()
    root: str | None = None
    wd: str | None = None
    wdns: str | None = None
    env: bool = False
    no_fork: bool = False
    join_cgroup: bool = False
    setuid: int | str | None = None
    setgid: int | str | None = None
    preserve_credentials: bool = False
    keep_caps: bool = False

    @property
    def into_box(self) -> bool:
        """Whether the target is a box."""
        return self.target is not None and not self.target.isdecimal()

    @property
    def whole(self) -> bool:
        """Whether no namespace is named: all of a box is meant."""
        return not (self.all or self.types or self.files)


@dataclass(frozen=True, kw_only=True)
class Isolation:
    """The options of unshare(1) (util-linux 2.41) and chroot(1) by their long names, and limits.

    `enter` holds those of nsenter(1): what is joined before anything is made new.

    `namespaces` holds /proc names (`mnt`, not `mount`); `persist` pairs such a name with the file
    that keeps the namespace alive, sorted.  `map_user` and `map_group`, where given, go before what
    `map_root_user` and `map_current_user` (never both) say of the same id.  Numbers are resolved
    ids and whole seconds.  `None`, empty and false mean "not asked for".  `cgroup` asks for a
    group of the cell's own, with `limits` or without.  `chroot` says that `root` is chroot(1)'s;
    its `userspec` and `groups` are texts, because names are looked up in the root.  `profile` names
    a row of `nsmagic.wish.profiles`.
    """

    enter: Enter | None = None
    namespaces: frozenset[str] = frozenset()
    persist: tuple[tuple[str, str], ...] = ()
    fork: bool = False
    kill_child: str | None = None
    forward_signals: bool = False
    mount_proc: str | None = None
    mount_binfmt: str | None = None
    load_interp: str | None = None
    propagation: str | None = None
    root: str | None = None
    chroot: bool = False
    skip_chdir: bool = False
    userspec: str | None = None
    groups: str | None = None
    wd: str | None = None
    map_user: int | None = None
    map_group: int | None = None
    map_root_user: bool = False
    map_current_user: bool = False
    map_users: tuple[IdMap | SubIds, ...] = ()
    map_groups: tuple[IdMap | SubIds, ...] = ()
    owner: tuple[int, int] | None = None
    setgroups: str | None = None
    setuid: int | None = None
    setgid: int | None = None
    keep_caps: bool = False
    monotonic: int | None = None
    boottime: int | None = None
    clear_env: bool = False
    whitelist_env: tuple[str, ...] = ()
    profile: str | None = None
    cgroup: bool = False
    limits: tuple[Limit, ...] = ()

    def united_with(self, other: Self) -> Self:
        """Return both wishes as one (stacked magics); raise WishError where they contradict."""
        if self.chroot != other.chroot and self.root is not None and other.root is not None:
            raise WishError(
                f"--root and %%chroot both change the root: {self.root} and {other.root}",
                hint="Leave one of them out.",
            )
        # Imported now: the spawner, which knows this class by its steps, needs no limits.
        from nsmagic.wish.limits import unite_limits

        merged: dict[str, object] = {"limits": unite_limits(self.limits, other.limits)}
        for field in fields(self):
            mine, theirs, default = (
                getattr(self, field.name), getattr(other, field.name), field.default,
            )  # fmt: skip
            if field.name in merged:
                continue
            merged[field.name] = _unite(field.name, mine, theirs, default)
        return type(self)(**merged)  # type: ignore[arg-type]


def _unite(name: str, mine: object, theirs: object, default: object) -> object:
    if mine == theirs or theirs == default:
        return mine
    if mine == default:
        return theirs
    if isinstance(mine, frozenset) and isinstance(theirs, frozenset):
        return mine | theirs
    if name == "persist" and isinstance(mine, tuple) and isinstance(theirs, tuple):
        clash = {key for key, _ in mine} & {key for key, _ in theirs}
        if not clash:
            return tuple(sorted(mine + theirs))
    if name == "enter":
        raise WishError("nsenter stands twice in this stack: a cell can be in one place only")
    option = "--" + name.replace("_", "-")
    raise WishError(f"{option} is given twice with different values: {mine} and {theirs}")
