"""The table of lsns(8) and how a line of it is read.

As of util-linux 2.43-devel (lsns.c and lsns.8.adoc at 39465c780).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Argument, Option, Table, split_line
from nsmagic.wish.namespaces import BY_NAME, NAMESPACES
from nsmagic.wish.ours import asks, parse
from nsmagic.wish.spelling import nearest, or_nearest
from nsmagic.wish.values import Kind, Names

SELF, HOST = "self", "host"
_LARGEST_PID: Final = 1 << 22  # PID_MAX_LIMIT; inode numbers of namespaces begin far above it


@dataclass(frozen=True, kw_only=True)
class ListColumn:
    """A column: its name in the line and as title; `number` ones are numbers in JSON."""

    name: str
    help: str
    number: bool = False

    @property
    def field(self) -> str:
        """The name of the row's attribute."""
        return self.name.lower()


COLUMNS: tuple[ListColumn, ...] = (
    ListColumn(name="NS", help="namespace identifier (inode number)", number=True),
    ListColumn(name="TYPE", help="kind of namespace"),
    ListColumn(name="PATH", help="path to the namespace"),
    ListColumn(name="NPROCS", help="number of processes in the namespace", number=True),
    ListColumn(name="PID", help="lowest PID in the namespace", number=True),
    ListColumn(name="PPID", help="PPID of the PID", number=True),
    ListColumn(name="COMMAND", help="command line of the PID"),
    ListColumn(name="UID", help="UID of the PID, or of the creator of a user namespace without one",
               number=True),
    ListColumn(name="USER", help="username of the UID"),
    ListColumn(name="NETNSID", help="namespace ID as used by network subsystem"),
    ListColumn(name="NSFS", help="nsfs mountpoint (usually used network subsystem)"),
    ListColumn(name="PNS", help="parent namespace identifier (inode number)", number=True),
    ListColumn(name="ONS", help="owner namespace identifier (inode number)", number=True),
    ListColumn(name="BOX", help="boxes in the namespace; self is this notebook's kernel (ours)"),
    ListColumn(name="HELD", help="what keeps it alive besides its processes (ours)"),
)  # fmt: skip
COLUMN_NAMES: Final = tuple(column.name for column in COLUMNS)
COLUMN_BY_NAME: Final = {column.name: column for column in COLUMNS}


def _type(text: str, _: Names) -> str:
    if text in BY_NAME:
        return text
    spelled = {row.option: row.name for row in NAMESPACES} | {name: name for name in BY_NAME}
    guess = nearest(text, list(spelled))
    near = f" (nearest: {spelled[guess]})" if guess else f", one of {', '.join(BY_NAME)}"
    raise ValueError(f"is not a type of namespace{near}")


TREES: Final = ("process", "parent", "owner")


def _tree(text: str, _: Names) -> str:
    word = text.removeprefix("=")  # as in -T=parent
    if word in TREES:
        return word
    near = or_nearest(word, TREES, f", one of {', '.join(TREES)}")
    raise ValueError(f"is not a kind of tree{near}")


def _columns(text: str, _: Names) -> tuple[bool, tuple[str, ...]]:
    """Return whether the columns are added to the usual ones, and their names."""
    names = tuple(name.upper() for name in text.removeprefix("+").split(","))
    for name in names:
        if name not in COLUMN_NAMES:
            near = or_nearest(name, COLUMN_NAMES, f", one of {', '.join(COLUMN_NAMES)}")
            raise ValueError(f"names a column {name} that does not exist{near}")
    return text.startswith("+"), names


def _whom(text: str, _: Names) -> str:
    if not text:
        raise ValueError("is empty")
    return text


SUBJECTS: Final = ("the kernel of this notebook", "PID 1 of this machine")  # SELF, HOST
_TYPE = Kind(
    metavar="<name>",
    example="net",
    read=_type,
    choices=tuple(BY_NAME),
    meanings=tuple(row.isolates for row in NAMESPACES),
)
_TREE = Kind(metavar="<rel>", example="owner", read=_tree, choices=TREES)
_LIST = Kind(
    metavar="<list>",
    example="+PNS,ONS",
    read=_columns,
    choices=COLUMN_NAMES,
    meanings=tuple(column.help for column in COLUMNS),
    many=",",
)
_TASK = Kind(
    metavar="<pid>|<box>",
    example="self",
    read=_whom,
    choices=(SELF, HOST),
    meanings=SUBJECTS,
    source="subject",
)
_EXPRESSION = Kind(metavar="<expr>", example="NPROCS > 1", read=_whom)
_SHOW, _WHICH = "What is shown", "Which namespaces"


def _flag(name: str, short: str | None, group: str, text: str) -> Option:
    return Option(name=name, short=short, help=text, group=group, field=name.replace("-", "_"))


