"""What may stand at the cursor of a magic's line, from the magic's table and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from nsmagic.wish.getopt import Argument, Option, Scan, Table, scan
from nsmagic.wish.values import Kind


@dataclass(frozen=True, kw_only=True)
class Completion:
    """A word that may stand where the cursor is, whole, and what it means.

    The first `kept` characters are those that stand there already: `--root=`, or a list so far.
    """

    text: str
    help: str
    kept: int = 0


# Looks up values that only this machine or notebook knows: the kind and the text so far -> values
# that begin with it, and what each is.
Source = Callable[[Kind, str], Iterator[tuple[str, str]]]


def no_source(_kind: Kind, _start: str) -> Iterator[tuple[str, str]]:
    """Know nothing: only the choices of the table are offered."""
    return iter(())


def completions(
    table: Table, words_so_far: Sequence[str], source: Source = no_source
) -> list[Completion]:
    """Return what may stand in place of the last word, which is "" where a new one begins.

    Nothing is offered that the parser would refuse, nor on a line that is already wrong.
    """
    *before, current = words_so_far or ("",)
    found = scan(table, before)
    if found.pending is not None and found.pending.kind is not None:
        return list(_values(found.pending.kind, found.pending.help, current, "", source))
    if found.problem is not None or (found.given and found.given[-1].option.ends):
        return []
    offered: list[Completion] = []
    if not found.open or not current.startswith("-"):
        offered += _operands(table, found, current, source)
    if found.open:
        offered += _options(table, found, current, source)
    return offered


def _operands(table: Table, found: Scan, current: str, source: Source) -> Iterator[Completion]:
    if not table.takes:
        return
    kind = table.takes[min(len(found.rest), len(table.takes) - 1)]
    # A new word may be any program there is: only what was begun says which ones are meant.
    if current or kind.source != "program":
        yield from _values(kind, "", current, "", source)


def _options(table: Table, found: Scan, current: str, source: Source) -> Iterator[Completion]:
    used = {given.option.name for given in found.given if not given.option.repeats}
    left = [option for option in table.rows if option.name not in used and not option.hidden]
    name, equals, value = current.partition("=")
    if equals and name.startswith("--"):
        rows = [row for row in left if row.name == name[2:]]
        rows = rows or [row for row in left if row.name.startswith(name[2:])]
        if len(rows) == 1 and rows[0].kind is not None:
            yield from _values(rows[0].kind, rows[0].help, value, f"{name}=", source)
        return
    for option in left:
        if f"--{option.name}".startswith(current):
            yield Completion(text=f"--{option.name}", help=option.help)
    if current == "-":
        yield from (
            Completion(text=f"-{row.short}", help=row.help) for row in left if row.short is not None
        )
    elif current.startswith("-") and not current.startswith("--"):
        yield from _bundled(left, current, source)


def _bundled(left: list[Option], current: str, source: Source) -> Iterator[Completion]:
    """Yield what goes on after the letters in `current`: the word itself, a value, a letter."""
    letters = {option.short: option for option in left if option.short}
    for place, letter in enumerate(current[1:], start=2):
        option = letters.get(letter)
        if option is None:
            return
        if place == len(current):
            yield Completion(text=current, help=option.help)
        if option.letter_takes is not Argument.NONE and option.kind is not None:
            if place < len(current):
                yield from _values(
                    option.kind, option.help, current[place:], current[:place], source
                )
            return
        if option.ends:
            return
        if not option.repeats:
            del letters[letter]
    for letter, option in letters.items():
        if not option.ends:
            yield Completion(text=f"{current}{letter}", help=option.help)


def _values(
    kind: Kind, help_text: str, start: str, prefix: str, source: Source
) -> Iterator[Completion]:
    """Yield values that begin with `start`, behind `prefix`; of a list, its last part."""
    listed, comma, last = start.rpartition(kind.many) if kind.many else ("", "", start)
    if not comma and kind.many and last.startswith("+"):  # as in %lsns -o +PNS
        prefix, last = f"{prefix}+", last[1:]
    done = set(listed.split(kind.many)) if comma else set()
    kept = prefix + listed + comma
    meanings = kind.meanings or (help_text or kind.metavar,) * len(kind.choices)
    found = [pair for pair in zip(kind.choices, meanings, strict=True) if pair[0].startswith(last)]
    found += source(kind, last)
    if not found and not start and not kind.choices and not kind.source:
        found = [(kind.example, f"for example: {help_text}")]
    for value, what in found:
        if value not in done:
            yield Completion(text=kept + value, help=what, kept=len(kept))
