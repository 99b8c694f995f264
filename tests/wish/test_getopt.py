"""The parser on small tables of its own; the programs' tables are tested in test_options.py."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Argument, Option, Table, scan, split_line
from nsmagic.wish.values import DIRECTORY


def row(
    name: str, short: str | None = None, argument: Argument = Argument.NONE, *, ends: bool = False
) -> Option:
    kind = None if argument is Argument.NONE else DIRECTORY
    return Option(
        name=name, short=short, argument=argument, kind=kind, ends=ends, help="", group="", field=""
    )


TABLE = Table(
    program="tool",
    summary="",
    options=(
        row("all", "a"),
        row("alter", "A", Argument.REQUIRED),
        row("mount", "m", Argument.OPTIONAL),
        row("mount-proc", argument=Argument.OPTIONAL),
        row("root", "r", Argument.REQUIRED),
        row("time", "t"),
        row("help", "h", ends=True),
    ),
    extra=(row("timeout"), row("route"), row("rot"), row("explain"), row("export")),
)


def spelled(*words: str) -> list[tuple[str, str | None]]:
    return [(found.option.name, found.text) for found in scan(TABLE, words).given]


@pytest.mark.parametrize(
    ("words", "expected", "rest"),
    [
        ("", [], ""),
        ("-a prog", [("all", None)], "prog"),
        ("-at prog -m", [("all", None), ("time", None)], "prog -m"),
        ("-r/srv prog", [("root", "/srv")], "prog"),
        ("-r /srv prog", [("root", "/srv")], "prog"),
        ("-ar /srv prog", [("all", None), ("root", "/srv")], "prog"),
        ("-ra prog", [("root", "a")], "prog"),
        ("-r=x prog", [("root", "=x")], "prog"),
        ("-r -a prog", [("root", "-a")], "prog"),
        ("-r -- prog", [("root", "--")], "prog"),
        ("--root -- prog", [("root", "--")], "prog"),
        ("--root=a=b prog", [("root", "a=b")], "prog"),
        ("--root= prog", [("root", "")], "prog"),
        ("-m/file prog", [("mount", "/file")], "prog"),
        ("-m /file", [("mount", None)], "/file"),
        ("-am/file", [("all", None), ("mount", "/file")], ""),
        ("--mount /file", [("mount", None)], "/file"),
        ("--mount=/file", [("mount", "/file")], ""),
        ("--mount-p /bin/bash", [("mount-proc", None)], "/bin/bash"),
        ("-a -- -t prog", [("all", None)], "-t prog"),
        ("-- --", [], "--"),
        ("- -a", [], "- -a"),
        ("prog -a", [], "prog -a"),
        ("--all -h --bogus", [("all", None), ("help", None)], ""),
        ("-ahx", [("all", None), ("help", None)], ""),
    ],
)
def test_options_end_where_getopt_long_ends_them(
    words: str, expected: list[tuple[str, str | None]], rest: str
) -> None:
    found = scan(TABLE, words.split())
    assert [(each.option.name, each.text) for each in found.given] == expected
    assert found.rest == tuple(rest.split())
    assert found.problem is None


def test_empty_word_is_a_program_name() -> None:
    assert scan(TABLE, ["-a", "", "-t"]).rest == ("", "-t")


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("--mo=x", None),
        ("--mount", "mount"),
        ("--mount-", "mount-proc"),
        ("--time", "time"),
        ("--timeo", "timeout"),
        ("--ti", "time"),
        ("--ro=x", "root"),
        ("--rou", "route"),
        ("--rot", "rot"),
        ("--exp", None),
        ("--exa", None),
    ],
)
def test_abbreviations_mean_the_programs_option_first(word: str, name: str | None) -> None:
    assert [found for found, _ in spelled(word)] == ([] if name is None else [name])
    assert (scan(TABLE, [word]).problem is None) == (name is not None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--al"], "tool: --al is ambiguous: it could be --all, --alter"),
        (["--exp"], "tool: --exp is ambiguous: it could be --explain, --export"),
        (["--al=x"], "tool: --al is ambiguous: it could be --all, --alter"),
        (["--all=x"], "tool: --all takes no value, but '=x' was given"),
        (["--all="], "tool: --all takes no value, but '=' was given"),
        (["--muont"], "tool has no option --muont; the nearest is --mount"),
        (["--zzzz"], "tool has no option --zzzz"),
        (["-x"], "tool has no option -x"),
        (["-T"], "tool has no option -T; the nearest is --time"),
        (["-all"], "tool has no option -l (in -all); the nearest is --all"),
        (["-m", "-e"], "tool has no option -e; the nearest is --explain"),
        (["-a-"], "tool has no option -- (in -a-)"),
    ],
)
def test_bad_option_is_told_in_one_line(words: list[str], message: str) -> None:
    assert str(scan(TABLE, words).problem) == message


@pytest.mark.parametrize("words", ["-r", "-ar", "--root", "-a --roo"])
def test_option_without_its_value_is_left_pending(words: str) -> None:
    found = scan(TABLE, words.split())
    assert found.pending == TABLE.options[4]
    spelling = "--root" if "--" in words else "-r"
    example = f"for example --root={DIRECTORY.example}"
    assert str(found.problem) == f"tool: {spelling} needs a value, {example}"


def test_what_came_before_the_mistake_is_kept() -> None:
    assert spelled("-a", "--root", "x", "--bogus", "-t") == [("all", None), ("root", "x")]


def test_line_is_split_as_the_shell_quotes_and_nothing_is_expanded() -> None:
    line = """-r '/my dir' "$HOME/{x}" ~ *.py \\$a #tail"""
    assert split_line(line) == ("-r", "/my dir", "$HOME/{x}", "~", "*.py", "$a", "#tail")


@pytest.mark.parametrize("line", ["sh -c 'echo", 'sh -c "echo', "echo \\"])
def test_unfinished_quote_is_told_in_one_line(line: str) -> None:
    with pytest.raises(WishError, match=re.escape(line)) as caught:
        split_line(line)
    assert "\n" not in str(caught.value)


@given(st.lists(st.text(alphabet="-=amrtAhx/ \n\0é'", max_size=6), max_size=5))
def test_any_words_are_read_or_refused_with_one_line(words: list[str]) -> None:
    found = scan(TABLE, words)
    assert list(found.rest) == words[len(words) - len(found.rest) :]
    assert found.problem is None or str(found.problem).startswith("tool")
    assert found.problem is None or not found.rest
