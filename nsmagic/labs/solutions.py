"""The notebooks with the reference solutions filled in: for teachers, and for whoever gave up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from nsmagic.labs.bundled import bundled
from nsmagic.labs.catalogue import LABS, load
from nsmagic.labs.exercises import EXERCISES
from nsmagic.wish.errors import WishError

FOLDER: Final = "solutions"
_EDITIONS: Final = ("", "ko/")


def solved(notebook: Path) -> str:
    """Return the text of a notebook with the reference solution in the cell of each exercise."""
    load()
    node: dict[str, Any] = json.loads(notebook.read_text(encoding="utf-8"))
    for cell in node["cells"]:
        said = cell["metadata"].get("nsmagic", {})
        if "exercise" in said:
            cell["source"] = EXERCISES[said["exercise"]].solution.splitlines(keepends=True)
    return json.dumps(node, ensure_ascii=False, indent=1) + "\n"


def write_all(folder: Path) -> tuple[list[str], list[str]]:
    """Write all of them, in both languages; return what was written, and what differs and stays.

    Raises WishError where `folder` cannot be one.
    """
    written, kept = [], []
    source = bundled()
    try:
        for name in [f"{edition}{lab.name}.ipynb" for edition in _EDITIONS for lab in LABS]:
            text, target = solved(source / name), folder / name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
                written.append(name)
            elif target.read_text(encoding="utf-8") != text:
                kept.append(name)
    except OSError as error:
        raise WishError(
            f"cannot write to {error.filename}: {error.strerror}",
            hint="Name a directory of yours: %lab solution --all DIR",
        ) from None
    return written, kept
