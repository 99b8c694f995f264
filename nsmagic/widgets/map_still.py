"""The namespace map as an SVG picture, for a saved notebook, GitHub and print."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Final

from nsmagic.linux.namespaces import TYPES
from nsmagic.widgets.colours import colour, mark
from nsmagic.widgets.map_facts import Group, Picture, Space
from nsmagic.wish.counting import counted

_LABEL, _STEP, _ROW, _CHIP, _HEAD = 216, 112, 40, 26, 34  # pixels
MOST_ROWS: Final = 40
# Who shares the first of these stands together.
_KIN: Final = ("user", "net", "pid", "mnt", "uts", "ipc", "cgroup", "time")
_ORDER: Final = {"self": 0, "box": 1, "": 2, "held": 3}
_TALL: Final = 5  # rows; the middle of a higher block may be out of sight
_LONGEST: Final = 28  # characters of a name


def svg(picture: Picture, base: Picture | None = None) -> str:
    """Draw the picture; namespaces that `base` lacks have a dashed ring."""
    rows = ordered(picture)
    hidden = len(rows) - MOST_ROWS
    rows = rows[:MOST_ROWS]
    width, height = _LABEL + _STEP * len(TYPES) + 8, _HEAD + _ROW * len(rows) + 28
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'style="max-width:{width}px;width:100%;height:auto" role="img" '
            f'aria-label="Groups of processes and the namespaces they are in" '
            f'font-family="system-ui,sans-serif" font-size="12" fill="#1f2328">'
        ),
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for column, kind in enumerate(TYPES):
        x = _LABEL + column * _STEP + _STEP // 2
        parts.append(_text(x, _HEAD - 14, kind, 'font-weight="600" text-anchor="middle"'))
    for index, group in enumerate(rows):
        parts += _label(index, group)
    for column, kind in enumerate(TYPES):
        for first, last, ino in _runs([group.links.get(kind) for group in rows]):
            parts += _chip(picture.spaces[f"{kind}:{ino}"], column, first, last, base)
    parts.append(_text(8, height - 9, _legend(hidden), 'fill="#59636e"'))
    return "".join([*parts, "</svg>"])


def ordered(picture: Picture) -> list[Group]:
    """Return the groups as they are shown: the notebook, boxes, others by what they share."""
    own = next((each for each in picture.groups.values() if each.kind == "self"), None)
    shared = {} if own is None else own.links

    def place(group: Group) -> tuple[int, list[int]]:
        links = [group.links.get(kind, 0) for kind in _KIN]
        mine = [shared.get(kind) for kind in _KIN]
        order = [0 if ino == own_ino else ino for ino, own_ino in zip(links, mine, strict=True)]
        return _ORDER[group.kind], order

    return sorted(picture.groups.values(), key=place)


def _legend(hidden: int) -> str:
    words = (
        "Groups in one block share that namespace. ● grey: this notebook's own. Dashed ring: new."
    )
    return words + (f" {hidden} more groups are not drawn." if hidden > 0 else "")


def _label(index: int, group: Group) -> Iterator[str]:
    y = _HEAD + index * _ROW
    yield (
        f'<rect x="1" y="{y + 1}" width="{_LABEL + _STEP * len(TYPES)}" height="{_ROW - 2}" rx="4" '
        f'fill="{"#e8ebef" if group.kind == "self" else "#f6f8fa"}"/>'
    )
    name = group.name if len(group.name) <= _LONGEST else f"{group.name[: _LONGEST - 1]}…"
    yield _text(10, y + 17, name, 'font-weight="600" font-size="13"')
    count = len(group.commands)
    words = counted(count, "process", "processes") if count else "no process"
    yield _text(10, y + 32, words, 'fill="#59636e" font-size="11"')


def _runs(column: Sequence[int | None]) -> Iterator[tuple[int, int, int]]:
    """Yield first row, last row and inode of each block of neighbours in the same namespace."""
    start = 0
    for index, ino in enumerate(column):
        if index + 1 == len(column) or column[index + 1] != ino:
            if ino is not None:
                yield start, index, ino
            start = index + 1


def _chip(space: Space, column: int, first: int, last: int, base: Picture | None) -> Iterator[str]:
    x, y = _LABEL + column * _STEP + 5, _HEAD + first * _ROW + (_ROW - _CHIP) // 2
    width, height = _STEP - 10, (last - first) * _ROW + _CHIP
    tone = colour(space.colour)
    size = f'width="{width}" height="{height}" rx="5"'
    if base is not None and f"{space.type}:{space.ino}" not in base.spaces:
        yield (
            f'<rect x="{x - 3}" y="{y - 3}" width="{width + 6}" height="{height + 6}" rx="8" '
            f'fill="none" stroke="{tone}" stroke-width="2" stroke-dasharray="2 3"/>'
        )
    opacity = 0.1 if space.own else 0.28
    yield f'<rect x="{x}" y="{y}" {size} fill="#fff"/>'
    yield f'<rect x="{x}" y="{y}" {size} fill="{tone}" fill-opacity="{opacity}" stroke="{tone}"/>'
    words = f"{mark(space.colour)} {space.ino}"
    middle = y + (_CHIP if last - first > _TALL else height) // 2
    yield _text(x + width // 2, middle + 4, words, 'text-anchor="middle"')


def _text(x: int, y: int, text: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}" {more}>{html.escape(text)}</text>'
