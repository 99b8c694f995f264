"""What becomes of a cell's text before IPython reads it; line numbers stay what they are."""

from __future__ import annotations

import pytest

from nsmagic.notebook.transform import cgroup_head, empty_body

CELLS = {
    "code below": ("%cgroup mem=64M\nx = 1\n", "%%cgroup mem=64M\nx = 1\n"),
    "comments and blank lines above": (
        "# why\n\n%cgroup mem=64M --bg\n# more\nx = 1\n",
        "%%cgroup mem=64M --bg\n\n\n# more\nx = 1\n",
    ),
    "a stack": (
        "%cgroup mem=64M\n# so\n%cgroup pids=9\n%%unshare --pid\nx = 1\n",
        "%%cgroup mem=64M\n\n%%cgroup pids=9\n%%unshare --pid\nx = 1\n",
    ),
    "alone": ("%cgroup mem=64M\n", None),
    "alone with a comment": ("%cgroup mem=64M\n# x = 1\n\n", None),
    "only such lines": ("%cgroup mem=64M\n%cgroup pids=9\n", None),
    "a verb": ("%cgroup freeze web\nx = 1\n", None),
    "the list": ("%cgroup\nx = 1\n", None),
    "a program": ("%cgroup mem=64M ls\nx = 1\n", None),
    "not first": ("x = 1\n%cgroup mem=64M\ny = 1\n", None),
    "another magic": ("%cgroups mem=64M\nx = 1\n", None),
}


@pytest.mark.parametrize("name", CELLS)
def test_cgroup_heads_its_cell(name: str) -> None:
    text, wanted = CELLS[name]
    got = "".join(cgroup_head(text.splitlines(keepends=True)))
    assert got == (text if wanted is None else wanted)
    if wanted is not None:
        assert got.splitlines().index("x = 1") == text.splitlines().index("x = 1")


def test_an_empty_body_makes_a_line_magic() -> None:
    assert empty_body(["%%cgroup mem=64M\n"]) == ["%cgroup mem=64M\n"]
    assert empty_body(["%%cgroup mem=64M\n", "x\n"]) == ["%%cgroup mem=64M\n", "x\n"]
