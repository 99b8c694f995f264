"""--explain as a person meets it: in JupyterLab, and in the notebook that was saved."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import has_chromium
from tests.support.skips import needs

if TYPE_CHECKING:
    from tests.conftest import OpenNotebook
    from tests.support.kernel_driver import KernelDriver

LOAD = "%load_ext nsmagic"
CELL = "%%unshare --user --map-root-user --pid --mount-proc --explain\nprint('inside')"
REFUSED = "%%unshare --user --map-root-user --root /nowhere --wd /tmp --explain\npass"
SELECT = """() => {
  const range = document.createRange();
  range.selectNode(document.querySelector('.nsmagic-table table'));
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  return getSelection().toString();
}"""


@pytest.mark.linux
def test_the_table_comes_before_the_output_and_is_updated(kernel: KernelDriver) -> None:
    run = kernel.run(CELL, raise_error=True)
    shown = {"display_data", "update_display_data", "stream"}
    kinds = [kind for kind, _ in groupby(m.kind for m in run.own if m.kind in shown)]
    assert kinds == ["display_data", "update_display_data", "stream", "update_display_data"]
    assert "running" in run.updates[0]["data"]["text/plain"]
    assert "status 0" in run.updates[-1]["data"]["text/plain"]


@pytest.mark.linux
def test_a_refusal_stands_in_its_row(kernel: KernelDriver) -> None:
    run = kernel.run(REFUSED)
    assert run.status == "error"
    final = run.updates[-1]["data"]["text/html"]
    assert '<td class="bad uncopied"' in final
    assert "ENOENT\nNo such file or directory" in final
    assert final.count("not reached") == 2


@pytest.mark.linux
def test_a_dry_run_runs_nothing(kernel: KernelDriver) -> None:
    run = kernel.run("%%unshare --user --dry-run\nprint('inside')", raise_error=True)
    assert run.stdout == ""
    assert run.updates == []
    assert "unshare(CLONE_NEWUSER)" in run.displays[0]["text/plain"]


@pytest.mark.browser
@needs(has_chromium)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_in_jupyterlab(lab: OpenNotebook, theme: str) -> None:
    notebook = lab([LOAD, CELL, REFUSED], theme=theme)
    notebook.run_all()
    copied = notebook.page.evaluate(SELECT)
    lines = [line.strip() for line in copied.splitlines() if line.strip()]
    first = "unshare --mount --pid --user --map-root-user --fork --propagation=unchanged bash"
    assert lines[0] == first
    assert lines[-1].startswith("python3")
    assert len(lines) == 8
    assert not [line for line in lines if "CLONE_" in line]
    saved = notebook.save().cells[1].outputs[0].data["text/plain"]
    assert "status 0" in saved
    assert "…" not in saved
