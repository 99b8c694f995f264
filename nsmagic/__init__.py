"""nsmagic: Linux containers, one notebook cell at a time.

The words, each with one meaning:

*isolation*     the wish: frozen data that says which namespaces, maps, mounts and limits
*step*          one thing to do to the system; it describes itself, does itself, names itself
*plan*          the list of steps that a wish compiles to
*sandbox*       one running realisation of a plan
*box*           a named sandbox that is kept alive
*cell process*  what runs the cell
*spawner*       the small helper program that makes processes
*ledger*        what exists outside our processes and must be removed
*kernel*        Jupyter's; the operating system is *Linux*
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nsmagic.notebook.plotting import plot
    from nsmagic.run.api import run
    from nsmagic.run.boxes import Box
    from nsmagic.run.cgroup import Cgroup
    from nsmagic.wish.isolation import Isolation

__all__ = [
    "Box", "Cgroup", "Isolation", "load_ipython_extension", "plot", "run",
    "unload_ipython_extension",
]  # fmt: skip
__version__ = "0.1.0.dev0"

# The Python API by where it is: imported when it is asked for, because loading must be quick.
_PUBLIC = {
    "Box": "nsmagic.run.boxes",
    "Cgroup": "nsmagic.run.cgroup",
    "Isolation": "nsmagic.wish.isolation",
    "plot": "nsmagic.notebook.plotting",
}


def __getattr__(name: str) -> object:
    """Import a public name, PEP 562; `run` is the folder itself, which can be called."""
    if name == "run":
        return import_module("nsmagic.run")
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics: `%load_ext nsmagic`; UsageError where this is not Linux."""
    if sys.platform != "linux":
        from IPython.core.error import UsageError

        raise UsageError(
            f"nsmagic needs Linux, and this is {sys.platform}: run Jupyter in WSL 2, a virtual "
            "machine or a container"
        )
    from nsmagic.labs.load import load as load_labs
    from nsmagic.notebook.load import load

    load(shell)
    load_labs(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Undo what loading did: `%unload_ext nsmagic`."""
    from nsmagic.labs.load import unload as unload_labs
    from nsmagic.notebook.load import unload

    unload_labs(shell)
    unload(shell)
