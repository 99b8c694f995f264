"""Lines of %lsns and %nsdiff."""

from __future__ import annotations

import re

import pytest

from nsmagic.linux.ids import SystemNames
from nsmagic.wish.complete import completions
from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Argument, Option, Table, scan
from nsmagic.wish.lsns import COLUMN_NAMES, LSNS, LsnsWish, read_lsns
from nsmagic.wish.nsdiff import NSDIFF, NsdiffWish, read_nsdiff
from nsmagic.wish.unshare import read_unshare
from nsmagic.wish.usage import help_text
from nsmagic.wish.values import FILE

NAMES = SystemNames()
USUAL = ("NS", "TYPE", "NPROCS", "PID", "BOX", "USER", "COMMAND")
PLAIN = ("NS", "TYPE", "NPROCS", "PID", "USER", "COMMAND")  # of lsns(8) itself


def read(line: str) -> LsnsWish:
    return read_lsns(line, NAMES)


def row(name: str, short: str, argument: Argument = Argument.NONE, *, ends: bool = False) -> Option:
    kind = None if argument is Argument.NONE else FILE
    return Option(name=name, short=short, help="", group="", field=name, argument=argument,
                  kind=kind, ends=ends)  # fmt: skip


PERMUTING = Table(
    program="tool", summary="", permute=True,
    options=(
        row("all", "a"), row("root", "r", Argument.REQUIRED), row("tree", "t", Argument.OPTIONAL),
        row("help", "h", ends=True),
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("line", "given", "rest"),
    [
        ("one -a two", ["all"], "one two"),
        ("one -r two three --all", ["root", "all"], "one three"),
        ("-t one", ["tree"], "one"),
        ("one -- -a two", [], "one -a two"),
        ("- -a", ["all"], "-"),
        ("one -h -a", ["help"], ""),
        ("", [], ""),
    ],
)
def test_permuting(line: str, given: list[str], rest: str) -> None:
    found = scan(PERMUTING, line.split())
    assert [each.option.name for each in found.given] == given
    assert found.rest == tuple(rest.split())
    assert found.problem is None


def test_permuting_finds_what_is_wrong_behind_operands() -> None:
    assert "has no option -x" in str(scan(PERMUTING, ["one", "-x"]).problem)
    assert scan(PERMUTING, ["one", "-r"]).pending is PERMUTING.options[1]


def test_other_tables_do_not_permute() -> None:
    assert read_unshare("--net ls -r", NAMES)[2] == ("ls", "-r")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", {}),
        ("-t net -t pid", {"types": frozenset({"net", "pid"}),
                           "columns": (*USUAL[:6], "NETNSID", "NSFS", "COMMAND")}),
        ("-p 12", {"task": "12"}),
        ("12", {"task": "12"}),
        ("web -u", {"task": "web", "notruncate": True}),
        ("4194304", {"task": "4194304"}),
        ("-T", {"tree": "owner"}),
        ("-Tparent", {"tree": "parent"}),
        ("-T=parent", {"tree": "parent"}),
        ("--tree=process", {"tree": "process"}),
        ("-l", {"tree": None}),
        ("-J", {"json": True, "columns": PLAIN}),
        ("-rn", {"raw": True, "noheadings": True, "columns": PLAIN}),
        ("-o ns,Type", {"columns": ("NS", "TYPE")}),
        ("-o +path", {"columns": (*USUAL, "PATH")}),
        ("-o NS -o +PNS", {"columns": (*USUAL, "PNS")}),  # the last one is meant
        ("--output-all", {"columns": COLUMN_NAMES, "tree": None}),
        ("--output-all -o NS", {"columns": ("NS",), "tree": None}),
        ("-P", {"persistent": True}),
        ("-W", {"nowrap": True}),
        ("4026531836", {"inode": 4026531836, "columns": ("PID", "PPID", "USER", "COMMAND")}),
        ("-l 4026531836", {"inode": 4026531836, "columns": ("PID", "PPID", "USER", "COMMAND"),
                           "tree": None}),
        ("/proc/1/ns/net", {"file": "/proc/1/ns/net",
                            "columns": ("PID", "PPID", "USER", "COMMAND")}),
    ],
)  # fmt: skip
def test_lsns_line(line: str, expected: dict[str, object]) -> None:
    assert read(line) == LsnsWish(**{"tree": "process", "columns": USUAL} | expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-t nte", r"lsns -t: 'nte' is not a type of namespace \(nearest: net\)"),
        ("-t mount", r"\(nearest: mnt\)"),
        ("-t zzz", "is not a type of namespace, one of mnt, uts"),
        ("-t ''", "'' is not a type of namespace"),
        ("-T=parrent", r"is not a kind of tree \(nearest: parent\)"),
        ("-o NS,COMAND", r"names a column COMAND that does not exist \(nearest: COMMAND\)"),
        ("-o NS,", "names a column  that does not exist, one of NS"),
        ("-J -r", "--json and --raw exclude each other"),
        ("-P -p 1", "--persistent and --task exclude each other"),
        ("-l -T", "--list and --tree exclude each other"),
        ("-p 1 2", "--task excludes a namespace, process or file"),
        ("1 2", "one namespace, process or file at a time, not 1 2"),
        ("-Q 'NPROCS > 1'", "--filter is not here, because the result is an object"),
        ("--net", "lsns has no option --net"),
        ("-p", r"lsns: -p needs a value, for example --task=self"),
        ("-p ''", "'' is empty"),
    ],
)
def test_lsns_refusals(line: str, message: str) -> None:
    with pytest.raises(WishError, match=message) as caught:
        read(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["-h", "--help", "-V", "1 --version"])
def test_lsns_help_needs_no_more(line: str) -> None:
    assert read(line).help


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1 web", NsdiffWish(whom=("1", "web"))),
        ("web", NsdiffWish(whom=("self", "web"))),
        ("1 2 host", NsdiffWish(whom=("1", "2", "host"))),
        ("--last", NsdiffWish(last=True)),
        ("-h", NsdiffWish(help=True)),
    ],
)
def test_nsdiff_line(line: str, expected: NsdiffWish) -> None:
    assert read_nsdiff(line, NAMES) == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "whom shall I compare"),
        ("--last 1", "--last compares the last cell with this notebook"),
        ("--lats", r"nsdiff has no option --lats; the nearest is --last"),
    ],
)
def test_nsdiff_refusals(line: str, message: str) -> None:
    with pytest.raises(WishError, match=message):
        read_nsdiff(line, NAMES)


@pytest.mark.parametrize("table", [LSNS, NSDIFF])
def test_help_tells_all_options_and_operands(table: Table) -> None:
    text = help_text(table)
    assert text.startswith(f"{table.program} [options] {table.operands}\n")
    assert set(re.findall(r"--([a-z-]+)", text)) >= {
        row.name for row in table.rows if not row.hidden
    }
    assert max(map(len, text.splitlines())) <= 100


def test_completion_goes_on_after_an_operand() -> None:
    assert "net" in [each.text for each in completions(LSNS, ["12", "-t", "n"])]
    assert "--last" in [each.text for each in completions(NSDIFF, [""])]
