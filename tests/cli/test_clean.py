"""`nsmagic clean` on a ledger that a dead kernel left."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nsmagic.run.ledger import ledger_dir

if TYPE_CHECKING:
    from pathlib import Path

NOTES = """
import sys
from nsmagic.run.ledger import Ledger
Ledger().note("directory", sys.argv[1])
"""


def clean(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nsmagic.cli", "clean", *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.linux
def test_clean_removes_what_a_dead_kernel_left_and_only_tells_before(tmp_path: Path) -> None:
    left = tmp_path / "nsmagic-left"
    left.mkdir()
    subprocess.run([sys.executable, "-c", NOTES, str(left)], check=True)
    assert f"would remove directory {left} of kernel" in clean("--dry-run").stdout
    assert left.exists()
    done = clean()
    assert f"removed directory {left} of kernel" in done.stdout
    assert done.returncode == 0
    assert not left.exists()
    assert clean().stdout == "Nothing is left of kernels that died.\n"


@pytest.mark.linux
def test_ledgers_that_others_may_write_are_not_believed() -> None:
    place = ledger_dir()
    place.chmod(0o777)
    try:
        done = clean()
    finally:
        place.chmod(0o700)
    assert done.returncode == 1
    assert os.fspath(place) in done.stderr
