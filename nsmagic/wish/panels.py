"""The panels of a cgroup's graph, as a person names them."""

from __future__ import annotations

from typing import Final

from nsmagic.wish.limits import PLOTS
from nsmagic.wish.spelling import or_nearest
from nsmagic.wish.values import Kind, Names

USUAL: Final = ("mem", "cpu", "pids")


def _panels(text: str, _: Names) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(text.split(",")))
    for word in words:
        if word not in PLOTS:
            near = or_nearest(word, PLOTS, f", only {', '.join(PLOTS)}")
            what = "is no panel" if word == text else f"has no panel {word!r}"
            raise ValueError(f"{what}{near}")
    return words


PANELS: Final = Kind(
    metavar="<panel>[,<panel>]", example="mem,cpu", read=_panels, show=",".join, choices=PLOTS,
    many=",",
)  # fmt: skip
