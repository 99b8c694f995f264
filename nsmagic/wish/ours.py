"""The options that every isolated-cell magic adds to its program's; `parse` reads both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from nsmagic.wish import panels, values
from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Argument, Given, Option, Table, scan
from nsmagic.wish.values import Kind, Names


@dataclass(frozen=True, kw_only=True)
class Ours:
    """How a cell is to be run, apart from its isolation.  `timeout` is in seconds.

    `returns` names the variables that come back, with `allow_pickle` also as pickles that can run
    code here; `out`, `err` and `proc` those that are assigned;
    `plot` names the panels of a graph; `help` and `version` are set where the line asks for them.
    """

    name: str | None = None
    replace: bool = False
    bg: bool = False
    timeout: float | None = None
    init: bool = False
    returns: tuple[str, ...] = ()
    allow_pickle: bool = False
    out: str | None = None
    err: str | None = None
    proc: str | None = None
    raise_error: bool = True
    tty: bool = False
    plot: tuple[str, ...] = ()
    explain: bool = False
    dry_run: bool = False
    fresh: bool = False
    strict: bool = False
    help: bool = False
    version: bool = False

    @property
    def given(self) -> list[str]:
        """The fields that the line set."""
        return [row.name for row in fields(self) if getattr(self, row.name) != row.default]


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """A line that was understood: fields of the program's wish, our own, and the program to run.

    `among` holds the words that stood between options, see `getopt.Table`.
    """

    values: Mapping[str, Any]
    ours: Ours
    program: tuple[str, ...]
    among: tuple[str, ...] = ()


_GROUP = "Of nsmagic"


def _flag(name: str, text: str, *, field: str = "", bare: object = True) -> Option:
    return Option(name=name, help=text, group=_GROUP, field=field or name, bare=bare)


def _value(name: str, kind: Kind, text: str, *, field: str = "", repeats: bool = False) -> Option:
    return Option(
        name=name, help=text, group=_GROUP, field=field or name, kind=kind,
        argument=Argument.REQUIRED, repeats=repeats,
    )  # fmt: skip


OURS: tuple[Option, ...] = (
    _value("name", values.BOX, "keep the sandbox as a box called <name>; with no body and no"
           " program it is only made"),
    _flag("replace", "remove a box of that name first"),
    _flag("bg", "run in the background and return a job"),
    _value("timeout", values.DURATION, "stop the cell after <seconds>"),
    _flag("init", "run our init as PID 1 and the cell as PID 2"),
    _value("return", values.VARIABLES, "bring these variables back to the notebook",
           field="returns", repeats=True),
    _flag("allow-pickle", "let --return bring any object: unpickling it may run code of the cell",
          field="allow_pickle"),
    _value("out", values.VARIABLE, "store standard output in <variable>"),
    _value("err", values.VARIABLE, "store standard error in <variable>"),
    _value("proc", values.VARIABLE, "store the job or process in <variable>"),
    _flag("no-raise-error", "let the cell pass when its program fails",
          field="raise_error", bare=False),
    _flag("tty", "give the program a terminal"),
    Option(name="plot", group=_GROUP, field="plot", kind=panels.PANELS, argument=Argument.OPTIONAL,
           bare=panels.USUAL, help="draw live what the cell's cgroup uses, above its output"),
    _flag("explain", "print each step as command and system call, then run"),
    _flag("dry-run", "print each step and run nothing", field="dry_run"),
    _flag("fresh", "use a clean interpreter, without the notebook's variables"),
    _flag("strict", "imply nothing that the program itself does not"),
)  # fmt: skip


_SPELLINGS: Final = {option.field: f"--{option.name}" for option in OURS}


def spelling(field: str) -> str:
    """Return how the option is typed that sets this field of `Ours`."""
    return _SPELLINGS.get(field, f"--{field}")  # each program has its own row for --help


def asks(name: str, short: str | None, text: str) -> Option:
    """Return the row of an option such as --help, which ends the reading of the line."""
    return Option(name=name, short=short, help=text, group="Help", field=name, ends=True)


def parse(table: Table, words: Sequence[str], names: Names) -> Parsed:
    """Read `words` by `table`; raises WishError with one line that says what was expected."""
    found = scan(table, words)
    theirs: dict[str, Any] = {}
    ours: dict[str, Any] = {}
    for given in found.given:
        mine = given.option.ends or given.option in table.extra
        _apply(given, _read(table, given, names), ours if mine else theirs)
    if found.problem is not None:
        raise found.problem
    _refuse_typography(table, found.rest)
    return Parsed(values=theirs, ours=Ours(**ours), program=found.rest, among=found.among)


def _refuse_typography(table: Table, rest: Sequence[str]) -> None:
    """Say what is wrong with a dash from a web page, and with a comment, before it is a program."""
    first = rest[0] if rest else ""
    if first[:1] in ("–", "—", "−"):
        meant = first.lstrip("–—−-")
        dashes = "--" if len(meant) > 1 else "-"
        raise WishError(
            f"{table.program}: {first} begins with a typographic dash, as web pages make them of -",
            hint=f"Type {dashes}{meant}",
        )
    if first[:1] == "#":
        raise WishError(
            f"{table.program}: the line of a magic takes no comment: {' '.join(rest)}",
            hint="Put it on a line of its own, in the body.",
        )


def _apply(given: Given, value: object, found: dict[str, Any]) -> None:
    option = given.option
    if option.effect is not None:
        found.update(option.effect(found, value))
    elif option.repeats:
        added = value if isinstance(value, tuple) else (value,)
        found[option.field] = found.get(option.field, ()) + added
    else:
        found[option.field] = option.bare if value is None else value


def _read(table: Table, given: Given, names: Names) -> object:
    """Return the value that was written, None where none was."""
    kind = given.option.kind
    if kind is None or given.text is None:
        return None
    try:
        return kind.read(given.text, names)
    except ValueError as problem:
        raise WishError(
            f"{table.program} {given.spelling}: {given.text!r} {problem}; "
            f"for example --{given.option.name}={kind.example}"
        ) from None
