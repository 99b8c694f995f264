"""What is done to a cell's text before IPython reads it."""

from __future__ import annotations

from nsmagic.notebook.request import READERS
from nsmagic.wish.cgroup import heads_a_cell


def empty_body(lines: list[str]) -> list[str]:
    """Turn `%%unshare ARGS` with nothing below it into `%unshare ARGS`.

    IPython itself refuses a cell magic with an empty body.
    """
    text = "".join(lines).strip()
    name = text[2:].split(None, 1)[:1]
    if text.startswith("%%") and "\n" not in text and name and name[0] in READERS:
        return [text[1:] + "\n"]
    return lines


def cgroup_head(lines: list[str]) -> list[str]:
    """Turn a first line `%cgroup LIMITS` with code below it into `%%cgroup LIMITS`.

    Also the lines `%cgroup LIMITS` that follow it, so that they stack.  Blank lines and comments
    above become blank lines below the first: a cell magic must stand first, and the numbers of the
    lines with code stay what they are.
    """
    text = "".join(lines).splitlines(keepends=True)
    code = [number for number, line in enumerate(text) if _is_code(line)]
    heads = 0
    while heads < len(code) and _limits(text[code[heads]]) is not None:
        heads += 1
    if heads == 0 or heads == len(code):
        return lines
    for number in code[:heads]:
        text[number] = f"%%cgroup {_limits(text[number])}\n"
    first, end = code[0], code[heads - 1] + 1
    if text[code[heads]].startswith("%%"):  # the stack goes on, which a comment would end
        end = code[heads]
    between = [line if _is_code(line) else "\n" for line in text[first + 1 : end]]
    return [text[first], *["\n"] * first, *between, *text[end:]]


def _is_code(line: str) -> bool:
    stripped = line.strip()
    return bool(stripped) and not stripped.startswith("#")


def _limits(line: str) -> str | None:
    """Return the arguments of `%cgroup LIMITS`, None for any other line."""
    name, _, rest = line.strip().partition(" ")
    return rest.strip() if name == "%cgroup" and heads_a_cell(rest) else None
