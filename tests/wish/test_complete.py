"""Completion, as a property over all tables: what is offered is understood, and all of it is."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsmagic.linux.ids import SystemNames
from nsmagic.notebook.catalogue import BY_NAME, CATALOGUE, Entry
from nsmagic.wish.complete import completions
from nsmagic.wish.getopt import scan
from nsmagic.wish.limits import LIMITS
from nsmagic.wish.lines import take_apart
from nsmagic.wish.ours import parse
from nsmagic.wish.values import Kind

NAMES = SystemNames()
VALUES = {
    "uid": "5", "gid": "5", "user": "root", "group": "root", "userspec": "root:root",
    "file": "a b", "directory": "dir/", "program": "bash", "environment": "HOME",
    "variable": "name", "subject": "self", "target": "web", "box": "web", "cgroup": "web",
    "lab": "01-processes", "exercise": "family", "question": "fork-list", "running": "web",
}  # fmt: skip


def source(kind: Kind, start: str) -> Iterator[tuple[str, str]]:
    """A machine on which there is one of each."""
    if kind.source and VALUES[kind.source].startswith(start):
        yield VALUES[kind.source], "the one"


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_every_option_is_offered_and_explained(entry: Entry) -> None:
    table = entry.table
    offered = {each.text: each.help for each in completions(table, ["--"], source)}
    assert set(offered) == {f"--{row.name}" for row in table.rows if not row.hidden}
    assert all(offered.values())
    letters = {each.text for each in completions(table, ["-"], source)} - set(offered)
    assert letters == {f"-{row.short}" for row in table.rows if row.short and not row.hidden}
    for row in table.rows:
        if row.kind is not None and not row.hidden:
            values = completions(table, [f"--{row.name}="], source)
            assert values, row.name
            for each in values:
                row.kind.read(each.text.partition("=")[2], NAMES)


@pytest.mark.parametrize("name", [entry.name for entry in CATALOGUE])
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_nothing_is_offered_that_the_parser_refuses(name: str, data: st.DataObject) -> None:
    """Walk: take one of the words that are offered, and again; the line is always understood."""
    entry = BY_NAME[name]
    words: list[str] = []
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.sampled_from(["", "-", "--", "--n", "--m", "-f", "c", "m"]))
        offered = [each.text for each in entry.complete([*words, start], source, cell=True)]
        if not offered:
            continue
        word = data.draw(st.sampled_from(sorted(offered)))
        assert word.startswith(start)
        line = [*words, word]
        found = scan(entry.table, line)
        if word.endswith("=") and not word.startswith("-"):  # a limit whose value is to come
            continue
        if found.pending is None:
            assert found.problem is None, line
            parse(entry.table, line, NAMES)
        words.append(word)


def test_each_magic_stands_in_the_list_once() -> None:
    assert len(BY_NAME) == len(CATALOGUE)


def test_a_line_that_is_wrong_or_over_is_not_completed() -> None:
    table = BY_NAME["unshare"].table
    for words in (["--bogus", ""], ["-q", "--"], ["--help", "--"], ["bash", "--"]):
        assert completions(table, words, source) == []
    assert [each.text for each in completions(table, ["bash", ""], source)] == ["a b"]


def test_operands_are_of_the_kind_that_the_program_takes() -> None:
    chroot = BY_NAME["chroot"].table
    assert completions(chroot, [""], source)[0].text == "dir/"
    assert [each.text for each in completions(chroot, ["root", "b"], source)] == ["bash"]
    assert [each.text for each in completions(chroot, ["root", "sh", ""], source)] == ["a b"]
    assert [each.text for each in completions(BY_NAME["nsmap"].table, ["x"], source)] == []


def test_lists_are_completed_at_their_end() -> None:
    lsns = BY_NAME["lsns"].table
    (found,) = completions(lsns, ["-o", "+NS,NPR"], source)
    assert (found.text, found.kept) == ("+NS,NPROCS", 4)
    texts = [each.text for each in completions(lsns, ["--output=NS,"], source)]
    assert "--output=NS,PID" in texts
    assert "--output=NS,NS" not in texts


def test_limits_and_verbs() -> None:
    cgroup = BY_NAME["cgroup"]

    def offered(*words: str, cell: bool = False) -> list[str]:
        return [each.text for each in cgroup.complete(words, source, cell=cell)]

    assert {f"{row.key}=" for row in LIMITS if "." not in row.key} <= set(offered("", cell=True))
    assert "freeze" in offered("fr")
    assert "freeze" not in offered("fr", cell=True)
    assert offered("mem=", cell=True) == ["mem=64M", "mem=max"]
    assert "memory.limit_in_bytes=" in offered("memory.", cell=True)
    assert offered("freeze", "w") == ["web"]
    assert "pids=" in offered("set", "web", "p")
    assert {"pids", "pids.current"} <= set(offered("show", "web", "p"))
    assert "pids" not in offered("show", "web", "pids", "p")
    assert offered("tree", "") == []


def test_what_a_verb_of_lab_is_about() -> None:
    lab = BY_NAME["lab"]

    def offered(*words: str, cell: bool = False) -> list[str]:
        return [each.text for each in lab.complete(words, source, cell=cell)]

    assert offered("s") == ["start", "solution"]
    assert offered("--strict", "ch") == ["check"]
    assert offered("start", "0") == offered("start", "01") == ["01-processes"]
    for verb in ("check", "hint", "solution"):
        assert offered(verb, "f") == ["family"]
    assert offered("predict", "f") == ["fork-list"]
    assert offered("check", "family", "o") == ["on"]
    assert offered("check", "family", "on", "w") == ["web"]
    assert offered("guard", "f") == offered("hint", "family", "f") == []
    assert offered("solution", "--a") == ["--all"]
    assert offered("s", cell=True) == []


@pytest.mark.parametrize(
    ("text", "words", "word"),
    [
        ("", (), ""),
        ("--pid ", ("--pid",), ""),
        ("-p --ro", ("-p",), "--ro"),
        ("--root 'a b", ("--root",), "a b"),
        ('--root="a b/c', (), "--root=a b/c"),
        (r"--root a\ b", ("--root",), "a b"),
        ("'a b' c", ("a b",), "c"),
        ("a''b '' x", ("ab", "", "x"), "x"),
    ],
)
def test_a_line_is_taken_apart(text: str, words: tuple[str, ...], word: str) -> None:
    begun = take_apart(text)
    assert (begun.words, begun.word) == (words if word != "x" else words[:2], word)
    assert text.endswith(begun.raw)


@given(st.text("ab /'\"\\ \t", min_size=1).map(lambda text: text.strip() or "a"), st.data())
def test_what_is_written_is_read_as_meant(text: str, data: st.DataObject) -> None:
    typed = data.draw(st.sampled_from([text[:1], shlex.quote(text)[:1], text[:2]]))
    begun = take_apart(typed)
    written, gone = begun.written(text, 0)
    assert typed.endswith(gone)
    line = typed[: len(typed) - len(gone)] + written
    if begun.words or (line[:1] in "\"'" and text.endswith("/")):
        return  # several words already; an open quote, for what follows the directory
    assert shlex.split(line) == [text]
