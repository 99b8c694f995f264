"""JupyterLab on 127.0.0.1 and a real Chromium that opens notebooks in it.

The server serves one module's tests; each test gets a browser of its own, because Chromium keeps
spare processes that would look like leaks.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import nbformat
from nbformat import NotebookNode
from playwright.sync_api import Page, expect, sync_playwright

from tests.support.skips import probe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ARTEFACTS = Path(__file__).resolve().parents[1] / "artefacts"
CHROMIUM = Path("/usr/bin/chromium")
# --no-sandbox: Chromium's own sandbox refuses root.  The rest keeps it from calling home, from
# /dev/shm (64 MB in containers) and from slowing down a page that nobody looks at.
CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-features=Translate,OptimizationHints,MediaRouter",
)
SETTINGS: dict[str, dict[str, object]] = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    # Every cell is drawn, also below the window's edge.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}
# As long as all other waiting of playwright's: 5 s pass on a busy machine before a click is drawn.
expect.set_options(timeout=30_000)
UP = 60  # s until the server answers, on a loaded machine; 3 s on an idle one
Theme = Literal["light", "dark"]
FrontEnd = Literal["lab", "notebook"]  # JupyterLab, Notebook 7
ADDRESS: dict[FrontEnd, str] = {
    "lab": "lab/workspaces/{name}/tree/{name}.ipynb?reset",
    "notebook": "notebooks/{name}.ipynb",
}


@probe
def has_chromium() -> str | None:
    """Is Debian's Chromium installed and does it start?"""
    if not CHROMIUM.exists():
        return f"no {CHROMIUM}: apt-get install chromium"
    subprocess.run([CHROMIUM, "--version"], check=True, capture_output=True)
    return None


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running JupyterLab: its address and the folder it serves."""

    url: str
    root: Path

    def api(self, method: str, path: str) -> Any:  # noqa: ANN401 - JSON
        """One request to the REST API; the answer's JSON, None for an empty one."""
        request = urllib.request.Request(f"{self.url}/api/{path}", method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None


@contextlib.contextmanager
def serve(root: Path) -> Iterator[Server]:
    """Run JupyterLab on the notebooks in `root`, with settings, kernels and state of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = root.parent / "settings"
    settings.mkdir()
    (settings / "overrides.json").write_text(json.dumps(SETTINGS))
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    command += ["--IdentityProvider.token=", "--ServerApp.password="]
    command += ["--ServerApp.disable_check_xsrf=True", f"--ServerApp.root_dir={root}"]
    command += ["--LabApp.extension_manager=readonly"]
    for app in ("LabApp", "JupyterNotebookApp"):  # one server has both front ends
        command += [f"--{app}.workspaces_dir={root.parent / 'workspaces'}"]
        command += [f"--{app}.app_settings_dir={settings}"]
        command += [f"--{app}.user_settings_dir={root.parent / 'user-settings'}"]
        command += [f"--{app}.expose_app_in_browser=True"]
    log = root.parent / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    server = Server(url=f"http://127.0.0.1:{port}", root=root)
    try:
        _wait_until_up(server, process, log)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


def _wait_until_up(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    # A server announces its port to nobody: ask again every 100 ms.
    end = time.monotonic() + UP
    while True:
        try:
            server.api("GET", "status")
        except (urllib.error.URLError, ConnectionError) as error:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"JupyterLab did not start: {log.read_text()}") from error
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.1)
        else:
            return


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A notebook open in a browser, its kernel idle."""

    page: Page
    server: Server
    name: str

    def start_all(self) -> None:
        """Run all cells and do not wait: for clicks while a cell runs."""
        self.page.evaluate(
            "() => { window.allDone = null; jupyterapp.commands.execute('notebook:run-all-cells')"
            ".then(() => { window.allDone = true; }) }"
        )

    def wait(self, *, timeout: float = 60) -> None:
        """Until all cells have run; playwright's TimeoutError after `timeout` seconds."""
        self.page.wait_for_function("() => window.allDone === true", timeout=timeout * 1000)

    def run_all(self, *, timeout: float = 60) -> None:
        """Run all cells to the end."""
        self.start_all()
        self.wait(timeout=timeout)

    def output(self, cell: int) -> str:
        """The text a reader sees below a cell, counted from 0 over cells of all kinds."""
        area = self.page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".jp-OutputArea-output")
        return "\n".join(area.all_inner_texts()).strip()

    def save(self) -> NotebookNode:
        """Save as a person would, and read the file."""
        self.page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
        node: NotebookNode = nbformat.read(self.server.root / f"{self.name}.ipynb", as_version=4)
        return node

    def screenshot(self, name: str = "") -> Path:
        """Save what is seen as tests/artefacts/NAME.png."""
        ARTEFACTS.mkdir(exist_ok=True)
        path = ARTEFACTS / f"{name or self.name}.png"
        self.page.screenshot(path=path)
        return path


@contextlib.contextmanager
def open_notebook(
    server: Server,
    notebook: Sequence[str] | NotebookNode,
    *,
    name: str,
    theme: Theme = "light",
    kernel: str = "python3",
    front: FrontEnd = "lab",
) -> Iterator[Lab]:
    """Open a notebook (a node, or the sources of its code cells) and wait for its kernel."""
    node = notebook if isinstance(notebook, NotebookNode) else _notebook(notebook, kernel)
    nbformat.write(node, server.root / f"{name}.ipynb")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=list(CHROMIUM_OPTIONS)
        )
        page = browser.new_page(viewport={"width": 1200, "height": 1400}, color_scheme=theme)
        try:
            page.goto(f"{server.url}/{ADDRESS[front].format(name=name)}")
            # Running before the session exists would pop up "Select Kernel".
            page.wait_for_function(
                "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel"
                "?.status === 'idle'",
                timeout=UP * 1000,
            )
            # Also for light: the server remembers what the test before this one chose.
            page.evaluate(
                "(name) => jupyterapp.commands.execute('apputils:change-theme', {theme: name})",
                f"JupyterLab {theme.capitalize()}",
            )
            light = "true" if theme == "light" else "false"
            page.wait_for_selector(f"body[data-jp-theme-light={light}]", state="attached")
            yield Lab(page=page, server=server, name=name)
        finally:
            browser.close()
            for session in server.api("GET", "sessions"):
                server.api("DELETE", f"sessions/{session['id']}")


def _notebook(cells: Sequence[str], kernel: str) -> NotebookNode:
    code = [nbformat.v4.new_code_cell(text) for text in cells]
    node: NotebookNode = nbformat.v4.new_notebook(cells=code)
    node.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
    return node
