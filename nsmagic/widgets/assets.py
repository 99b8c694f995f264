"""The files that the front end runs: ours as they are, libraries as npm has them, put together.

A front end loads a widget's module from a blob, where an import by relative path leads nowhere; so
a library is text in front of our own.  Nothing comes from a network.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def script(*names: str) -> str:
    """Return files of `static/` as one JavaScript module, libraries first."""
    return "\n".join(_read(name) for name in names)


@cache
def style(*names: str) -> str:
    """Return files of `static/` as one style sheet."""
    return "\n".join(_read(name) for name in names)


def _read(name: str) -> str:
    return files("nsmagic.widgets").joinpath("static", name).read_text(encoding="utf-8")
