"""Our kernels in JupyterLab: both in the launcher, and a death that the cell tells of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nsmagic.notebook.boxing import Boxing
from nsmagic.notebook.kernelspecs import isolate
from tests.support.boxed import HERE, WALLS
from tests.support.browser import has_chromium
from tests.support.groups import groups_with_limits
from tests.support.skips import needs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import OpenNotebook

pytestmark = [pytest.mark.browser, needs(has_chromium, groups_with_limits)]


@pytest.fixture(scope="module", autouse=True)
def kernelspecs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A boxed kernel that the server will find, which is started after this."""
    folder = tmp_path_factory.mktemp("jupyter")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_DATA_DIR", str(folder))
        isolate("python3", Boxing(name="py-boxed", cgroup="mem=256M", unshare=WALLS), HERE)
        yield folder


def test_a_kernel_that_runs_out_of_memory_tells_it_in_its_cell(lab: OpenNotebook) -> None:
    notebook = lab(["import os\nos.getpid()", "blob = bytearray(400 * 2**20)"], kernel="py-boxed")
    notebook.start_all()
    page = notebook.page
    page.locator(".jp-OutputArea-output", has_text="killed by its memory limit").wait_for()
    assert notebook.output(0) == "2"
    assert "KernelDied: the kernel py-boxed was killed by" in notebook.output(1)
    assert "Give it more, mem=512M" in notebook.output(1)
    # JupyterLab restarts the kernel and says so; then all goes on.
    page.locator(".jp-Dialog", has_text="Kernel Restarting").wait_for()
    notebook.screenshot("boxed-kernel-died")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    page.wait_for_function(
        "() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
    )
    page.evaluate("() => jupyterapp.commands.execute('launcher:create')")
    page.locator(".jp-LauncherCard", has_text="py-boxed: Python 3").first.wait_for()
    page.locator(".jp-LauncherCard", has_text="Container Lab (Python)").first.wait_for()
