"""What a table can tell a person: the help of `%%unshare?`."""

from __future__ import annotations

import textwrap
from itertools import groupby

from nsmagic.wish.getopt import Argument, Option, Table, scan
from nsmagic.wish.lines import take_apart

_COLUMN, _WIDTH = 27, 100


def help_text(table: Table) -> str:
    """Return the help of a program, laid out like what it prints itself for --help."""
    parts = [f"{table.program} [options] {table.operands}\n\n{table.summary}"]
    if table.example:
        parts.append("For example:\n\n" + textwrap.indent(table.example, "    "))
    for group, rows in groupby(
        (row for row in table.rows if not row.hidden), key=lambda option: option.group
    ):
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


def help_at_word(table: Table, line: str) -> str:
    """Return the help of the option with which `line`, up to the cursor, ends; "" if of none.

    Also where the cursor is in the option's value.
    """
    begun = take_apart(line)
    found = scan(table, begun.words)
    option = found.pending
    if option is None and begun.word.startswith("-") and found.open:
        given = scan(table, (*begun.words, begun.word))
        last = [each.option for each in given.given[len(found.given) :]][-1:]
        option = given.pending or (last[0] if last else None)
    if option is None:
        return ""
    letter = f"-{option.short}, " if option.short else ""
    what = textwrap.fill(option.help, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    return f"{letter}--{option.name}{_value_shown(option)}\n{what}"
