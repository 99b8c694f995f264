"""Looks up the file that a refused step named: what of it exists, and what it needs to be run."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

from nsmagic.wish.circumstances import Place

_MOST_LINKS = 40  # path_resolution(7)


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A line of proc_pid_mountinfo(5); `options` are the mount's and the file system's."""

    point: str
    options: frozenset[str]
    shared: bool


def mounts(mountinfo: Path = Path("/proc/self/mountinfo")) -> Iterator[Mount]:
    """Yield the mounts that this process sees, upper ones later; nothing without /proc."""
    with suppress(OSError):
        for line in mountinfo.read_text(errors="surrogateescape").splitlines():
            left, _, right = line.partition(" - ")
            fields = left.split(" ")
            options = {*fields[5].split(","), *right.split(" ")[2].split(",")}
            shared = any(field.startswith("shared:") for field in fields[6:])
            yield Mount(point=_plain(fields[4]), options=frozenset(options), shared=shared)


def _plain(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def look_up(path: str, root: str = "") -> Place:
    """Return what is known about `path` as a process whose root is `root` sees it."""
    if not path.startswith("/"):
        path = "/" + path if root else f"/proc/self/cwd/{path}"
    real, missing = _walk(path, root)
    above = [mount for mount in mounts() if real.is_relative_to(mount.point)]
    mount = max(enumerate(above), key=lambda pair: (len(pair[1].point), pair[0]), default=None)
    place = Place(path=path, missing=missing, closed=_closed(real, root))
    if mount is not None:
        options, shared = mount[1].options, mount[1].shared
        place = replace(place, mount=mount[1].point, options=options, shared=shared)
    if missing:
        return replace(place, near=_near(Path(missing).name, _names(real)))
    return replace(place, directory=real.is_dir())


def look_up_program(name: str, root: str = "") -> Place:
    """Return what is known about the program that execvp(3) would take for `name`."""
    folders = [""] if "/" in name else os.environ.get("PATH", os.defpath).split(":")
    places = [look_up(f"{folder}/{name}" if folder else name, root) for folder in folders]
    for place in places:
        if not place.missing:
            return _needs(place, root)
    if "/" in name:
        return places[0]
    programs = {entry for folder in folders for entry in _names(_walk(folder, root)[0])}
    return Place(path=name, missing=name, near=_near(name, sorted(programs)))


def _walk(path: str, root: str) -> tuple[Path, str]:
    """Follow `path` as Linux does below `root`: how far it goes, and the first part not there.

    Links are followed by hand, because an absolute one starts at `root` and not at our own.
    """
    top = Path(root or "/").resolve()
    parts = Path(path).parts
    # Each part with how to show it: as it was typed, unless it comes from a link.
    todo = [(part, str(Path(*parts[: at + 1]))) for at, part in enumerate(parts)]
    here, links = top, 0
    while todo:
        name, shown = todo.pop(0)
        if name == "/":
            here = top
        elif name == "..":
            here = here if here == top else here.parent
        elif not os.access(here, os.X_OK):
            return here, ""  # a closed folder does not tell what it has
        elif (here / name).is_symlink() and links < _MOST_LINKS:
            links += 1
            todo = [*((part, "") for part in Path(os.readlink(here / name)).parts), *todo]
        elif os.path.lexists(here / name):
            here /= name
        else:
            return here, shown or str("/" / (here / name).relative_to(top))
    return here, ""


def _closed(real: Path, root: str) -> str:
    """Return the first part of the way to `real` that this process may not enter or run."""
    for part in (*reversed(real.parents), real):
        if part.is_relative_to(Path(root or "/").resolve()) and not os.access(part, os.X_OK):
            return str(part)
    return ""


def _near(name: str, names: list[str]) -> tuple[str, ...]:
    return tuple(difflib.get_close_matches(name, names, n=3, cutoff=0.6))


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return []  # a closed folder has nothing to suggest


def _needs(place: Place, root: str) -> Place:
    """Add what the program at `place` needs to start: an interpreter or a loader."""
    real, _ = _walk(place.path, root)
    try:
        interpreter, foreign = interpreter_of(real)
    except OSError:
        return place
    missing = interpreter != "" and _walk(interpreter, root)[1] != ""
    return replace(
        place,
        interpreter=repr(interpreter)[1:-1],
        interpreter_missing=missing,
        script=interpreter != "" and not _is_elf(real),
        foreign=foreign,
    )


def _is_elf(file: Path) -> bool:
    with file.open("rb") as content:
        return content.read(4) == b"\x7fELF"


def interpreter_of(program: Path) -> tuple[str, str]:
    """Return the interpreter or loader that `program` names, and its machine if not ours."""
    with program.open("rb") as content:
        head = content.read(256)
        if head.startswith(b"#!"):
            # Only blanks and tabs part words there: a carriage return belongs to the name.
            word = re.split(rb"[ \t]", head[2:].partition(b"\n")[0].strip(b" \t"))[0]
            return os.fsdecode(word), ""
        if not head.startswith(b"\x7fELF"):
            return "", ""
        try:
            elf = ELFFile(content)
            machine = elf.get_machine_arch()
            loaders = [
                s.get_interp_name() for s in elf.iter_segments() if isinstance(s, InterpSegment)
            ]
        except ELFError:
            return "", "damaged"
    return "".join(loaders[:1]), "" if machine == _our_machine() else machine


def _our_machine() -> str:
    with Path("/proc/self/exe").open("rb") as content:
        return str(ELFFile(content).get_machine_arch())
