"""getopt_long(3) over tables: the lines of magics are read exactly as the programs read theirs.

argparse cannot do it: with an optional value, `--mount-proc /bin/bash` would swallow the program.
The mode is the one that "+" asks for, the first word that is no option ends the options, except in
a table that says otherwise.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from nsmagic.wish.errors import WishError
from nsmagic.wish.spelling import nearest
from nsmagic.wish.values import FILE, PROGRAM, Kind

Effect = Callable[[Mapping[str, Any], object], Mapping[str, Any]]


class Argument(Enum):
    """Whether an option takes a value; an optional one is attached (`--net=FILE`, `-n/file`)."""

    NONE = "no_argument"
    REQUIRED = "required_argument"
    OPTIONAL = "optional_argument"


@dataclass(frozen=True, kw_only=True)
class Option:
    """One row: how an option is spelled, what it may be given and which field it fills.

    The field gets the value read, or `bare` where none was written; `repeats` collects values in a
    tuple; `effect` replaces both: it is given the fields so far and the value (None where none was
    written) and returns the fields to set.  A row that only stands for others has "" as `field`.
    `short_argument` is for a letter that takes less than the long name does.  `ends` stops the
    reading, as --help does.  A `hidden` row is read, and neither completed nor shown in help.
    """

    name: str
    help: str
    group: str
    field: str
    short: str | None = None
    argument: Argument = Argument.NONE
    short_argument: Argument | None = None
    kind: Kind | None = None
    bare: object = True
    repeats: bool = False
    effect: Effect | None = None
    ends: bool = False
    hidden: bool = False

    @property
    def letter_takes(self) -> Argument:
        """Return what the short letter takes."""
        return self.argument if self.short_argument is None else self.short_argument


@dataclass(frozen=True, kw_only=True)
class Table:
    """The options of one program, and the `extra` ones (long names only) that the magic adds.

    Where an abbreviation fits an option of the program and an extra one, the program's is meant.
    `operands` is what help shows after the options.  With `permute` options may also follow
    operands, as in programs that do not ask getopt_long(3) for the "+" mode.  Words for which
    `among` holds may stand between options, as `mem=64M` does, and end nothing.  `takes` says what
    the operands are, the last of it again and again.  `example` is a cell that works anywhere.
    """

    program: str
    summary: str
    options: tuple[Option, ...]
    extra: tuple[Option, ...] = ()
    operands: str = "[<program> [<argument>...]]"
    permute: bool = False
    among: Callable[[str], bool] = lambda _: False
    takes: tuple[Kind, ...] = (PROGRAM, FILE)
    example: str = ""

    @property
    def rows(self) -> tuple[Option, ...]:
        """Return all rows, the program's first."""
        return self.options + self.extra


@dataclass(frozen=True, kw_only=True)
class Given:
    """An option found in a line: how it was spelled, and the text of its value if one was given."""

    option: Option
    spelling: str
    text: str | None = None


@dataclass(frozen=True, kw_only=True)
class Scan:
    """The options of a line in their order, the words `among` them, and the words after them.

    Where the line is wrong, `given` is what came before and `problem` says what is wrong.
    `pending` is the option whose value should have been the next word, where there is none.  `open`
    tells whether more options could follow.
    """

    given: tuple[Given, ...]
    among: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    problem: WishError | None = None
    pending: Option | None = None
    open: bool = False


def split_line(line: str) -> tuple[str, ...]:
    """Return the words of a line as sh(1) quotes them; nothing is expanded.  Raises WishError."""
    if "\0" in line:
        raise WishError(f"a NUL byte ends every text in Linux and cannot be in a line: {line}")
    refuse_halves(line, "the line")
    _refuse_unnameable(line)
    try:
        return tuple(shlex.split(line))
    except ValueError as problem:
        reason = {
            "No closing quotation": "a quote is opened and never closed",
            "No escaped character": "the line ends in a lone backslash",
        }.get(str(problem), str(problem))
        raise WishError(f"{reason}: {line.strip()}") from None


def refuse_halves(text: str, what: str) -> None:
    """WishError where half of a surrogate pair stands in text that Linux is to have as UTF-8.

    Bytes that are no UTF-8 at all, as Python reads them (PEP 383), may be there.
    """
    try:
        text.encode(errors="surrogateescape")
    except UnicodeEncodeError as problem:
        half = text[problem.start]
        raise WishError(f"{what} has half of a character, {half}, which no file can hold") from None


