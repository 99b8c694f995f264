"""Where each item of the notes is covered, from what notebooks and exercises say themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from nsmagic.labs.catalogue import LABS, Lab, load
from nsmagic.labs.exercises import EXERCISES, QUESTIONS
from nsmagic.labs.needs import NEEDS
from tests.labs.items import ITEMS, NOT_YET

_PREDICT: Final = "%lab predict "


def places(notebooks: Path) -> dict[str, dict[str, list[str]]]:
    """Return by item, then by lab, the cells that cover it: ids, `exercise NAME`, `guess NAME`.

    Raises OSError where a notebook is missing and ValueError for an item that there is not.
    """
    load()
    found: dict[str, dict[str, list[str]]] = {item: {} for item in ITEMS}
    for lab in LABS:
        for place, items in _cells(notebooks / f"{lab.name}.ipynb"):
            for item in items:
                if item not in ITEMS:
                    raise ValueError(f"{lab.name}, {place}: the notes have no item {item}")
                cells = found[item].setdefault(lab.name, [])
                if place not in cells:
                    cells.append(place)
    return found


def _cells(notebook: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        said: Mapping[str, Any] = cell["metadata"].get("nsmagic", {})
        source = "".join(cell["source"])
        if "exercise" in said:
            made = EXERCISES[said["exercise"]]
            yield f"exercise `{made.id}`", made.covers
        elif "covers" in said:
            yield f"`{cell['id']}`", tuple(said["covers"])
        elif source.startswith(_PREDICT):
            asked = QUESTIONS[source.removeprefix(_PREDICT).split()[0]]
            yield f"guess `{asked.id}`", asked.covers


def coverage_table(notebooks: Path) -> str:
    """Return the table of items for notebooks/README.md, a line for each."""
    lines = ["| item | about | covered by |", "|---|---|---|"]
    for item, labs in places(notebooks).items():
        where = "; ".join(
            f"[{lab[:2]}]({lab}.ipynb) {', '.join(cells)}" for lab, cells in labs.items()
        )
        missing = f"**not yet:** {NOT_YET.get(item, '')}"
        lines.append(f"| {item} | {ITEMS[item]} | {where or missing} |")
    return "\n".join(lines) + "\n"


def labs_table() -> str:
    """Return the table of labs for notebooks/README.md."""
    lines = ["| notebook | what it teaches | minutes | needs |", "|---|---|---|---|"]
    for lab in LABS:
        steps = "; ".join(step.title for step in lab.steps)
        link, teaches = f"[{lab.name}]({lab.name}.ipynb)", f"**{lab.title}**: {steps}"
        lines.append(f"| {link} | {teaches} | {lab.minutes} | {_needs(lab)} |")
    return "\n".join(lines) + "\n"


def _needs(lab: Lab) -> str:
    names = dict.fromkeys(need for step in lab.steps for need in step.needs)
    return ", ".join(NEEDS[name].what for name in names) or "nothing"
