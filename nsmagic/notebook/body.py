"""The text of a Python cell, as the forked copy of the kernel runs it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The body to run, and how many lines stood above it in the notebook's cell."""

    body: str
    head: str = ""
    returns: tuple[str, ...] = ()
    other_root: bool = False

    @property
    def padded(self) -> str:
        """The body below the magic's own lines as comments: line numbers are the notebook's."""
        if self.body.lstrip().startswith("%%"):
            return self.body  # a cell magic must stand first
        return "".join(f"#{line}\n" for line in self.head.splitlines()) + self.body
