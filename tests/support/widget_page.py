"""What tests of the widgets in a browser look at: complaints, files of the cgroup, stops of Tab."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Locator, Page

    from tests.support.browser import Lab

MIB = 2**20
# How many messages the graph has drawn more after a second.
DRAWN_IN_A_SECOND = """() => new Promise((done) => {
    const graph = document.querySelector('.nsm-graph'), before = +graph.dataset.drawn;
    setTimeout(() => done(+graph.dataset.drawn - before), 1000);
})"""
# Of Notebook 7.6 itself, when a page is loaded: no widget is needed to see it.
NOT_OURS = re.compile(r"reading 'schema'|Command 'filebrowser:open-path' not registered")


class Complaints:
    """What the browser and the kernel complain about from now on."""

    def __init__(self, notebook: Lab) -> None:
        self._log = notebook.server.root.parent / "server.log"
        self._from = self._log.stat().st_size
        self._heard: list[str] = []
        notebook.page.on("console", self._take)
        notebook.page.on("pageerror", lambda error: self._heard.append(str(error)))

    def _take(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._heard.append(message.text)

    def all(self) -> list[str]:
        """Errors in the page's console, and tracebacks in the log of the server and its kernels."""
        with self._log.open() as log:
            log.seek(self._from)
            written = log.read()
        heard = [text for text in self._heard if not NOT_OURS.search(text)]
        return heard + ([written] if "Traceback" in written else [])


def group_files(name: str) -> list[Path]:
    """The directories of a cgroup by the end of its name, in every hierarchy."""
    mounts = re.findall(r" (/\S*cgroup\S*) ", Path("/proc/self/mountinfo").read_text())
    return [path for mount in set(mounts) for path in Path(mount).rglob(f"nsmagic-{name}")]


def value(directories: list[Path], *names: str) -> str:
    """What the first of these files says that is there."""
    found = [path / name for path in directories for name in names if (path / name).exists()]
    return found[0].read_text()


def frozen(directories: list[Path]) -> bool:
    """Whether Linux says that the group is frozen."""
    text = value(directories, "cgroup.events", "freezer.state")
    return "frozen 1" in text or text.strip() == "FROZEN"


def shown_bytes(graph: Locator, label: str) -> float:
    """What the first panel's readout says of a line, in bytes."""
    text = graph.locator(".nsm-graph-value", has_text=label).first.inner_text()
    found = re.search(r"([\d.]+) ([KMG]?)i?B", text)
    assert found is not None, text
    power: int = " KMG".index(found[2] or " ")
    return float(float(found[1]) * 1024**power)


def until_busy(page: Page) -> None:
    """Wait until the page calls the kernel busy: after a click it says idle first, then busy."""
    page.wait_for_function(
        "() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'"
    )


def interrupt(page: Page) -> None:
    """Click the stop button."""
    page.evaluate("() => jupyterapp.commands.execute('notebook:interrupt-kernel')")


def tab_stops(page: Page, within: Locator, most: int = 40) -> list[str]:
    """Walk through a widget by Tab; each stop's name, "" for one that does not look focused.

    The walk begins before the widget's first stop and ends when it has left.
    """
    within.evaluate(
        """el => { const mark = document.createElement('span'); mark.tabIndex = -1;
        el.prepend(mark); mark.focus(); mark.remove(); }"""
    )
    stops: list[str] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        name = within.evaluate(
            """el => {
                const now = document.activeElement;
                if (!el.contains(now)) return null;
                const style = getComputedStyle(now);
                const shape = now.querySelector('rect');
                const seen = (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0)
                    || (shape && parseFloat(getComputedStyle(shape).strokeWidth) >= 2);
                const name = now.getAttribute('aria-label') ?? now.placeholder ?? now.textContent;
                return seen ? `${name}` : '';
            }"""
        )
        if name is None:
            return stops
        stops.append(str(name))
    return stops
