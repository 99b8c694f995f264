"""Finds out what a root of this machine's programs must hold, and what of it is there already."""

from __future__ import annotations

import filecmp
import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from nsmagic.linux.libraries import CACHE
from nsmagic.linux.needs import find_program, needs
from nsmagic.linux.places import look_up, programs_like
from nsmagic.linux.rooted import MOST_LINKS, walk
from nsmagic.wish.errors import WishError
from nsmagic.wish.missing import Missing
from nsmagic.wish.printing import printable
from nsmagic.wish.rootfs import Entry, RootfsPlan, RootfsWish, State

_NO_SUID: Final = 0o777


def plan_rootfs(wish: RootfsWish) -> RootfsPlan:
    """Return the plan of the wished root; raises WishError, DamagedError and OSError."""
    top = Path.cwd() / wish.directory
    _refuse_top(top)
    placer = _Placer(top)
    missing: dict[Missing, None] = {}
    for word in wish.programs:
        path, file = _program(word, top)
        found = needs(path, file=file)
        missing |= dict.fromkeys(found.missing)
        if file is None:
            placer.place(path, "program")
        else:
            placer.note_own(path, file)
        for role, paths in (
            ("interpreter", found.interpreters), ("loader", found.loaders),
            ("library", found.libraries), ("names of libraries", [CACHE] if found.cached else []),
        ):  # fmt: skip
            for each in paths:
                placer.place(each, role)
    for word in wish.extra:
        for path in _all_below(str(Path.cwd() / word), top):
            placer.place(path, "file")
    placer.place_merged()
    return RootfsPlan(wish=wish, entries=tuple(placer.entries.values()), missing=tuple(missing))


def _refuse_top(top: Path) -> None:
    if top.exists() and not top.is_dir():
        raise WishError(f"rootfs: {top} is a file; a root is a directory")
    if top.exists() and top.samefile("/"):
        raise WishError("rootfs: this directory is the root of this machine itself")


def _program(word: str, top: Path) -> tuple[str, Path | None]:
    """Return where a program belongs, and its file if it is only there, below the new root."""
    if "/" not in word:
        found = find_program(word)
        if found is not None:
            return _known_as(found), None
    else:
        if walk(path := str(Path.cwd() / word)).file is not None:
            return path, None
        if (inside := walk(word, str(top)).file) is not None:
            return "/" + word.lstrip("/"), inside
    if word.startswith(("$", "~")):
        raise WishError(f"rootfs: {word} is not expanded here: write the whole path")
    if Path(word).is_dir():
        raise WishError(
            f"rootfs: {printable(word)} is a directory, not a program",
            hint=f"--with {shlex.quote(word)}   copies it too.",
        )
    near = look_up(str(Path.cwd() / word)).near if "/" in word else programs_like(word)
    meant = f"; there is: {', '.join(near)}" if near else ""
    where = "there is no program" if "/" in word else "no directory of PATH has a program"
    raise WishError(f"rootfs: {where} {printable(word)}{meant}")


def _merged() -> dict[str, str]:
    """Return the links of / into /usr, file-hierarchy(7), as `{"/usr/bin": "/bin"}`."""
    links = [Path("/") / name for name in sorted(os.listdir("/")) if Path("/", name).is_symlink()]
    return {
        str(link.resolve()): str(link)
        for link in links
        if link.is_dir() and link.resolve().parent == Path("/usr")
    }


def _known_as(path: str) -> str:
    """Return a program's shorter path, as /bin/ls: it leads over the link, which is kept then."""
    folder, _, name = path.rpartition("/")
    return f"{_merged().get(folder, folder)}/{name}"


def _all_below(path: str, top: Path) -> Iterator[str]:
    """Yield a file, or a directory and everything in it."""
    if not os.path.lexists(path):
        raise WishError(f"rootfs --with: there is no {printable(path)}")
    if top.resolve().is_relative_to(Path(path).resolve()):
        raise WishError(f"rootfs --with: the new root lies in {path} itself")
    yield path
    if Path(path).is_symlink() or not Path(path).is_dir():
        return
    for folder, folders, files in os.walk(path, onerror=_raise):
        yield from (str(Path(folder, name)) for name in sorted((*folders, *files)))


def _raise(error: OSError) -> None:
    raise error


