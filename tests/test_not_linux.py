"""Elsewhere than on Linux, loading fails with one line."""

from __future__ import annotations

import subprocess
import sys

FAKED = """
import sys
sys.platform = sys.argv[1]
from IPython.core.interactiveshell import InteractiveShell
assert not InteractiveShell.instance().run_cell("%load_ext nsmagic").success
"""


def test_not_linux() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAKED, "darwin"], capture_output=True, text=True, check=True
    )
    lines = (done.stdout + done.stderr).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("UsageError: nsmagic needs Linux, and this is darwin: ")
