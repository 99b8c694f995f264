"""Loading and unloading the extension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsmagic.notebook.complete import LineCompleter
from nsmagic.notebook.magics import IsolationMagics
from nsmagic.notebook.overview import OverviewMagics
from nsmagic.notebook.rootfs import RootfsMagics
from nsmagic.notebook.seeing import SeeingMagics
from nsmagic.notebook.transform import cgroup_head, empty_body
from nsmagic.notebook.watching import WatchingMagics
from nsmagic.run.spawning import close_spawner, spawner

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_MAGICS = (IsolationMagics, OverviewMagics, RootfsMagics, SeeingMagics, WatchingMagics)
_TRANSFORMS = (cgroup_head, empty_body)


def load(shell: InteractiveShell) -> None:
    """Register the magics and start the spawner, so that the first cell need not wait for it."""
    spawner()
    isolation = IsolationMagics(shell)
    seeing = SeeingMagics(shell, last=lambda: isolation.runner.footprint)
    overview = OverviewMagics(shell, isolation.runner)
    shell.register_magics(isolation, RootfsMagics, seeing, WatchingMagics(shell), overview)
    LineCompleter(shell, seeing.boxes).install()
    for transform in _TRANSFORMS:
        if transform not in shell.input_transformers_cleanup:
            shell.input_transformers_cleanup.append(transform)


def unload(shell: InteractiveShell) -> None:
    """Take the magics away and end the spawner, and with it what still runs."""
    watching = shell.magics_manager.registry.get(WatchingMagics.__name__)
    if isinstance(watching, WatchingMagics):
        watching.close()
    for magics in _MAGICS:
        for kind, names in magics.magics.items():
            for name in names:
                shell.magics_manager.magics[kind].pop(name, None)
        shell.magics_manager.registry.pop(magics.__name__, None)
    for transform in _TRANSFORMS:
        if transform in shell.input_transformers_cleanup:
            shell.input_transformers_cleanup.remove(transform)
    LineCompleter(shell).remove()
    close_spawner()