class _Placer:
    """Follows paths on this machine and below the new root in step, and notes what lies on the way.

    The two part where the new root has its own layout: a directory /bin where ours is a link.
    """

    def __init__(self, top: Path) -> None:
        self.entries: dict[str, Entry] = {}
        self._top = top

    def place(self, path: str, role: str) -> None:
        """Note the file at `path`, the directories above it and every link on the way."""
        here, there, links = Path("/"), Path("/"), 0
        todo = list(Path(path).parts)
        while todo:
            name = todo.pop(0)
            if name == "/":
                here = there = Path("/")
                continue
            if name == "..":
                here, there = here.parent, there.parent
                continue
            here, there = here / name, there / name
            if here.is_symlink() and not self._is_folder(there) and not self._is_copy(here, there):
                links += 1
                if links > MOST_LINKS:
                    raise WishError(f"rootfs: {path} leads over more than {MOST_LINKS} links")
                todo = [*Path(self._note_link(here, there)).parts, *todo]
                here, there = here.parent, there.parent
            elif here.is_dir():
                here, there = here.resolve(), self._own_folder(there)
                self._note_folder(here, there)
            else:
                self._note_file(here, there, role)

    def note_own(self, path: str, file: Path) -> None:
        """Note a program that only the new root has, and that lacks something there."""
        status = file.stat()
        self._note(
            Entry(path=path, kind="file", source=str(file), role="program", size=status.st_size,
                  mode=stat.S_IMODE(status.st_mode), state="same")
        )  # fmt: skip

    def place_merged(self) -> None:
        """Note links such as /bin to directories that are there, where nothing is in the way."""
        for folder, link in _merged().items():
            if folder in self.entries and not os.path.lexists(self._below(Path(link))):
                self._note_link(Path(link), Path(link))

    def _below(self, there: Path) -> Path:
        return self._top / there.relative_to("/")

    def _is_folder(self, there: Path) -> bool:
        below = self._below(there)
        return below.is_dir() and not below.is_symlink()

    def _is_copy(self, here: Path, there: Path) -> bool:
        """Whether what is a link here was copied as a file, as cp(1) does."""
        below = self._below(there)
        plain = below.is_file() and not below.is_symlink()
        return plain and here.is_file() and filecmp.cmp(here, below, shallow=False)

    def _own_folder(self, there: Path) -> Path:
        """Follow a link of the new root that stands where we have a directory."""
        if not self._below(there).is_symlink():
            return there
        way = walk(str(there), str(self._top))
        if way.missing or way.real.is_symlink() or not way.real.is_dir():
            return there
        return "/" / way.real.relative_to(self._top.resolve())

    def _note(self, entry: Entry) -> None:
        self.entries.setdefault(entry.path, entry)

    def _note_folder(self, here: Path, there: Path) -> None:
        present = self._status(there)
        if there == Path("/"):
            return
        state: State = "new" if present is None else "blocked"
        if present is not None and stat.S_ISDIR(present.st_mode):
            state = "same"
        self._note(Entry(path=str(there), kind="directory", source=str(here), state=state))

    def _note_link(self, here: Path, there: Path) -> str:
        target = os.readlink(here)
        state = self._state(there)
        if state == "differs" and self._below(there).is_symlink():
            state = "same" if os.readlink(self._below(there)) == target else "differs"
        self._note(
            Entry(path=str(there), kind="link", source=str(here), target=target, state=state)
        )
        return target

    def _note_file(self, here: Path, there: Path, role: str) -> None:
        if not os.path.lexists(here):  # a link leads nowhere
            return
        present, status = self._status(there), here.stat()
        if not stat.S_ISREG(status.st_mode):
            raise WishError(f"rootfs: {here} is neither a file nor a directory nor a link")
        state = self._state(there)
        if present is not None and stat.S_ISREG(present.st_mode):
            runs_alike = not (present.st_mode ^ status.st_mode) & 0o111
            equal = filecmp.cmp(here, self._below(there), shallow=False)
            state = "same" if runs_alike and equal else "differs"
        self._note(
            Entry(path=str(there), kind="file", source=str(here), role=role, size=status.st_size,
                  mode=stat.S_IMODE(status.st_mode) & _NO_SUID, state=state)
        )  # fmt: skip

    def _status(self, there: Path) -> os.stat_result | None:
        with suppress(FileNotFoundError, NotADirectoryError):
            return self._below(there).lstat()
        return None

    def _state(self, there: Path) -> State:
        """Compare with something else than a directory, which cannot be replaced."""
        present = self._status(there)
        if present is None:
            return "new"
        return "blocked" if stat.S_ISDIR(present.st_mode) else "differs"
