"""Tab and Shift-Tab in a real JupyterLab, and how `%nsmagic` and `%sxs` look in both themes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.browser import has_chromium
from tests.support.skips import needs

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.conftest import OpenNotebook

pytestmark = [pytest.mark.browser, pytest.mark.linux, needs(has_chromium)]

CELLS = [
    "%load_ext nsmagic",
    "%sxs host,self -- echo the same; echo $$; ls -d /usr /nowhere",
    "%nsmagic",
    "%%unshare --user --map-root-user bash\nid -u",
]


def type_in_last_cell(page: Page, text: str) -> None:
    page.locator(".jp-Notebook .jp-Cell .cm-content").last.click()
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    page.keyboard.type(text)


def test_tab_shift_tab_and_tables(lab: OpenNotebook) -> None:
    notebook = lab(CELLS)
    page = notebook.page
    notebook.run_all()
    assert "1 of" in notebook.output(1) or "differ" in notebook.output(1)
    assert "%%unshare" in notebook.output(2)

    type_in_last_cell(page, "%%unshare --m")
    page.keyboard.press("Tab")
    popup = page.locator(".jp-Completer")
    popup.wait_for()
    assert "--map-root-user" in popup.inner_text()
    notebook.screenshot("help-tab")
    page.keyboard.press("Escape")

    type_in_last_cell(page, "%%unshare --uts --prop")
    page.keyboard.press("Shift+Tab")
    tooltip = page.locator(".jp-Tooltip")
    tooltip.wait_for()
    assert "--mount-proc" in tooltip.inner_text()
    notebook.screenshot("help-shift-tab")
    page.keyboard.press("Escape")

    page.evaluate(
        "() => jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})"
    )
    page.wait_for_selector("body[data-jp-theme-light=false]", state="attached")
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    notebook.screenshot("help-dark")
