"""Wish -> plan for what is entered, `%%nsenter`: whom, what of it, and the steps; pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace

from nsmagic.wish import steps
from nsmagic.wish.isolation import Enter
from nsmagic.wish.namespaces import NAMESPACES
from nsmagic.wish.nsenter import nsenter_words
from nsmagic.wish.steps import Step


@dataclass(frozen=True, kw_only=True)
class Target:
    """Facts about the process that is entered, read by `nsmagic.linux.targets`.

    `pid` is 0 for a box that does not exist yet, `start` when it started, `differs` the types of
    its namespaces that are not the notebook's own.  `uid` and `gid` are its ids as the notebook
    numbers them, `inner_uid` and `inner_gid` as its own user namespace does (None: not mapped).
    `cgroup` is the directory of its cgroup v2, where that is joined.  Of a box, `rooted` tells that
    it has a root of its own, and `wd` is the notebook's directory, to which a cell returns.
    """

    pid: int = 0
    start: int = 0
    box: str = ""
    differs: frozenset[str] = frozenset()
    uid: int = 0
    gid: int = 0
    inner_uid: int | None = None
    inner_gid: int | None = None
    cgroup: str | None = None
    rooted: bool = False
    wd: str | None = None


@dataclass(frozen=True, kw_only=True)
class Entering:
    """A wish to enter, with what is known of its target: None where only files are entered.

    `may_set_groups`: CAP_SETGID is effective in the notebook.
    """

    enter: Enter
    target: Target | None
    may_set_groups: bool

    @property
    def whole(self) -> bool:
        """Whether all of a box is meant, by its name alone."""
        return self.enter.whole and self.target is not None and bool(self.target.box)

    @property
    def types(self) -> tuple[str, ...]:
        """The namespaces that come from the target, in the order of the table."""
        if self.target is None:
            return ()
        named = set(self.enter.types)
        if self.enter.all or self.whole:
            named |= self.target.differs
        named -= {name for name, _ in self.enter.files}
        return tuple(row.name for row in NAMESPACES if row.name in named)

    @property
    def entered(self) -> frozenset[str]:
        """The types of all namespaces that are entered."""
        return frozenset(self.types) | {name for name, _ in self.enter.files}

    @property
    def forks(self) -> bool:
        """Whether nsenter(1) would fork."""
        return "pid" in self.entered and not self.enter.no_fork

    @property
    def words(self) -> list[str]:
        """The words after `nsenter` that ask the program for the same."""
        if self.target is None:
            return nsenter_words(self.enter, "", ())
        words = nsenter_words(self.enter, str(self.target.pid or "PID"), self.types)
        extra = ["--root"] if self._root == self._of("root") and self.enter.root is None else []
        if self._return:
            extra.append(f"--wdns={self._return}")
        # nsenter(1) insists on setgroups(2), which an ordinary user may not call.
        keeps = self.target.inner_uid is None or not self.may_set_groups
        if self.whole and self._takes_ids and keeps:
            extra.append("--preserve-credentials")
        return [*words, *extra]

    @property
    def changes_root(self) -> bool:
        """Whether the root is, or may be, another one than the notebook's."""
        target = self.target or Target()
        moved = "mnt" in self.types and target.rooted
        return bool(self._root) or moved or "mnt" in dict(self.enter.files)

    def implied(self, *, sys_admin: bool) -> Entering:
        """Return this with what an ordinary user needs to enter what is owned by a user namespace.

        Whoever made that has all capabilities once he is in it.
        """
        owner = self.target is not None and "user" in self.target.differs
        if sys_admin or not owner or not self.types or "user" in self.entered:
            return self
        types = self.enter.types | {"user"}
        return replace(self, enter=replace(self.enter, types=types, preserve_credentials=True))

    def _of(self, name: str) -> str:
        return f"/proc/{self.target.pid or 'PID'}/{name}" if self.target is not None else ""

    @property
    def _root(self) -> str:
        if self.enter.root is not None:
            return self.enter.root or self._of("root")
        return self._of("root") if self.whole and self.target and self.target.rooted else ""

    @property
    def _wd(self) -> str:
        return "" if self.enter.wd is None else self.enter.wd or self._of("cwd")

    @property
    def _return(self) -> str:
        """The notebook's directory, where all of a box that shares its root is entered."""
        asked = self.enter.wd is not None or self.enter.wdns is not None
        if not self.whole or asked or self.target is None or "mnt" not in self.types:
            return ""
        return "" if self.target.rooted else self.target.wd or ""

    def steps(self, *, held: tuple[str, ...] = ()) -> Iterator[Step]:
        """Yield the steps up to the fork; `held` are more paths to open before."""
        if self.enter.join_cgroup and self.target is not None and self.target.cgroup is not None:
            yield steps.EnterCgroup(cgroup=self.target.cgroup)
        environment = self._of("environ") if self.enter.env else ""
        for path in (*held, self._root, self._wd, environment):
            if path:
                yield steps.Hold(path=path)
        if self._takes_ids and self.may_set_groups:
            yield steps.DropGroups()
        target = self.target or Target()
        yield steps.Join(
            pid=target.pid, start=target.start,
            types=self.types, files=self.enter.files, words=shlex.join(self.words),
            other_root=("mnt" in self.types and target.rooted) or "mnt" in dict(self.enter.files),
        )  # fmt: skip
        if self._root:
            moves = bool(self._wd) or self.enter.wdns is not None or self.whole
            yield steps.JoinRoot(root=self._root, keep_wd=not moves)
        if self._wd:
            yield steps.JoinWd(wd=self._wd)
        if self.enter.wdns is not None:
            yield steps.Chdir(wd=self.enter.wdns)
        if self._return:
            yield steps.Return(wd=self._return)
        if environment:
            yield steps.TakeEnvironment(file=environment)

    @property
    def _takes_ids(self) -> bool:
        return "user" in self.entered and not self.enter.preserve_credentials

    def credentials(self) -> Iterator[Step]:
        """Yield the steps that take ids, which come after the fork."""
        uid, gid = (self._id(self.enter.setuid, "uid"), self._id(self.enter.setgid, "gid"))
        if uid is not None or gid is not None:
            # As nsenter(1): it must work here or have worked before the user namespace.
            must = self._takes_ids and not self.may_set_groups and not self.whole
            yield steps.TakeIds(uid=uid, gid=gid, groups=must)
        if self.enter.keep_caps and "user" in self.entered:
            yield steps.KeepCaps()

    def _id(self, asked: int | str | None, kind: str) -> int | None:
        """Return the id to take: the one asked for, the target's, root (nsenter(1)), or none."""
        if isinstance(asked, int):
            return asked
        if asked == "follow" or (self.whole and self._takes_ids):
            inside = "inner_" if "user" in self.entered else ""
            found: int | None = getattr(self.target, f"{inside}{kind}", None)
            return found
        return 0 if self._takes_ids else None
