"""Take the pictures of the documentation in a real JupyterLab: `python -m docs.make_pictures`.

Run it in the repository's root with the environment of `make test` (Chromium, JupyterLab).
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.browser import UP, open_notebook, serve

if TYPE_CHECKING:
    from playwright.sync_api import FloatRect, Page

    from tests.support.browser import Lab

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT, SHARPNESS = 960, 1200, 2  # CSS pixels, and picture pixels for each
MARGIN = 8  # CSS pixels around the cells
PRIVATE = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "XDG_STATE_HOME")

CELL = [
    "x = 42",
    """%%unshare --pid --net --mount-proc
import os
print(os.getpid(), x)
!ps -A
!ip -br link""",
    """%%unshare -pf --mount-proc --explain /bin/bash
echo "I am process $$\"""",
    "",  # the selected cell, whose marks and buttons are not in the picture
]


def main() -> None:
    """Make every picture anew."""
    with tempfile.TemporaryDirectory() as folder:
        for name in PRIVATE:  # nothing of the person's own Jupyter shows, nothing is left in it
            os.environ[name] = f"{folder}/{name}"
        root = Path(folder) / "notebooks"
        root.mkdir()
        with (
            serve(root) as server,
            open_notebook(server, CELL, name="cell", kernel="nsmagic") as lab,
        ):
            take(sharp_lab(lab), HERE / "cell.png")


def take(lab: Lab, path: Path) -> None:
    """Run the notebook and take a picture of its cells, without JupyterLab's frame."""
    lab.page.evaluate("() => jupyterapp.commands.execute('application:toggle-left-area')")
    lab.run_all()
    lab.page.evaluate("() => document.activeElement.blur()")
    lab.page.screenshot(path=path, clip=_around_cells(lab.page))


def sharp_lab(lab: Lab) -> Lab:
    """Return the same notebook on a screen with small pixels."""
    return replace(lab, page=_sharp(lab.page))


def _sharp(page: Page) -> Page:
    """Open the same notebook, with the same kernel, on a screen with small pixels."""
    assert page.context.browser is not None
    sharp = page.context.browser.new_page(
        viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SHARPNESS
    )
    sharp.goto(page.url)
    sharp.wait_for_function(
        "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel"
        "?.status === 'idle'",
        timeout=UP * 1000,
    )
    return sharp


def _around_cells(page: Page) -> FloatRect:
    """Return where the cells are, all but the last, without their collapsers on the left."""
    first = page.locator(".jp-InputPrompt").first.bounding_box()
    last = page.locator(".jp-Cell-outputWrapper").nth(-2).bounding_box()
    assert first is not None
    assert last is not None
    left, top = first["x"], first["y"] - MARGIN
    right, bottom = last["x"] + last["width"] + MARGIN, last["y"] + last["height"]
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


if __name__ == "__main__":
    main()
