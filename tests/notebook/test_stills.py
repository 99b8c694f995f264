"""What stays of the widgets when nobody watched: run by nbclient, shown by nbconvert."""

from __future__ import annotations

import base64

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

pytestmark = pytest.mark.linux
CELLS = [
    "%load_ext nsmagic",
    "%%cgroup pids=30 --plot=pids,psi /bin/sh\nsleep 0.7; echo over",
    "%nsmap",
]


def test_pictures_stay_and_are_shown_without_kernel_script_or_network() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    NotebookClient(notebook, timeout=120).execute()
    data = [out.data for cell in notebook.cells for out in cell.outputs if "data" in out]
    (graph,) = [each for each in data if "image/png" in each]
    assert base64.b64decode(graph["image/png"]).startswith(b"\x89PNG")
    assert "Processes: pids.max" in graph["text/plain"]
    (drawn,) = [each for each in data if "image/svg+xml" in each]
    assert "this notebook" in drawn["text/plain"]

    page, _ = HTMLExporter().from_notebook_node(notebook)  # type: ignore[no-untyped-call]
    assert f"data:image/png;base64,{graph['image/png'][:40]}" in page
    assert page.count("nsm-still-") + page.count("data:image/svg+xml") >= 2
