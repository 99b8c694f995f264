"""Tab and Shift-Tab anywhere in any cell: something, or nothing, and never an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from nsmagic.notebook.complete import LineCompleter
from nsmagic.notebook.inspecting import help_at
from tests.fuzz.hostile import hold, sizes, text
from tests.fuzz.lines import any_line, cells

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def at_any_place(cell: str) -> st.SearchStrategy[tuple[str, int]]:
    return st.integers(0, len(cell)).map(lambda cursor: (cell, cursor))


lines = any_line().map(lambda pair: f"%{pair[0]} {pair[1]}")
codes = st.one_of(cells(), lines, text)


@sizes(2_000)
def test_tab(ip: InteractiveShell, count: int) -> None:
    completer = LineCompleter(ip, boxes=lambda: {1: "web", 2: "it's"})

    def check(place: tuple[str, int]) -> None:
        cell, cursor = place
        *above, line = cell[:cursor].split("\n")
        found = completer.match(line, above)
        for each in found["completions"]:
            assert "\n" not in each.text
            assert each.type is None or len(each.type) < 60

    hold(count, codes.flatmap(at_any_place), check)


@sizes(2_000)
def test_shift_tab(ip: InteractiveShell, count: int) -> None:
    def check(place: tuple[str, int]) -> None:
        assert isinstance(help_at(ip, *place), str)

    hold(count, codes.flatmap(at_any_place), check)


def test_found_before(ip: InteractiveShell) -> None:
    """Files were asked for by names that no file can have."""
    for line in ("%unshare --root \ud800 ", "%unshare --root=a\0b/", "%chroot \ud800 ca"):
        assert list(LineCompleter(ip).match(line, [])["completions"]) == []
