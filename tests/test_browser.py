"""A plain notebook in a real JupyterLab, and the kernelspec that nsmagic installs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.browser import has_chromium
from tests.support.skips import needs

if TYPE_CHECKING:
    from tests.conftest import OpenNotebook

pytestmark = [pytest.mark.browser, needs(has_chromium)]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_run_all(lab: OpenNotebook, theme: str) -> None:
    notebook = lab(["word = 'out' + 'put'", "print(word)", "word.upper()"], theme=theme)
    notebook.run_all()
    assert [notebook.output(cell) for cell in range(3)] == ["", "output", "'OUTPUT'"]
    saved = notebook.save()
    assert [cell.execution_count for cell in saved.cells] == [1, 2, 3]
    picture = notebook.screenshot()
    assert picture.stat().st_size > 10_000


def test_a_failed_cell_stops_run_all(lab: OpenNotebook) -> None:
    # ipykernel aborts what has arrived, and the next request is sent just after this one.
    notebook = lab(["__import__('time').sleep(1); 1 / 0", "print('never' + ' seen')"])
    notebook.run_all()
    assert "ZeroDivisionError" in notebook.output(0)
    assert notebook.output(1) == ""


def test_container_lab_has_the_magics_loaded(lab: OpenNotebook) -> None:
    notebook = lab(["'nsmagic' in get_ipython().extension_manager.loaded"], kernel="nsmagic")
    notebook.run_all()
    assert notebook.output(0) == "True"
