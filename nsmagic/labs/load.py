"""Loading and unloading `%lab`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsmagic.labs.magic import LabMagics

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load(shell: InteractiveShell) -> None:
    """Register the magic."""
    shell.register_magics(LabMagics(shell))


def unload(shell: InteractiveShell) -> None:
    """Take the magic away."""
    shell.magics_manager.magics["line"].pop("lab", None)
    shell.magics_manager.registry.pop(LabMagics.__name__, None)
