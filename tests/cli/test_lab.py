"""`nsmagic lab`: the learner's work is never overwritten."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nsmagic.labs.bundled import bundled

if TYPE_CHECKING:
    from pathlib import Path

LAB = [sys.executable, "-m", "nsmagic.cli", "lab", "--copy-only"]


def lab(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LAB, str(folder)], capture_output=True, text=True, check=False)


def test_copies_what_is_missing_and_keeps_what_was_changed(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "labs"
    assert lab(folder).returncode == 0
    names = {path.name for path in bundled().glob("*.ipynb")}
    assert names
    assert {path.name for path in folder.glob("*.ipynb")} == names
    worked_on, *_ = sorted(names)
    (folder / worked_on).write_text("my work")
    (folder / "README.md").unlink()
    done = lab(folder)
    assert f"Kept yours, which differ from the bundled ones: {worked_on}" in done.stdout
    assert (folder / worked_on).read_text() == "my work"
    assert (folder / "README.md").exists()
    (folder / worked_on).unlink()
    lab(folder)
    assert "unchanged" in lab(folder).stdout


def test_a_folder_that_cannot_be_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = lab(tmp_path / "file" / "below")
    assert done.returncode == 2
    assert "Not a directory" in done.stderr


@pytest.mark.parametrize("options", [["--port=8899", "--no-browser"], []])
def test_becomes_jupyterlab_with_the_options(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "jupyterlab.py").write_text("import sys; print(*sys.argv[1:])")
    done = subprocess.run(
        [sys.executable, "-m", "nsmagic.cli", "lab", *options, "labs"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert f"--ServerApp.root_dir={tmp_path}/labs" in done.stdout
    assert set(options) <= set(done.stdout.split())
