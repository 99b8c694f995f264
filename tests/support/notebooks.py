"""Read the learner notebooks and run them as `jupyter execute` does."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nbformat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nbformat import NotebookNode

    from tests.support.user import Account

# A port that Jupyter found free for the kernel, and that another process had when it began.
TAKEN = "zmq.error.ZMQError: Address already in use"
WITHIN = 280  # s; 5 to 15 on an idle machine, more in a guest


def read(path: Path) -> NotebookNode:
    """The notebook in a file."""
    node: NotebookNode = nbformat.read(path, as_version=4)
    return node


def code_cells(path: Path) -> Iterator[NotebookNode]:
    """Its code cells, in order."""
    return (cell for cell in read(path).cells if cell.cell_type == "code")


def may_fail(cell: NotebookNode) -> bool:
    """Is this a cell that fails on purpose?"""
    return "raises-exception" in cell.metadata.get("tags", [])


@dataclass(frozen=True, kw_only=True)
class Executed:
    """An executed notebook, its cells by id, and the user that ran it."""

    cells: dict[str, Any]
    uid: int

    def text(self, cell: str, kind: str = "") -> str:
        """What the cell shows, with plain newlines; only stdout or stderr if `kind` says so."""
        parts = [
            output.get("text") or output.get("data", {}).get("text/plain", "")
            for output in self.cells[cell].outputs
            if not kind or output.get("name") == kind
        ]
        return "".join(parts).replace("\r\n", "\n")

    def lines(self, cell: str) -> list[str]:
        """The lines of stdout."""
        return self.text(cell, "stdout").splitlines()

    def errors(self, cell: str) -> str:
        """What the cell failed with."""
        outputs = self.cells[cell].outputs
        return "".join(out.evalue for out in outputs if out.output_type == "error")

    @property
    def failed(self) -> set[str]:
        """The cells that ended with an error."""
        return {
            name
            for name, cell in self.cells.items()
            if any(output.output_type == "error" for output in cell.get("outputs", []))
        }


def execute(path: Path, folder: Path, account: Account | None) -> Executed:
    """Run a notebook by nbclient's command, as `jupyter execute` does, in the notebook's folder."""
    out = folder / path.name
    python = account.python if account else sys.executable
    argv: Sequence[str] = [python, "-m", "jupyter", "execute", f"--output={out}", str(path)]
    for _ in range(3):
        if account:
            done = account.run(argv, timeout=WITHIN)
        else:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=WITHIN, check=False)
        if TAKEN not in done.stderr:
            break
    assert done.returncode == 0, done.stderr[-3000:]
    cells = {cell.id: cell for cell in read(out).cells}
    return Executed(cells=cells, uid=account.uid if account else os.geteuid())
