"""Loading and unloading `%lab`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nsmagic.labs.magic import LabMagics
from nsmagic.labs.skips import Skips
from nsmagic.notebook.complete import SOURCES
from nsmagic.notebook.load import names_of_boxes

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load(shell: InteractiveShell) -> None:
    """Register the magic."""
    SOURCES["lab"] = _names
    magics = LabMagics(shell, names_of_boxes)
    shell.register_magics(magics)
    shell.input_transformers_cleanup.insert(0, magics.skips)


def unload(shell: InteractiveShell) -> None:
    """Take the magic away."""
    kept = [each for each in shell.input_transformers_cleanup if not isinstance(each, Skips)]
    shell.input_transformers_cleanup[:] = kept
    shell.magics_manager.magics["line"].pop("lab", None)
    shell.magics_manager.registry.pop(LabMagics.__name__, None)


def _names(start: str) -> Iterator[tuple[str, str]]:
    """Yield what may follow a verb: names of labs, and ids of what the labs begun so far ask."""
    from nsmagic.labs.catalogue import LABS
    from nsmagic.labs.exercises import EXERCISES, QUESTIONS

    asked = {each.id: each.title for each in EXERCISES.values()}
    asked |= {each.id: each.text for each in QUESTIONS.values()}
    for name, what in ({lab.name: lab.title for lab in LABS} | asked).items():
        if name.startswith(start):
            yield name, what