def _refuse_unnameable(line: str) -> None:
    """WishError where Python cannot give the line to Linux, as with PYTHONUTF8=0 LC_ALL=C."""
    try:
        os.fsencode(line)
    except UnicodeEncodeError as problem:
        raise WishError(
            f"the line has {line[problem.start]}, and Python was told that Linux's names and "
            f"arguments are {problem.encoding} here",
            hint="Start Jupyter with PYTHONUTF8=1 or LC_ALL=C.UTF-8.",
        ) from None


def scan(table: Table, words: Sequence[str]) -> Scan:
    """Find the options in `words`, up to the first word that is none unless the table permutes.

    It does not raise, because the program complains about a bad value before it sees what is wrong
    further on: `nsmagic.wish.ours.parse` reads the values and then raises `problem`.
    """
    among: list[str] = []
    return replace(_scan(table, words, among), among=tuple(among))


def _scan(table: Table, words: Sequence[str], among: list[str]) -> Scan:
    given: list[Given] = []
    operands: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            return Scan(given=tuple(given), rest=(*operands, *left))
        if table.among(word):
            among.append(word)
            continue
        if not word.startswith("-") or word == "-":
            operands.append(word)
            if table.permute:
                continue
            return Scan(given=tuple(given), rest=(*operands, *left))
        try:
            found = [_long(table, word)] if word.startswith("--") else _bundle(table, word)
        except WishError as problem:
            return Scan(given=tuple(given), problem=problem)
        last = found[-1]
        if _needs_next(last):
            if not left:
                return Scan(
                    given=(*given, *found[:-1]), problem=_valueless(table, last),
                    pending=last.option,
                )  # fmt: skip
            found[-1] = replace(last, text=left.pop(0))
        given.extend(found)
        if found[-1].option.ends:
            return Scan(given=tuple(given))
    return Scan(given=tuple(given), rest=tuple(operands), open=True)


def _needs_next(found: Given) -> bool:
    option, is_long = found.option, found.spelling.startswith("--")
    takes = option.argument if is_long else option.letter_takes
    return takes is Argument.REQUIRED and found.text is None


def _valueless(table: Table, given: Given) -> WishError:
    kind = given.option.kind
    example = f", for example --{given.option.name}={kind.example}" if kind else ""
    return WishError(f"{table.program}: {given.spelling} needs a value{example}")


def _long(table: Table, word: str) -> Given:
    name, equals, text = word[2:].partition("=")
    option = _match(table, name)
    spelling = f"--{option.name}"
    if equals and option.argument is Argument.NONE:
        raise WishError(f"{table.program}: {spelling} takes no value, but '={text}' was given")
    return Given(option=option, spelling=spelling, text=text if equals else None)


def _match(table: Table, name: str) -> Option:
    for option in table.rows:
        if option.name == name:
            return option
    for rows in (table.options, table.extra):
        near = [option for option in rows if option.name.startswith(name)]
        if len(near) == 1:
            return near[0]
        if near:
            fits = ", ".join(f"--{each.name}" for each in table.rows if each.name.startswith(name))
            raise WishError(f"{table.program}: --{name} is ambiguous: it could be {fits}")
    raise _unknown(table, f"--{name}", nearest(name, [option.name for option in table.rows]))


def _bundle(table: Table, word: str) -> list[Given]:
    found: list[Given] = []
    for place, letter in enumerate(word[1:], start=2):
        option = next((each for each in table.rows if each.short == letter), None)
        if option is None:
            raise _unknown(table, f"-{letter}", _meant(table, word, letter), word)
        tail = word[place:]
        if option.letter_takes is Argument.NONE or not tail:
            found.append(Given(option=option, spelling=f"-{letter}"))
        else:
            found.append(Given(option=option, spelling=f"-{letter}", text=tail))
            break
        if option.ends:
            break
    return found


def _meant(table: Table, word: str, letter: str) -> str | None:
    """Guess the long name behind an unknown letter: `-net`, `-t` for -T, `-k` for --kill-child."""
    names = [option.name for option in table.rows]
    if word[1:] in names:
        return word[1:]
    for option in table.rows:
        if option.short == letter.swapcase():
            return option.name
    return next((name for name in names if name.startswith(letter)), None)


def _unknown(table: Table, spelling: str, guess: str | None, word: str = "") -> WishError:
    inside = f" (in {word})" if word not in ("", spelling) else ""
    near = f"; the nearest is --{guess}" if guess else ""
    return WishError(
        f"{table.program} has no option {spelling}{inside}{near}", hint="--help lists the options"
    )
