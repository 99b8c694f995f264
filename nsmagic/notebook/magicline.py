"""Whether the cursor is in a line of one of our magics, for Tab and Shift-Tab."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nsmagic.notebook.catalogue import Entry

_LINE: Final = re.compile(
    r"(?P<before>\s*(?:[\w\s,.]+=\s*)?)(?P<sign>%%?)(?P<name>\w+)(?P<rest>(\s.*)?)"
)


@dataclass(frozen=True, kw_only=True)
class MagicLine:
    """A magic's line as far as the cursor: the magic, whether with `%%`, and what follows."""

    entry: Entry
    cell: bool
    rest: str


def find_line(shell: InteractiveShell, line: str, above: Sequence[str]) -> MagicLine | None:
    """Return what `line`, below the lines `above`, is; None if it is not a magic of ours."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    # Imported now: loading nsmagic does not wait for the first Tab.
    from nsmagic.notebook.catalogue import BY_NAME
    from nsmagic.notebook.request import READERS

    entry, cell = BY_NAME.get(found["name"]), found["sign"] == "%%"
    known = shell.magics_manager.magics["cell" if cell else "line"]
    if entry is None or found["name"] not in known:
        return None
    heads = [each for each in above if each.strip()]
    stacked = all(each.startswith("%%") and each[2:].split(None, 1)[0] in READERS for each in heads)
    if cell and (found["before"] or not stacked):
        return None
    return MagicLine(entry=entry, cell=cell, rest=found["rest"])
