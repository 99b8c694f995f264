"""The labs as a learner meets them: JupyterLab in a real Chromium, Run All, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

from tests.support.browser import has_chromium
from tests.support.skips import needs

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from tests.conftest import OpenNotebook
    from tests.support.browser import Lab

pytestmark = [pytest.mark.browser, needs(has_chromium)]

NAMESPACES = Path(__file__).resolve().parents[1] / "notebooks" / "03-namespaces.ipynb"
TALLEST = 16_000  # CSS pixels; Chromium's textures end at 16384


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_run_all_of_the_namespaces_lab(lab: OpenNotebook, theme: str) -> None:
    node: NotebookNode = nbformat.read(NAMESPACES, as_version=4)
    notebook = lab(node, theme=theme)
    assert notebook.page.locator(".jp-Dialog").count() == 0
    notebook.run_all()
    # JupyterLab calls it done at the cell that fails on purpose; the cells below still run.
    notebook.page.locator(".jp-OutputArea-output", has_text="playground /tmp").wait_for(
        timeout=90_000
    )
    assert notebook.page.locator(".jp-Dialog").count() == 0
    saved = notebook.save()
    shown = {cell.id: notebook.output(number) for number, cell in enumerate(saved.cells)}

    code = [cell for cell in saved.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    failed = {cell.id for cell in code if any(o.output_type == "error" for o in cell.outputs)}
    assert failed == {"no-fork"}
    assert shown["kinds"].startswith("8 types:")
    assert "10240" in shown["tmpfs-inside"]
    assert "Cannot allocate memory" in shown["no-fork"]
    assert shown["x-outside"] == "outside: 41"
    assert notebook.page.locator("td", has_text="CLONE_NEWPID").count() == 1
    whole_picture(notebook)


def whole_picture(notebook: Lab) -> None:
    """Make the window as high as the notebook, so that the fixture's picture shows all of it."""
    panel = notebook.page.locator(".jp-NotebookPanel .jp-WindowedPanel-outer")
    hidden = panel.evaluate("it => it.scrollHeight - it.clientHeight")
    window = notebook.page.viewport_size
    assert window is not None
    window["height"] = min(window["height"] + hidden, TALLEST)
    notebook.page.set_viewport_size(window)
    panel.evaluate("it => { it.scrollTop = 0; }")
