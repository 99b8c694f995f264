"""The direction of imports: a folder of nsmagic imports only folders above it in `LAYERS`."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).resolve().parents[1] / "nsmagic"
LAYERS = ("wish", "linux", "run", "doctor", "widgets", "notebook", "labs", "cli")
JUPYTER = {"IPython", "ipykernel", "jupyter", "jupyter_client", "jupyter_core", "jupyter_server"}
JUPYTER |= {"jupyterlab", "ipywidgets", "anywidget", "comm", "traitlets", "zmq"}
KNOWS_JUPYTER = LAYERS[LAYERS.index("widgets") :]
CTYPES = ("linux/syscalls.py", "linux/rights.py")


def imports(source: str) -> Iterator[str]:
    """Every module a source imports, anywhere, except for type checkers only."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(ast.parse(source)):  # breadth first: an `if` comes before its body
        if node in skipped or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            body = node.body if isinstance(node, ast.If) else ast.iter_child_nodes(node)
            skipped.update(body)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def breaches(path: str, source: str) -> list[str]:
    """What a file of the package may not import, `path` relative to the package."""
    layer = path.partition("/")[0].removesuffix(".py")
    if layer == "__init__":  # lazy public names and load_ipython_extension: may reach everything
        return []
    found = []
    for module in imports(source):
        first, _, rest = module.partition(".")
        target = rest.partition(".")[0]
        if first == "nsmagic" and target in LAYERS and LAYERS.index(target) > LAYERS.index(layer):
            found.append(f"{path} imports {module}: {layer} comes before {target}")
        if first in JUPYTER and layer not in KNOWS_JUPYTER:
            found.append(f"{path} imports {module}: only {KNOWS_JUPYTER[0]} and later know Jupyter")
        if first == "ctypes" and path not in CTYPES:
            found.append(f"{path} imports ctypes: system calls live in {' and '.join(CTYPES)}")
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_imports_point_upwards(path: Path) -> None:
    assert breaches(path.relative_to(PACKAGE).as_posix(), path.read_text()) == []


def test_every_folder_is_a_layer() -> None:
    folders = {path.parent.relative_to(PACKAGE).parts[:1] for path in PACKAGE.rglob("*.py")}
    assert {part for parts in folders for part in parts} <= set(LAYERS)


@pytest.mark.parametrize(
    ("path", "source", "count"),
    [
        ("wish/plan.py", "from nsmagic.linux import mounts", 1),
        ("wish/plan.py", "from nsmagic import run", 1),
        ("wish/plan.py", "import nsmagic.run.fork as f", 1),
        ("wish/plan.py", "from nsmagic.wish import limits", 0),
        ("run/fork.py", "def f():\n    import ipykernel.kernelbase", 1),
        ("run/fork.py", "if TYPE_CHECKING:\n    import ipykernel", 0),
        ("run/fork.py", "if TYPE_CHECKING:\n    import a\nelse:\n    import ipykernel", 1),
        ("notebook/child.py", "from IPython.core import magic", 0),
        ("linux/syscalls.py", "import ctypes", 0),
        ("linux/mounts.py", "from ctypes import CDLL", 1),
        ("cli.py", "from nsmagic.labs import guard", 0),
        ("labs/guard.py", "from nsmagic.cli import main", 1),
    ],
)
def test_breaches_are_seen(path: str, source: str, count: int) -> None:
    assert len(breaches(path, source)) == count