def _value(name: str, short: str, group: str, text: str, kind: Kind, field: str) -> Option:
    return Option(
        name=name, short=short, help=text, group=group, field=field, kind=kind,
        argument=Argument.REQUIRED, repeats=field == "types",
    )  # fmt: skip


LSNS = Table(
    program="lsns",
    summary="List the namespaces of this machine; the cell's value is the list.  With the number or"
    "\na file of a namespace: its processes.",
    operands="[<pid>|<box>|<namespace>|<file>]",
    permute=True,
    takes=(_TASK,),
    example="%lsns -p self",
    options=(
        _value("type", "t", _WHICH, "only this type; may be given more than once", _TYPE, "types"),
        _value("task", "p", _WHICH, "only those that this process is in", _TASK, "task"),
        _flag("persistent", "P", _WHICH, "only those without processes"),
        replace(_value("filter", "Q", _WHICH, "not here: use .where(...) of the result",
                       _EXPRESSION, "filter"), hidden=True),
        Option(name="tree", short="T", group=_SHOW, field="tree", kind=_TREE, bare="owner",
               argument=Argument.OPTIONAL,
               help="a tree of processes, parents or owners (owner if <rel> is left out)"),
        _flag("list", "l", _SHOW, "no tree"),
        _value("output", "o", _SHOW, "these columns, or with + the usual ones and these", _LIST,
               "output"),
        _flag("output-all", None, _SHOW, "all columns"),
        _flag("list-columns", "H", _SHOW, "the columns that there are"),
        _flag("json", "J", _SHOW, "JSON"),
        _flag("raw", "r", _SHOW, "plain words, one line each"),
        _flag("noheadings", "n", _SHOW, "no titles above the columns"),
        _flag("notruncate", "u", _SHOW, "long commands whole"),
        _flag("nowrap", "W", _SHOW, "several files of a namespace on one line"),
        asks("help", "h", "show this help"),
        asks("version", "V", "show the version"),
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LsnsWish:
    """A line of %lsns.  At most one of `task` (PID or name), `inode` and `file` is set.

    `types` is empty for all, `tree` None for a plain list.
    """

    types: frozenset[str] = frozenset()
    task: str | None = None
    inode: int | None = None
    file: str | None = None
    persistent: bool = False
    tree: str | None = None
    columns: tuple[str, ...] = ()
    list_columns: bool = False
    json: bool = False
    raw: bool = False
    noheadings: bool = False
    notruncate: bool = False
    nowrap: bool = False
    help: bool = False

    @property
    def processes(self) -> bool:
        """Whether the rows are processes of one namespace."""
        return self.inode is not None or self.file is not None


def read_lsns(line: str, names: Names) -> LsnsWish:
    """Read a line of %lsns; raises WishError."""
    parsed = parse(LSNS, split_line(line), names)
    given = dict(parsed.values)
    if parsed.ours.help or parsed.ours.version:
        return LsnsWish(help=True)
    if given.pop("filter", None) is not None:
        raise WishError(
            "lsns: --filter is not here, because the result is an object",
            hint='For example found = %lsns, and then found.where(type="net", user="root").',
        )
    _refuse_pairs(given)
    subject = _subject(parsed.program)
    if "task" in given and subject:
        raise WishError("lsns: --task excludes a namespace, process or file after the options")
    plain, output_all = given.pop("list", False), given.pop("output_all", False)
    extends, chosen = given.pop("output", (True, ()))
    types = frozenset(given.pop("types", ()))
    tree = given.pop("tree", None)
    by_process = "inode" in subject or "file" in subject
    if tree is None and not plain and (by_process or not output_all):
        tree = "process"
    tables = not given.get("json") and not given.get("raw")
    usual = COLUMN_NAMES if output_all else _usual(by_process, "net" in types, tables)
    return LsnsWish(
        types=types, tree=tree, columns=(*usual, *chosen) if extends else chosen, **subject, **given
    )


def _usual(by_process: bool, net: bool, table: bool) -> tuple[str, ...]:
    """Return the columns of lsns(8); for people, not for programs, also one of ours."""
    if by_process:
        return ("PID", "PPID", "USER", "COMMAND")
    box = ("BOX",) if table else ()
    more = ("NETNSID", "NSFS") if net else ()
    return ("NS", "TYPE", "NPROCS", "PID", *box, "USER", *more, "COMMAND")


def _refuse_pairs(given: dict[str, Any]) -> None:
    for one, other in (("json", "raw"), ("persistent", "task"), ("list", "tree")):
        if one in given and other in given:
            raise WishError(f"lsns: --{one} and --{other} exclude each other")


def _subject(words: Sequence[str]) -> dict[str, Any]:
    if len(words) > 1:
        raise WishError(f"lsns: one namespace, process or file at a time, not {' '.join(words)}")
    for word in words:
        if re.fullmatch(r"[0-9]{1,20}", word) and int(word) > _LARGEST_PID:
            return {"inode": int(word)}
        return {"file" if "/" in word else "task": word}
    return {}
