"""Lines of uid_map: against a model id by id, and against what the installed program writes."""

from __future__ import annotations

import itertools
import os
import re
import subprocess

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nsmagic.wish.errors import WishError
from nsmagic.wish.idmaps import Ids, Range, id_lines
from nsmagic.wish.isolation import IdMap, SubIds
from tests.support.skips import needs, probe, root_only

GRANTED = (Range(start=100_000, count=65_536), Range(start=300_000, count=10))
ROOT = Ids(kind="uid", own=0, granted=GRANTED, known=(Range(start=0, count=4_294_967_295),))
USER = Ids(kind="gid", own=1000, granted=GRANTED, known=(Range(start=1000, count=1),))


def text(wished: tuple[IdMap | SubIds, ...], ids: Ids, inner: int | None) -> str:
    return ", ".join(map(str, id_lines(wished, ids, inner)))


def sub(which: str) -> tuple[SubIds]:
    return (SubIds(which=which),)


def ranges(line: str) -> tuple[IdMap, ...]:
    parts = (map(int, word.split(":")) for word in line.split())
    return tuple(IdMap(inner=inner, outer=outer, count=count) for inner, outer, count in parts)


@pytest.mark.parametrize(
    ("wished", "ids", "inner", "lines"),
    [
        ((), USER, None, ""),
        ((), USER, 0, "0 1000 1"),
        (sub("auto"), USER, None, "0 100000 65536"),
        (sub("auto"), USER, 0, "0 1000 1, 1 100000 65536"),
        (sub("auto"), USER, 1000, "1000 1000 1, 0 100000 1000, 1001 101000 64536"),
        (sub("auto"), USER, 65_536, "65536 1000 1, 0 100000 65536"),
        (sub("subids"), USER, None, "100000 100000 65536"),
        (sub("subids"), USER, 0, "0 1000 1, 100000 100000 65536"),
        (sub("subids"), USER, 100_000, "100000 1000 1, 100001 100000 65535"),
        (sub("all"), ROOT, None, "0 0 4294967295"),
        (sub("all"), ROOT, 0, "0 0 1, 1 1 4294967294"),
        (sub("all"), USER, 0, "0 1000 1"),
        (sub("all"), USER, 1000, "1000 1000 1"),
        (ranges("0:1000:1"), USER, 0, "0 1000 1"),
        (ranges("0:0:10"), ROOT, 5, "5 0 1, 0 1 5, 6 6 4"),
        (ranges("0:1000:10"), ROOT, 10, "10 0 1, 0 1000 9"),  # one id less: as unshare.c has it
        (ranges("0:1000:10"), ROOT, 11, "11 0 1, 0 1000 10"),
        (ranges("5:500:2 0:0:1"), ROOT, None, "5 500 2, 0 0 1"),
        (ranges("0:0:0"), ROOT, None, "0 0 0"),
    ],
)
def test_the_lines(
    wished: tuple[IdMap | SubIds, ...], ids: Ids, inner: int | None, lines: str
) -> None:
    assert text(wished, ids, inner) == lines


@pytest.mark.parametrize("which", ["auto", "subids"])
@pytest.mark.parametrize(("kind", "option"), [("uid", "users"), ("gid", "groups")])
def test_without_a_grant_the_file_and_a_line_for_it_are_named(
    which: str, kind: str, option: str
) -> None:
    with pytest.raises(WishError, match=f"--map-{option}={which}.*/etc/sub{kind}$") as caught:
        id_lines(sub(which), Ids(kind=kind, own=1000), 0)
    assert f">> /etc/sub{kind}" in caught.value.hint


small = st.integers(min_value=0, max_value=12)
lines = st.builds(IdMap, inner=small, outer=small, count=st.integers(min_value=1, max_value=12))


def by_hand(line: IdMap, own: int, inner: int) -> list[tuple[int, int]]:
    """One id after the other, leaving out both ends of the pair that stands on its own."""
    inners = (each for each in itertools.count(line.inner) if each != inner)
    outers = (each for each in itertools.count(line.outer) if each != own)
    touched = 0 <= inner - line.inner <= line.count or 0 <= own - line.outer <= line.count
    return list(itertools.islice(zip(inners, outers, strict=True), line.count - touched))


def one_by_one(found: tuple[IdMap, ...]) -> list[tuple[int, int]]:
    return [(line.inner + i, line.outer + i) for line in found for i in range(line.count)]


@given(line=lines, own=small, inner=small)
def test_a_range_around_ones_own_id(line: IdMap, own: int, inner: int) -> None:
    found = id_lines((line,), Ids(kind="uid", own=own), inner)
    assert one_by_one(found) == [(inner, own), *by_hand(line, own, inner)]
    assert len(found) <= 4
    assert all(each.count > 0 for each in found)


@given(line=lines, own=small)
def test_a_range_alone_stays_as_it_is(line: IdMap, own: int) -> None:
    assert id_lines((line,), Ids(kind="uid", own=own), None) == (line,)


@probe
def the_program_writes_ranges() -> str | None:
    """Before 2.40 unshare(1) left them to newuidmap, which knows only subordinate ids."""
    version = subprocess.run(["unshare", "--version"], capture_output=True, text=True, check=True)
    major, minor = re.findall(r"[0-9]+", version.stdout)[:2]
    return None if (int(major), int(minor)) >= (2, 40) else "unshare here has no --map-users=all"


def written(words: list[str]) -> list[str]:
    """The lines of uid_map under unshare(1); none where Linux refused them."""
    done = subprocess.run(
        ["unshare", *words, "cat", "/proc/self/uid_map"], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    return [" ".join(line.split()) for line in done.stdout.splitlines()]


big = st.one_of(small, st.integers(min_value=0, max_value=70_000))
ranges_of_any_size = st.builds(
    IdMap, inner=big, outer=big, count=st.one_of(st.integers(1, 12), st.integers(1, 70_000))
)


@pytest.mark.linux
@root_only
@needs(the_program_writes_ranges)
@settings(max_examples=80, deadline=None)
@given(wished=st.lists(ranges_of_any_size, max_size=3), inner=st.one_of(st.none(), big))
def test_as_the_program_writes_them(wished: list[IdMap], inner: int | None) -> None:
    assume(wished)
    words = [f"--map-users={line.inner}:{line.outer}:{line.count}" for line in wished]
    words += [] if inner is None else [f"--map-user={inner}"]
    own = Ids(kind="uid", own=os.geteuid())
    if lines := written(words):
        assert [str(line) for line in id_lines(tuple(wished), own, inner)] == lines
