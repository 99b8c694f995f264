"""Follows paths as a process does whose root is another directory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MOST_LINKS = 40  # path_resolution(7)


def working_directory() -> str:
    """Return the working directory, by a path that leads there also where it has been removed."""
    try:
        return os.getcwd()  # noqa: PTH109 - as strings are what steps have
    except FileNotFoundError:
        return "/proc/self/cwd"


@dataclass(frozen=True, kw_only=True)
class Way:
    """How far a path leads: `real` on this machine, and the first part that is not there or ""."""

    real: Path
    missing: str

    @property
    def file(self) -> Path | None:
        """The regular file at the end of the way, or None."""
        return self.real if not self.missing and self.real.is_file() else None


def walk(path: str, root: str = "") -> Way:
    """Follow `path` as Linux does below `root`, path_resolution(7).

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
            return Way(real=here, missing="")  # a closed folder does not tell what it has
        elif (here / name).is_symlink() and links < MOST_LINKS:
            links += 1
            todo = [*((part, "") for part in Path(os.readlink(here / name)).parts), *todo]
        elif os.path.lexists(here / name):
            here /= name
        else:
            return Way(real=here, missing=shown or str("/" / (here / name).relative_to(top)))
    return Way(real=here, missing="")
