"""Loading and unloading the extension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsmagic.notebook.magics import IsolationMagics
from nsmagic.notebook.transform import empty_body
from nsmagic.run.spawning import close_spawner, spawner

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load(shell: InteractiveShell) -> None:
    """Register the magics and start the spawner, so that the first cell need not wait for it."""
    spawner()
    shell.register_magics(IsolationMagics)
    if empty_body not in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.append(empty_body)


def unload(shell: InteractiveShell) -> None:
    """Take the magics away and end the spawner, and with it what still runs."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("unshare", None)
    shell.magics_manager.registry.pop(IsolationMagics.__name__, None)
    if empty_body in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.remove(empty_body)
    close_spawner()
