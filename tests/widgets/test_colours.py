"""The palette, computed: contrast on both papers, and differences for who sees no red or green."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from nsmagic.widgets.colours import DARK, LIGHT, colour
from nsmagic.widgets.graph_fields import FIELDS, TITLES

Vector = NDArray[np.float64]
# Machado, Oliveira and Fernandes 2009, severity 1, https://doi.org/10.1109/TVCG.2009.113
SEEN = {
    "all colours": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ @ np.ones(3)
PAPER = {"light": "#ffffff", "dark": "#111111"}
# Just noticeable is 2.3; side by side in a legend 10 is plain.
PLAIN = 10.0


def linear(text: str) -> Vector:
    part = np.array([int(text[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def lab(rgb: Vector) -> Vector:
    ratio = TO_XYZ @ np.clip(rgb, 0, 1) / WHITE
    x, y, z = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def difference(first: str, second: str, eyes: str) -> float:
    seen = np.array(SEEN[eyes])
    return float(np.linalg.norm(lab(seen @ linear(first)) - lab(seen @ linear(second))))


@pytest.mark.parametrize("eyes", SEEN)
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("panel", TITLES)
def test_lines_of_a_panel_are_told_apart(panel: str, dark: bool, eyes: str) -> None:
    numbers = sorted({field.colour for field in FIELDS if field.plot == panel})
    close = {
        (a, b): round(difference(colour(a, dark=dark), colour(b, dark=dark), eyes), 1)
        for a, b in combinations(numbers, 2)
    }
    assert {pair: found for pair, found in close.items() if found < PLAIN} == {}


@pytest.mark.parametrize(("names", "theme"), [(LIGHT, "light"), (DARK, "dark")])
def test_contrast_on_the_paper(names: tuple[str, ...], theme: str) -> None:
    def bright(text: str) -> float:
        return float(TO_XYZ[1] @ linear(text)) + 0.05

    paper = bright(PAPER[theme])
    ratios = [max(bright(each), paper) / min(bright(each), paper) for each in names]
    assert min(ratios) >= 3, ratios  # WCAG 2.2, 1.4.11 Non-text Contrast
