"""Loading and unloading the extension."""

from __future__ import annotations

import atexit
import sys
from typing import TYPE_CHECKING, Any

from nsmagic.notebook import debugging, inspecting
from nsmagic.notebook.boxmagic import BoxMagics
from nsmagic.notebook.comparing import ComparingMagics
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

    from nsmagic.linux.cgroups.group import Cgroup

_MAGICS = (
    IsolationMagics, BoxMagics, ComparingMagics, OverviewMagics, RootfsMagics, SeeingMagics,
    WatchingMagics,
)  # fmt: skip
_TRANSFORMS = (cgroup_head, empty_body)


def load(shell: InteractiveShell) -> None:
    """Register the magics and start the spawner, so that the first cell need not wait for it."""
    spawner()
    isolation = IsolationMagics(shell)
    seeing = SeeingMagics(shell, names_of_boxes, last=lambda: isolation.footprint)
    watching = WatchingMagics(shell, names_of_boxes, groups=_groups)
    atexit.register(watching.end_threads)
    overview = OverviewMagics(shell, lambda: isolation.runner)
    comparing = ComparingMagics(shell, lambda: isolation.runner)
    shell.register_magics(isolation, BoxMagics, RootfsMagics, seeing, watching, overview, comparing)
    LineCompleter(shell, seeing.boxes).install()
    inspecting.install(shell)
    debugging.install(shell)
    for transform in _TRANSFORMS:
        if transform not in shell.input_transformers_cleanup:
            shell.input_transformers_cleanup.append(transform)


def _groups() -> dict[str, Cgroup]:
    """Return the groups of this notebook's cells and boxes by name, if there ever was one."""
    if "nsmagic.run.groups" not in sys.modules:
        return {}
    from nsmagic.run.groups import groups

    return {name: live.group for name, live in list(groups().live.items())}


def unload(shell: InteractiveShell) -> None:
    """Take the magics away and end the spawner, and with it what still runs."""
    watching = shell.magics_manager.registry.get(WatchingMagics.__name__)
    if isinstance(watching, WatchingMagics):
        watching.close()
        atexit.unregister(watching.end_threads)
    for magics in _MAGICS:
        for kind, names in magics.magics.items():
            for name in names:
                shell.magics_manager.magics[kind].pop(name, None)
        shell.magics_manager.registry.pop(magics.__name__, None)
    for transform in _TRANSFORMS:
        if transform in shell.input_transformers_cleanup:
            shell.input_transformers_cleanup.remove(transform)
    LineCompleter(shell).remove()
    inspecting.remove(shell)
    debugging.remove(shell)
    loaded = _boxes_module()
    if loaded is not None:
        loaded.close_boxes()
    from nsmagic.run.groups import close_groups  # loading nsmagic does not wait for it

    close_spawner(close_groups)


def names_of_boxes() -> dict[int, str]:
    """Return the boxes of this kernel by the PID of their init."""
    loaded = _boxes_module()
    return {} if loaded is None else loaded.boxes().names()


def _boxes_module() -> Any:  # noqa: ANN401 - a module
    """Return the module, which is loaded with the first box."""
    return sys.modules.get("nsmagic.run.boxes")
