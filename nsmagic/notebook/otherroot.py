"""Python in another root: what must be loaded before it is entered, and what must not be after.

The forked copy brings its modules along in memory.  What it would import later, and the fonts of a
plot, are files of the old root; and a module of the new root, where there is one by accident, may
belong to another Python.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# What IPython, display and errors import late.  Some are of the front end's and may be absent.
_MODULES: Final = (
    "IPython.core.magics.execution", "IPython.core.magics.osm", "IPython.core.magics.script",
    "asyncio.subprocess", "cloudpickle",
    "encodings.idna", "encodings.latin_1", "pdb", "pexpect",
    "ptyprocess", "pwd", "socket", "subprocess",
)  # fmt: skip

_HINT: Final = (
    "It was not imported before the change of root, and modules of the new root are left alone: "
    "import it in an earlier cell, or use --fresh to run the new root's own python3."
)


def load(shell: InteractiveShell) -> None:
    """Import, in the notebook, what showing a value or an error imports late.

    Not in the forked copy: a library that starts threads there (numpy's BLAS) would make
    unshare(2) of a user namespace fail with EINVAL.
    """
    drawing = ("matplotlib_inline.backend_inline",) if "matplotlib.pyplot" in sys.modules else ()
    for name in _MODULES + drawing:
        with suppress(ImportError):
            importlib.import_module(name)
    try:
        raise OSError(2, "rehearsal")
    except OSError:
        kind, error, frames = sys.exc_info()
        traceback: Any = shell.InteractiveTB
        traceback.structured_traceback(kind, error, frames)
    formatter: Any = shell.display_formatter
    formatter.format({"a": [1.5]})


def rehearse() -> None:
    """Draw, in the forked copy while it is in the old root, so that fonts are open and cached."""
    if "matplotlib.pyplot" in sys.modules:
        _draw()


def _draw() -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(1, 1))
    axes.set(title=r"$\mathbf{b} \mathit{x}^2 \sum \frac{1}{\alpha}$", xlabel="a")
    axes.set_ylabel("b", weight="bold", style="italic")
    axes.plot([1, 2], label="b")
    axes.legend()
    figure.savefig(io.BytesIO(), format="png", bbox_inches="tight")
    plt.close(figure)


def import_nothing_more() -> None:
    """Keep the interpreter from importing any file of the new root, see _HINT."""
    files: Any = importlib.machinery.PathFinder
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not files]
    sys.path_importer_cache.clear()
    # Fonts drawn with before are open and cached by path, and need not exist in this root.
    paths = {**vars(os.path), "isfile": lambda _: True, "exists": lambda _: True}
    pretending = SimpleNamespace(**{**vars(os), "path": SimpleNamespace(**paths)})
    for name in ("matplotlib.font_manager", "matplotlib._mathtext"):
        module: Any = sys.modules.get(name)
        if module is not None:
            module.os = pretending


def own_system(shell: InteractiveShell) -> None:
    """Run `!command` without a terminal where this root has none to give."""
    if not Path("/dev/ptmx").exists():
        changed: Any = shell
        changed.system = changed.system_raw


def explain(error: BaseException | None) -> None:
    """Add to an error why it is so in this root, where that is known, and what to type."""
    if isinstance(error, ModuleNotFoundError):
        error.add_note(_HINT)
    elif isinstance(error, FileNotFoundError) and error.filename in _shells():
        error.add_note(
            f"!commands and %%bash are run by {error.filename}, which this root does not have: "
            f"%rootfs DIR {error.filename}   copies it."
        )


def _shells() -> set[str]:
    return {"/bin/sh", os.environ.get("SHELL") or "/bin/sh", "bash", "sh"}
