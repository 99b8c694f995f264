"""The benchmarks at tiny sizes, so that they do not rot, and the page made of their figures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS, PROJECT, main, read, summary
from benchmarks.support.page import render
from benchmarks.support.plots import digest, draw
from benchmarks.support.report import Figure, Table, interleaved
from tests.support.browser import has_chromium
from tests.support.skips import needs, root_only

KEPT = PROJECT / "docs" / "benchmarks"
SLOW = {
    "graph": (pytest.mark.slow, pytest.mark.browser, needs(has_chromium)),
    "streams": (pytest.mark.slow,),
}
EXAMPLE = Table(
    name="one",
    title="One",
    how="",
    figures=(
        Figure.of("anchor", [1.0, 2.0, 3.0]),
        Figure.of("ours", [2.0, 3.0, 4.0], ours=True),
        Figure(name="other", missing="not installed"),
    ),
)
NEEDS_ROOT = {"boxes", "cgroups"}


@pytest.fixture(scope="module", autouse=True)
def fonts_are_open(tmp_path_factory: pytest.TempPathFactory) -> None:
    """matplotlib keeps the files of fonts open: before anybody counts descriptors."""
    draw(EXAMPLE, tmp_path_factory.mktemp("fonts"))


def every() -> list[object]:
    return [
        pytest.param(name, marks=[*SLOW.get(name, ()), *([root_only] * (name in NEEDS_ROOT))])
        for name in BENCHMARKS
    ]


@pytest.mark.parametrize("name", every())
def test_it_still_measures(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", name, "--quick", "--to", str(tmp_path / "made")]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    files = {file.stem for file in (tmp_path / "made").glob("*.json")}
    assert files == set(BENCHMARKS[name])
    for table in [table for table in read(tmp_path / "made") if table.name in files]:
        ours = [figure for figure in table.figures if figure.ours]
        assert ours or table.name.startswith("parts-"), table
        assert all(figure.value is not None for figure in ours), table
        picture = (tmp_path / "made" / f"{table.name}.svg").read_text()
        assert digest(table) in picture


def test_a_benchmark_that_fails_is_said_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "bin"
    broken.mkdir()
    (broken / "lsns").write_text("#!/bin/sh\nexit 3\n")
    (broken / "lsns").chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken}:{os.environ['PATH']}")
    made = tmp_path / "made"
    assert main(["lsns", "load", "--quick", "--to", str(made)]) == 1
    lsns, load = [table for table in read(made) if table.name in {"lsns", "load"}]
    assert lsns.figures[0].missing.startswith("not measured: ")
    assert load.figures[0].value is not None
    said = capfd.readouterr().out
    assert "could not be measured: lsns" in said
    assert "not measured: " in made.with_suffix(".md").read_text()


def test_the_page_is_what_the_kept_figures_give() -> None:
    tables = list(read(KEPT))
    assert {table.name for table in tables} == {
        each for names in BENCHMARKS.values() for each in names
    }
    again = "run: python -m benchmarks --page"
    assert KEPT.with_suffix(".md").read_text() == render(tables, KEPT), again
    for table in tables:
        drawn = KEPT / f"{table.name}.svg"
        measured = any(figure.value is not None for figure in table.figures)
        assert not measured or digest(table) in drawn.read_text(), again


def test_the_page_follows_the_figures() -> None:
    """Other figures give another page: its words say where we lose, and where not."""
    tables = list(read(KEPT))
    cells = next(table for table in tables if table.name == "cells")
    (mine,) = [figure for figure in cells.figures if figure.name.startswith("Python cell")]
    for ratio, is_lost in ((0.5, False), (1.5, True), (99.0, True)):
        figures = tuple(replace(f, ratio=ratio) if f is mine else f for f in cells.figures)
        changed = [replace(t, figures=figures) if t is cells else t for t in tables]
        losses = render(changed, KEPT).partition("## Where we lose")[2].partition("\n## ")[0]
        assert (f"**{mine.name}** beside {mine.anchor}" in losses) is is_lost
        assert ("99 times (bar ≤ 2 **not met**)" in losses) is (ratio > 2)


@pytest.mark.parametrize(
    ("judged", "at_least", "value", "met"),
    [("ratio", False, 2.0, True), ("ratio", False, 2.1, False), ("ratio", True, 1.9, False),
     ("value", False, 2.0, True), ("value", True, 2.0, True), ("ratio", False, None, None)],
)  # fmt: skip
def test_bars(judged: str, at_least: bool, value: float | None, met: bool | None) -> None:
    figure = Figure(name="it", bar=2.0, at_least=at_least, judged=judged, value=value, ratio=value)  # type: ignore[arg-type]
    assert figure.met is met
    table = Table(name="one", title="One", how="", figures=(figure,))
    assert Table.read(table.json()) == table
    word = {True: "bars met: 1", False: "bars NOT MET: 1", None: "bars not measured: 1"}[met]
    assert word in summary([table])


def test_a_neighbour_that_fails_midway_is_left_out_and_said() -> None:
    turns = iter((1.0, 1.0, RuntimeError("it fell over")))

    def neighbour() -> float:
        turn = next(turns)
        if isinstance(turn, RuntimeError):
            raise turn
        return turn

    taken = interleaved({"ours": lambda: 2.0, "it": neighbour}, runs=3, optional={"it"})
    assert taken.missing == {"it": "it fell over"}
    (missing,) = taken.figures("ours", ["it"])
    assert (missing.value, missing.missing) == (None, "it fell over")


def test_what_is_ours_must_not_fail() -> None:
    def ours() -> float:
        raise RuntimeError("it fell over")

    with pytest.raises(RuntimeError, match="it fell over"):
        interleaved({"ours": ours}, runs=1)


def test_a_plot_is_legible_without_a_background(tmp_path: Path) -> None:
    draw(EXAMPLE, tmp_path)
    picture = (tmp_path / "one.svg").read_text()
    assert "not here" in picture
    colours = set(re.findall(r"#[0-9a-f]{6}", picture)) - {"#000000"}
    for colour in colours:
        for page in ("#ffffff", "#0d1117"):
            assert contrast(colour, page) >= 3, (colour, page)


def contrast(one: str, other: str) -> float:
    """Contrast of WCAG 2, https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    lights = []
    for colour in (one, other):
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)
