"""`%nsmagic`: every magic is in it, every example runs, and settings take effect."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nsmagic.notebook.catalogue import CATALOGUE, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.kernel_driver import KernelDriver

OURS = """\
magics = get_ipython().magics_manager.magics
sorted({name for kind in magics.values() for name, do in kind.items()
        if getattr(do, '__module__', '').startswith('nsmagic.')})"""


@pytest.fixture(scope="module", params=["kernel", "user_kernel"])
def notebook(request: pytest.FixtureRequest) -> Iterator[KernelDriver]:
    """A notebook of root's and one of an ordinary user's, in a folder of its own."""
    driver: KernelDriver = request.getfixturevalue(request.param)
    made = driver.run("import os, tempfile\nos.chdir(tempfile.mkdtemp())\nos.getcwd()")
    made.raise_error()
    assert made.result is not None
    yield driver
    driver.run("os.chdir('/')", raise_error=True)
    shutil.rmtree(ast.literal_eval(made.result["text/plain"]))


def loaded(kernel: KernelDriver) -> list[str]:
    """The names of all magics that nsmagic registered."""
    run = kernel.run(OURS, raise_error=True)
    assert run.result is not None
    names: list[str] = ast.literal_eval(run.result["text/plain"])
    return names


def test_every_magic_has_a_row(kernel: KernelDriver) -> None:
    names = loaded(kernel)
    assert {"unshare", "chroot", "lsns"} <= set(names)
    assert set(names) <= {entry.name for entry in CATALOGUE}
    run = kernel.run("%nsmagic", raise_error=True)
    assert run.result is not None
    text, page = run.result["text/plain"], run.result["text/html"]
    for entry in CATALOGUE:
        if entry.name in names:
            assert f"%{entry.name}" in text
            assert entry.table.example.splitlines()[0][:30] in text
            assert f"%{entry.name}" in page
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.linux
@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_every_example_runs(notebook: KernelDriver, entry: Entry) -> None:
    assert entry.table.example
    if entry.name in loaded(notebook):
        run = notebook.run(entry.table.example)
        if "box" in loaded(notebook):
            notebook.run("%box rm --all", raise_error=True)
        if run.error and "cgroup" in run.error["evalue"]:
            pytest.skip("no cgroup can be made here")
        run.raise_error()


def settings(kernel: KernelDriver, line: str) -> str:
    run = kernel.run(f"%nsmagic set {line}", raise_error=True)
    assert run.result is not None
    return str(run.result["text/plain"])


def test_settings_take_effect_in_the_next_cell(kernel: KernelDriver) -> None:
    cell = "%%unshare --uts sh\nseq 20000"
    assert "output=10K" in settings(kernel, "output=10K tail=1K")
    shown = kernel.run(cell, raise_error=True).stdout
    assert 10_000 < len(shown) < 13_000
    assert shown.endswith("20000\n")
    assert "output=1000000" in settings(kernel, "output=default tail=default")
    assert len(kernel.run(cell, raise_error=True).stdout) == sum(
        len(f"{n}\n") for n in range(1, 20001)
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("set outptu=1", "no setting 'outptu' (nearest: output)"),
        ("set output", "output to what?"),
        ("set output=max", "at most 64M"),
        ("set output=1Mb", "in bits or in bytes"),
        ("set rate=0", "is not from 1 to 1,000,000"),
        ("set messages=x", "is not a size"),
        ("doctr", "is not something to do"),
        ("'", "a quote is opened and never closed"),
    ],
)
def test_bad_lines(kernel: KernelDriver, line: str, message: str) -> None:
    run = kernel.run(f"%nsmagic {line}")
    assert run.status == "error"
    assert message in run.stderr
    assert run.stderr.startswith("UsageError: ")


NOTES = "import sys; from nsmagic.run.ledger import Ledger; Ledger().note('directory', sys.argv[1])"


def test_clean_says_what_dead_kernels_left(kernel: KernelDriver, tmp_path: Path) -> None:
    left = tmp_path / "nsmagic-left"
    left.mkdir()
    subprocess.run([sys.executable, "-c", NOTES, str(left)], check=True)
    assert "nsmagic clean takes --dry-run" in kernel.run("%nsmagic clean all").stderr
    dry = text_of(kernel, "%nsmagic clean --dry-run")
    assert "would remove directory" in dry
    assert "nsmagic-left" in dry
    assert left.exists()
    assert "removed directory" in text_of(kernel, "%nsmagic clean")
    assert not left.exists()
    assert "nothing is left" in text_of(kernel, "%nsmagic clean")


def text_of(kernel: KernelDriver, cell: str) -> str:
    run = kernel.run(cell, raise_error=True)
    assert run.result is not None
    return str(run.result["text/plain"])
