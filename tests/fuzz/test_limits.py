"""Any value of any limit, in any spelling, is read or refused in one line, and reads back."""

from __future__ import annotations

import contextlib
from itertools import chain

from hypothesis import strategies as st

from nsmagic.wish.errors import WishError
from nsmagic.wish.limits import (
    BY_NAME,
    Limit,
    overridden,
    parse_limits,
    unite_limits,
    values_of,
    with_implied,
)
from nsmagic.wish.limits.names import group_name
from nsmagic.wish.limits.sizes import human_size
from tests.fuzz.hostile import hold, sizes, text
from tests.fuzz.lines import limit_word
from tests.fuzz.test_lines import one_line


def tell(limits: tuple[Limit, ...]) -> None:
    """Every limit has its files and texts in both versions, and reads back as it was."""
    others = values_of(limits)
    for limit in limits:
        assert limit.row is BY_NAME[limit.key]
        for version in (1, 2):
            for file, written in limit.writes(version, others):
                assert "\0" not in written
                assert file in limit.row.side(version).files  # type: ignore[union-attr]
            assert all(map(str, limit.spelled(version, others)))
        assert parse_limits(limit.words) == (limit,)


@sizes(15_000)
def test_limits(count: int) -> None:
    def check(words: list[str]) -> None:
        try:
            limits = parse_limits(words)
        except WishError as error:
            one_line(error)
            return
        tell(limits)
        tell(with_implied(limits))
        assert overridden(limits, limits) == unite_limits(limits, limits) == limits

    hold(count, st.lists(limit_word(), min_size=1, max_size=3), check)


@sizes(3_000)
def test_limits_of_a_stack(count: int) -> None:
    def check(pair: tuple[list[str], list[str]]) -> None:
        with contextlib.suppress(WishError):
            mine, theirs = map(parse_limits, pair)
            try:
                tell(unite_limits(mine, theirs))
            except WishError as error:
                one_line(error)
            keys = {limit.key for limit in chain(mine, theirs)}
            assert {limit.key for limit in overridden(mine, theirs)} == keys

    words = st.lists(limit_word(), max_size=2)
    hold(count, st.tuples(words, words), check)


@sizes(500)
def test_sizes_for_people(count: int) -> None:
    number = st.one_of(st.integers(0, 2**70), st.floats(0, 2.0**70))
    hold(count, number, lambda size: human_size(size).encode("ascii"))


@sizes(500)
def test_names_of_groups(count: int) -> None:
    """A group's directory is one below its place, whatever the name is."""

    def check(pair: tuple[int, str]) -> None:
        try:
            name = group_name(*pair)
        except WishError as error:
            one_line(error)
        else:
            assert name.startswith("nsmagic-")
            assert "/" not in name
            assert "\0" not in name

    hold(count, st.tuples(st.integers(1, 2**22), text), check)
