"""Take the pictures of the live graph and map from a real run: `python -m docs.make_live_pictures`.

Run it as docs.make_pictures, on a machine with little else to do: the animation is what one sees.
"""

from __future__ import annotations

import io
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from docs.make_pictures import HERE, PRIVATE, sharp_lab
from tests.support.browser import open_notebook, serve

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from tests.support.browser import Lab

CLIMB = """%%cgroup mem=64M cpu=50% --plot
%%unshare --pid --mount-proc
held = []
while True:
    held.append(bytearray(2**20))
    for _ in range(1_300_000):
        pass"""
BOXES = """%unshare --name web --pid --net --uts --mount-proc
%unshare --name user --user --map-root-user --ipc
%nsmap"""
FRAME = 0.2  # s; an animation of five pictures a second is small and still moves
TALL = 1500  # CSS pixels: no picture is cut off
WIDTH, COLOURS = 760, 64


def main() -> None:
    """Make docs/graph.gif, docs/graph.png and docs/nsmap.png anew."""
    with tempfile.TemporaryDirectory() as folder:
        for name in PRIVATE:
            os.environ[name] = f"{folder}/{name}"
        root = Path(folder) / "notebooks"
        root.mkdir()
        with serve(root) as server:
            with open_notebook(server, [CLIMB, ""], name="graph", kernel="nsmagic") as lab:
                take_graph(sharp_lab(lab))
            with open_notebook(server, [BOXES, ""], name="map", kernel="nsmagic") as lab:
                take_map(sharp_lab(lab))


def take_graph(lab: Lab) -> None:
    """Film the cell until Linux has killed it; the last picture is the still one."""
    cell = prepare(lab)
    lab.start_all()
    lab.page.locator(".nsm-graph canvas").first.wait_for()
    frames = []
    gone = lab.page.get_by_text("■ gone")
    due = time.monotonic()
    while not gone.count():
        frames.append(picture(cell))
        due += FRAME
        lab.page.wait_for_timeout(max(0, due - time.monotonic()) * 1000)
    lab.page.locator(".jp-OutputArea-output", has_text="memory limit").wait_for()
    lab.page.wait_for_timeout(600)
    last = picture(cell)
    last.save(HERE / "graph.png", optimize=True)
    animate([*frames, last], HERE / "graph.gif")


def take_map(lab: Lab) -> None:
    """Take the map of two boxes."""
    cell = prepare(lab)
    lab.run_all()
    lab.page.evaluate("() => document.activeElement.blur()")
    lab.page.locator(".nsm-map-filter").fill("nsmagic")  # on a busy machine too: us and the boxes
    lab.page.locator(".nsm-map-chip:not(.nsm-own)[aria-label^='net']").first.click()
    lab.page.mouse.move(0, 0)
    lab.page.wait_for_timeout(600)
    picture(cell).save(HERE / "nsmap.png", optimize=True)


def prepare(lab: Lab) -> Locator:
    """Hide what is JupyterLab's; return the first cell with its output."""
    lab.page.set_viewport_size({"width": 960, "height": TALL})
    lab.page.evaluate("() => jupyterapp.commands.execute('application:toggle-left-area')")
    return lab.page.locator(".jp-Notebook .jp-Cell").first


def picture(cell: Locator) -> Image.Image:
    """Return what a cell looks like now."""
    return Image.open(io.BytesIO(cell.screenshot())).convert("RGB")


def animate(frames: list[Image.Image], path: Path) -> None:
    """Save an animation that rests on its last picture and begins anew."""
    ratio = WIDTH / frames[-1].width
    size = (WIDTH, round(frames[-1].height * ratio))
    palette = frames[-1].resize(size).quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE)
    small = []
    for frame in frames:
        whole = Image.new("RGB", frames[-1].size, "white")
        whole.paste(frame)
        resized = whole.resize(size, Image.Resampling.LANCZOS)
        small.append(resized.quantize(palette=palette, dither=Image.Dither.NONE))
    times = [round(FRAME * 1000)] * (len(small) - 1) + [4000]
    small[0].save(path, save_all=True, append_images=small[1:], duration=times, loop=0,
                  optimize=True, disposal=1)  # fmt: skip


if __name__ == "__main__":
    main()
