"""An IPython shell in this process, without a kernel or a history, with nsmagic loaded."""

from __future__ import annotations

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


def plain_shell() -> InteractiveShell:
    settings = Config()
    settings.HistoryManager.hist_file = ":memory:"
    settings.HistoryManager.enabled = False  # no thread, no database
    shell = InteractiveShell.instance(config=settings)
    shell.run_line_magic("load_ext", "nsmagic")
    return shell
