"""What a table can tell a person: the help of `%%unshare?` and the completions of its line."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from nsmagic.wish.getopt import Argument, Option, Table, scan

_COLUMN, _WIDTH = 27, 100


@dataclass(frozen=True, kw_only=True)
class Completion:
    """A word that may stand where the cursor is, whole, and what it means."""

    text: str
    help: str


def help_text(table: Table) -> str:
    """Return the help of a program, laid out like what it prints itself for --help."""
    parts = [f"{table.program} [options] {table.operands}\n\n{table.summary}"]
    for group, rows in groupby(table.rows, key=lambda option: option.group):
        parts.append("\n".join((f"{group}:", *map(_help_line, rows))))
    return "\n\n".join(parts) + "\n"


def _help_line(option: Option) -> str:
    letter = f"-{option.short}, " if option.short else ""
    left = f" {letter}--{option.name}{_value_shown(option)}"
    head = left.ljust(_COLUMN) if len(left) < _COLUMN else f"{left}\n{' ' * _COLUMN}"
    return head + f"\n{' ' * _COLUMN}".join(textwrap.wrap(option.help, _WIDTH - _COLUMN))


def _value_shown(option: Option) -> str:
    if option.kind is None:
        return ""
    if option.argument is Argument.OPTIONAL:
        return f"[={option.kind.metavar}]"
    return f" {option.kind.metavar}"


def completions(table: Table, words_so_far: Sequence[str]) -> list[Completion]:
    """Return what may stand in place of the last word, which is "" where a new one begins.

    Nothing is offered once the program is named, nor on a line that is already wrong.
    """
    if not words_so_far:
        return completions(table, ("",))
    *before, current = words_so_far
    found = scan(table, before)
    if found.pending is not None:
        return _choices(found.pending, "", current)
    if not found.open:
        return []
    name, equals, value = current.partition("=")
    if equals:
        named = (option for option in table.rows if f"--{option.name}" == name)
        return [each for option in named for each in _choices(option, f"{name}=", value)]
    used = {given.option.name for given in found.given if not given.option.repeats}
    return [
        Completion(text=text, help=option.help)
        for option in table.rows
        if option.name not in used
        for text in _spellings(option)
        if text.startswith(current) and (current or text.startswith("--"))
    ]


def _choices(option: Option, prefix: str, start: str) -> list[Completion]:
    if option.kind is None:
        return []
    return [
        Completion(text=prefix + choice, help=option.help)
        for choice in option.kind.choices
        if choice.startswith(start)
    ]


def _spellings(option: Option) -> tuple[str, ...]:
    return (f"--{option.name}", f"-{option.short}") if option.short else (f"--{option.name}",)
