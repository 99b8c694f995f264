"""Copies that a person works in: what is there already is theirs, and stays as it is."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from nsmagic.wish.errors import WishError


def add_files(
    folder: Path, files: Iterable[tuple[str, bytes]], *, hint: str
) -> tuple[list[str], list[str]]:
    """Write the files that `folder` lacks; return which those were, and which differ there.

    `files` are names below it, with what is in them.  WishError with `hint` where `folder` cannot
    be one.
    """
    written, kept = [], []
    try:
        for name, data in files:
            target = folder / name
            if not os.path.lexists(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
                written.append(name)
            elif not target.is_file() or target.read_bytes() != data:
                kept.append(name)
    except OSError as error:
        why = f"cannot write to {error.filename}: {error.strerror}"
        raise WishError(why, hint=hint) from None
    return written, kept
