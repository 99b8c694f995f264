"""Loading and unloading `%lab`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from nsmagic.labs.magic import LabMagics
from nsmagic.labs.skips import Skips
from nsmagic.notebook.complete import SOURCES
from nsmagic.notebook.load import names_of_boxes

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load(shell: InteractiveShell) -> None:
    """Register the magic."""
    magics = LabMagics(shell, names_of_boxes)
    for source in ("lab", "exercise", "question", "guess", "running"):
        SOURCES[source] = partial(magics.offer, source)
    shell.register_magics(magics)
    shell.input_transformers_cleanup.insert(0, magics.skips)


def unload(shell: InteractiveShell) -> None:
    """Take the magic away."""
    kept = [each for each in shell.input_transformers_cleanup if not isinstance(each, Skips)]
    shell.input_transformers_cleanup[:] = kept
    shell.magics_manager.magics["line"].pop("lab", None)
    shell.magics_manager.registry.pop(LabMagics.__name__, None)
