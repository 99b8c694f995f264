"""Where the notebooks of the labs are, from which learners get their copies."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Final

import nsmagic
from nsmagic.wish.errors import NsmagicError

_INSTALLED: Final = "share/nsmagic/notebooks/"


def bundled() -> Path:
    """Return the folder of the notebooks: of the source tree, else the one that pip installed."""
    tree = Path(nsmagic.__file__).parents[1]
    if (tree / "pyproject.toml").exists() and (tree / "notebooks").is_dir():
        return tree / "notebooks"
    for file in importlib.metadata.files("nsmagic") or ():
        before, installed, _ = file.as_posix().partition(_INSTALLED)
        if installed:
            return Path(str(file.locate())).resolve().parents[_depth(file.as_posix(), before)]
    raise NsmagicError(
        "the notebooks are not installed: this installation has no share/nsmagic/notebooks",
        hint="In the source of nsmagic: pip install --force-reinstall .",
    )


def _depth(path: str, before: str) -> int:
    """Return how many folders of the notebooks lie above the file, less one."""
    return path.removeprefix(before + _INSTALLED).count("/")
