"""The notebooks with the reference solutions filled in: for teachers, and for whoever gave up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from nsmagic.labs.bundled import bundled
from nsmagic.labs.catalogue import LABS, load
from nsmagic.labs.copying import add_files
from nsmagic.labs.exercises import EXERCISES

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
    names = [f"{edition}{lab.name}.ipynb" for edition in _EDITIONS for lab in LABS]
    files = ((name, solved(bundled() / name).encode()) for name in names)
    return add_files(folder, files, hint="Name a directory of yours: %lab solution --all DIR")
