"""The Korean edition: the same cells, the same checks, other words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

from nsmagic.labs.catalogue import LABS
from tests.support.notebooks import read

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
HANGUL = re.compile("[가-힣]")
FENCED = re.compile(r"```.*?```", re.DOTALL)


def both(name: str) -> tuple[NotebookNode, NotebookNode]:
    """The two editions of a lab, English first."""
    return read(NOTEBOOKS / f"{name}.ipynb"), read(NOTEBOOKS / "ko" / f"{name}.ipynb")


@pytest.mark.parametrize("name", [lab.name for lab in LABS])
class TestKorean:
    def test_code_is_identical_and_text_has_the_same_cells(self, name: str) -> None:
        english, korean = (
            read(NOTEBOOKS / f"{name}.ipynb"),
            read(NOTEBOOKS / "ko" / f"{name}.ipynb"),
        )
        nbformat.validate(korean)
        assert [cell.id for cell in korean.cells] == [cell.id for cell in english.cells]
        for mine, theirs in zip(korean.cells, english.cells, strict=True):
            assert mine.cell_type == theirs.cell_type
            assert mine.metadata == theirs.metadata
            if mine.cell_type == "code":
                assert mine == theirs, mine.id
        assert korean.metadata == english.metadata

    def test_every_text_is_korean(self, name: str) -> None:
        for cell in read(NOTEBOOKS / "ko" / f"{name}.ipynb").cells:
            if cell.cell_type == "markdown":
                assert HANGUL.search(cell.source), cell.id

    def test_nothing_is_left_out(self, name: str) -> None:
        """Headings, corrections, manual pages and fenced blocks are the same on both sides."""
        pages = re.compile(r"[a-z_0-9-]+\([1-9]\)")
        english, korean = (
            read(NOTEBOOKS / f"{name}.ipynb"),
            read(NOTEBOOKS / "ko" / f"{name}.ipynb"),
        )
        for mine, theirs in zip(korean.cells, english.cells, strict=True):
            if mine.cell_type != "markdown":
                continue
            for pattern in (r"^#+ ", r"^> \*\*", r"^[-|] "):
                count = [
                    len(re.findall(pattern, each.source, re.MULTILINE)) for each in (mine, theirs)
                ]
                assert count[0] == count[1], (mine.id, pattern)
            assert set(pages.findall(mine.source)) == set(pages.findall(theirs.source)), mine.id
            assert FENCED.findall(mine.source) == FENCED.findall(theirs.source), mine.id
            assert ("fails, and it is meant" in theirs.source) == (
                "일부러 실패합니다.**" in mine.source
            )
