"""The notebooks with solutions: written by a magic or a command, and what is there is kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

from nsmagic.labs.catalogue import LABS, load
from nsmagic.labs.exercises import EXERCISES
from nsmagic.labs.solutions import write_all
from nsmagic.wish.errors import WishError
from tests.support.notebooks import read

if TYPE_CHECKING:
    from tests.support.kernel_driver import KernelDriver

load()
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = [f"{edition}{lab.name}.ipynb" for edition in ("", "ko/") for lab in LABS]


def are_solved(folder: Path) -> None:
    """All notebooks are there; cells of exercises have their solutions, the rest is the same."""
    filled = set()
    for name in NAMES:
        solved, learners = read(folder / name), read(NOTEBOOKS / name)
        nbformat.validate(solved)
        for mine, theirs in zip(solved.cells, learners.cells, strict=True):
            exercise = mine.metadata.get("nsmagic", {}).get("exercise")
            if exercise:
                filled.add(exercise)
                theirs.source = EXERCISES[exercise].solution
            assert mine == theirs, (name, mine.id)
    assert filled == set(EXERCISES)


def test_by_a_magic_beside_the_notebook(fresh_kernel: KernelDriver, tmp_path: Path) -> None:
    fresh_kernel.run(f"import os; os.chdir({str(tmp_path)!r})", raise_error=True)
    fresh_kernel.run("%lab start 01", raise_error=True)  # it goes to the playground
    told = fresh_kernel.run("%lab solution --all", raise_error=True).result
    assert told is not None
    assert str(tmp_path / "solutions") in told["text/plain"]
    are_solved(tmp_path / "solutions")
    done = fresh_kernel.run("%lab progress", raise_error=True).result
    assert done is not None
    assert done["text/plain"].count("the solution") == len(EXERCISES)
    fresh_kernel.run("%lab solution --all elsewhere", raise_error=True)
    are_solved(tmp_path / "elsewhere")
    fresh_kernel.run("%lab reset", raise_error=True)


def test_by_a_command(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "nsmagic.cli", "lab", "--copy-only", "--solutions", str(tmp_path)]
    for _ in range(2):
        said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    are_solved(tmp_path / "solutions")
    assert f"{tmp_path}/solutions has all notebooks, unchanged." in said


def test_what_was_worked_on_stays(tmp_path: Path) -> None:
    write_all(tmp_path)
    worked_on = tmp_path / "ko" / "02-chroot.ipynb"
    worked_on.write_text("my work")
    (tmp_path / "01-processes.ipynb").unlink()
    link = tmp_path / "ko" / "01-processes.ipynb"
    link.unlink()
    link.symlink_to(tmp_path / "unplugged.ipynb")
    written, kept = write_all(tmp_path)
    assert (written, set(kept)) == (
        ["01-processes.ipynb"], {"ko/01-processes.ipynb", "ko/02-chroot.ipynb"}
    )  # fmt: skip
    assert worked_on.read_text() == "my work"
    assert not link.exists()


def test_a_folder_that_cannot_be_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WishError, match="Not a directory"):
        write_all(tmp_path / "file" / "below")
