"""`%rootfs`: its options, and the plan of a root made of this machine's own programs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from nsmagic.wish import values
from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Argument, Option, Table
from nsmagic.wish.missing import Missing
from nsmagic.wish.ours import asks, parse
from nsmagic.wish.printing import printable
from nsmagic.wish.values import Names

_PATH = replace(values.FILE, metavar="<path>", example="/etc/passwd")

ROOTFS = Table(
    program="rootfs",
    operands="<dir> <program>...",
    permute=True,
    takes=(values.DIRECTORY, values.PROGRAM),
    summary="""\
Copy programs of this machine into <dir>, with all that they need to be started there: the loader
and the libraries that their ELF headers name, and the interpreters of scripts.  Every file gets the
path that it has here, and symbolic links stay links.  Nothing is executed to find out, as ldd(1)
does.  Files that a program opens while it runs do not stand in its headers: --with adds them.

What is there already and is the same stays; what differs is left alone and reported, unless
--force.  The copies are yours, with the mode of the original, but never setuid or setgid.""",
    example="%rootfs appdir bash ls cat\n%rootfs appdir --with /etc/passwd",
    options=(
        Option(name="with", group="Options", field="extra", kind=_PATH, repeats=True,
               argument=Argument.REQUIRED, help="copy this file or directory too"),
        Option(name="force", short="f", group="Options", field="force",
               help="replace files in <dir> that differ"),
        Option(name="dry-run", short="n", group="Options", field="dry_run",
               help="show what would be copied and copy nothing"),
        asks("help", "h", "show this help"),
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RootfsWish:
    """One line of `%rootfs`; `programs` are paths, or names to be looked up in PATH."""

    directory: str = ""
    programs: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    force: bool = False
    dry_run: bool = False
    help: bool = False


def read_rootfs(words: Sequence[str], names: Names) -> RootfsWish:
    """Read a line, its options anywhere, as cp(1) does.  Raises WishError."""
    parsed = parse(ROOTFS, words, names)
    if parsed.ours.help:
        return RootfsWish(help=True)
    directory, programs = "".join(parsed.program[:1]), parsed.program[1:]
    wish = RootfsWish(directory=directory, programs=programs, **parsed.values)
    if not parsed.program or not (wish.programs or wish.extra):
        raise WishError(
            "rootfs: which directory, and which programs?",
            hint="For example %rootfs appdir bash ls",
        )
    _refuse_directory(wish.directory)
    for word in (*wish.programs, *wish.extra):
        if not word or "\0" in word:
            raise WishError(f"rootfs: {word!r} cannot be the name of a file")
    return wish


def _refuse_directory(name: str) -> None:
    if not name:
        raise WishError("rootfs: the name of the directory is empty")
    if not name.isprintable():
        raise WishError(f"rootfs: {name!r} has characters that no name of a directory should have")
    if name.startswith("~"):
        raise WishError(f"rootfs: the ~ of {name} is not expanded here: write the whole path")


Kind = Literal["directory", "link", "file"]
State = Literal["new", "same", "differs", "blocked"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing below the new root: `path` there, and `source`, the path that it is copied from.

    `role` says what it is needed as, `target` is the text of a link; `size` (bytes) and `mode` are
    those of a file.  `state` compares it with what is there: `differs` can be replaced, `blocked`
    cannot, because a directory would have to go, or something else would have to become one.
    """

    path: str
    kind: Kind
    source: str
    role: str = ""
    target: str = ""
    size: int = 0
    mode: int = 0o755
    state: State = "new"


@dataclass(frozen=True, kw_only=True)
class RootfsPlan:
    """What a root will hold, parents before children, and what this machine itself lacks of it."""

    wish: RootfsWish
    entries: tuple[Entry, ...]
    missing: tuple[Missing, ...] = ()

    @property
    def directory(self) -> str:
        """The new root, as it was typed."""
        return self.wish.directory

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries)

    @property
    def work(self) -> tuple[Entry, ...]:
        """What is to be made or replaced."""
        return tuple(entry for entry in self.entries if entry.state != "same")

    def refuse_conflicts(self) -> None:
        """Raise WishError where something is in the way that the wish does not let us replace."""
        stuck = [entry for entry in self.entries if entry.state == "blocked"]
        if stuck:
            raise WishError(
                f"rootfs: {_names(stuck, self.directory)} cannot become what this machine has "
                f"there (a {stuck[0].kind}); nothing was copied",
                hint="Move it away, or choose another directory.",
            )
        changed = [entry for entry in self.entries if entry.state == "differs"]
        if changed and not self.wish.force:
            words = ("%rootfs", "--force", self.directory, *self.wish.programs)
            extra = (word for path in self.wish.extra for word in ("--with", path))
            raise WishError(
                f"rootfs: {_names(changed, self.directory)} differs from this machine's; nothing "
                "was copied",
                hint=f"{shlex.join((*words, *extra))}   replaces it.",
            )


def _names(entries: Sequence[Entry], directory: str) -> str:
    more = f" and {len(entries) - 1} more" if len(entries) > 1 else ""
    path = f"{directory.rstrip('/')}{entries[0].path}"
    return printable(path) + more
