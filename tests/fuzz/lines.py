"""Lines of every magic, made of its own table: right ones, nearly right ones and hostile ones.

A magic that is added to the catalogue is fuzzed from then on.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import cache
from typing import Final

from hypothesis import strategies as st

from nsmagic.notebook.catalogue import BY_NAME, CATALOGUE
from nsmagic.notebook.request import READERS
from nsmagic.wish import cgroup, nsmagic
from nsmagic.wish.getopt import Argument, Option
from nsmagic.wish.limits import LIMITS
from nsmagic.wish.values import Kind
from tests.fuzz.hostile import text

NAMES: Final = tuple(entry.name for entry in CATALOGUE)
STACKED: Final = tuple(READERS)
LIMIT_NAMES: Final = tuple(sorted({name for row in LIMITS for name in row.names}))
# Words that a table does not list: its magic looks for them itself.
_VERBS: Final = {
    "cgroup": tuple(verb.word for verb in cgroup.VERBS),
    "nsmagic": tuple(verb.word for verb in nsmagic.VERBS)
    + tuple(f"{each.key}={each.example}" for each in nsmagic.SETTINGS),
}
_PROGRAMS: Final = ("true", "false", "cat", "sh -c 'exit 3'", "/bin/echo x", "nowhere", "/", "./x")


def value_of(kind: Kind | None) -> st.SearchStrategy[str]:
    """Values for an option: its example, its choices, lists of them, and anything else."""
    if kind is None:
        return text
    known = st.sampled_from((kind.example, *kind.choices))
    listed = st.lists(st.one_of(known, text), max_size=3).map((kind.many or ",").join)
    return st.one_of(known, known, text, listed)


@cache
def limit_word() -> st.SearchStrategy[str]:
    """A limit under any of its names, with its own example, a number, or anything."""
    examples = {name: row.unit.example for row in LIMITS for name in row.names}
    sized = st.tuples(st.integers(0, 2**64), st.sampled_from(("", "K", "M", "MiB", "MB", "%", "T")))
    number = sized.map(lambda pair: f"{pair[0]}{pair[1]}")
    name = st.one_of(st.sampled_from(LIMIT_NAMES), st.sampled_from(LIMIT_NAMES), text)
    return name.flatmap(
        lambda key: st.one_of(st.just(examples.get(key, "1")), number, text).map(
            lambda value: f"{key}={value}"
        )
    )


def option_words(option: Option) -> st.SearchStrategy[list[str]]:
    """An option as long name, cut off, as letter, with its value attached, behind it or missing."""
    value = value_of(option.kind)
    name = st.one_of(
        st.just(option.name), st.integers(1, len(option.name)).map(lambda n: option.name[:n])
    )
    forms = [
        name.map(lambda n: [f"--{n}"]),
        st.tuples(name, value).map(lambda p: [f"--{p[0]}={p[1]}"]),
    ]
    if option.argument is Argument.REQUIRED:
        right = value.map(lambda v: [f"--{option.name}={v}"])
        forms = [right, right, *forms, st.tuples(name, value).map(lambda p: [f"--{p[0]}", p[1]])]
    else:
        forms = [st.just([f"--{option.name}"]), *forms]
    if option.short is not None:
        letter = option.short
        forms += [st.just([f"-{letter}"]), value.map(lambda v: [f"-{letter}{v}"]),
                  value.map(lambda v: [f"-{letter}", v])]  # fmt: skip
    return st.one_of(forms)


@cache
def _parts(name: str) -> tuple[st.SearchStrategy[list[str]], ...]:
    """What a line may be put together from; options more often than anything else."""
    table = BY_NAME[name].table
    options = st.one_of([option_words(option) for option in table.rows])
    operands = [value_of(kind).map(lambda v: [v]) for kind in table.takes]
    if name in _VERBS:
        operands.append(st.sampled_from(_VERBS[name]).map(lambda v: [v]))
    operands.append(st.sampled_from(_PROGRAMS).map(shlex.split))
    if name == "cgroup":
        operands += [limit_word().map(lambda w: [w])] * 4
    letters = "".join(row.short or "" for row in table.rows) + "-=x"
    bundle = st.text(alphabet=letters, max_size=6).map(lambda b: f"-{b}")
    anything = st.one_of(text, bundle, st.just("--")).map(lambda v: [v])
    return (options, options, options, *operands, anything)


@st.composite
def words_of(draw: st.DrawFn, name: str) -> list[str]:
    """The words of a line of the magic `name`."""
    parts = _parts(name)
    chosen = draw(st.lists(st.integers(0, len(parts) - 1), max_size=6))
    return [word for index in chosen for word in draw(parts[index])]


def _joined(words: Sequence[str], how: Sequence[int]) -> str:
    """Put words together: quoted as they should be, in other quotes, open quotes, or bare."""
    ways = (
        shlex.quote, shlex.quote, shlex.quote, str, lambda w: f'"{w}"', lambda w: f"'{w}",
        lambda w: w.replace(" ", "\\ "), lambda w: f'{w[:1]}"{w[1:]}"',
    )  # fmt: skip
    return " ".join(
        ways[how[index] if index < len(how) else 0](word) for index, word in enumerate(words)
    )


@st.composite
def line_of(draw: st.DrawFn, name: str) -> str:
    """A line of the magic `name`, without its name: two in three are quoted as they should be."""
    words = draw(words_of(name))
    how = draw(st.one_of(st.just([]), st.just([]), st.lists(st.integers(0, 7), max_size=6)))
    return _joined(words, how).replace("\n", " ")


def head() -> st.SearchStrategy[tuple[str, str]]:
    """A magic that stacks, and its line."""
    return st.sampled_from(STACKED).flatmap(
        lambda name: line_of(name).map(lambda line: (name, line))
    )


BODIES: Final = (
    "",
    "x = 1",
    "1 + 1",
    "print('out')",
    "\n\n",
    "exit 0",
    "# nothing",
    "%%bash\ntrue",
)


def cells() -> st.SearchStrategy[str]:
    """Whole cells: up to three stacked lines with blank ones between, and a body."""
    heads = st.lists(head(), min_size=1, max_size=3)
    gaps = st.sampled_from(("\n", "\n", "\n\n", "\n \n"))
    body = st.one_of(st.sampled_from(BODIES), text)

    def put(parts: tuple[list[tuple[str, str]], str, str]) -> str:
        above, gap, below = parts
        return gap.join([*(f"%%{name} {line}" for name, line in above), below])

    return st.tuples(heads, gaps, body).map(put)


def any_line() -> st.SearchStrategy[tuple[str, str]]:
    """Any magic and its line."""
    return st.sampled_from(NAMES).flatmap(lambda name: line_of(name).map(lambda line: (name, line)))
