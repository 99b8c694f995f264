"""The table of `%%cgroup` and `%cgroup`, which are ours, and how their lines are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Table, scan, split_line
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.limits import BY_NAME, LIMITS, METRIC, Limit, parse_limits
from nsmagic.wish.ours import OURS, Ours, asks, parse
from nsmagic.wish.spelling import or_nearest
from nsmagic.wish.usage import help_text
from nsmagic.wish.values import Names

_A_LIMIT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*=.*", re.DOTALL)


def _is_limit(word: str) -> bool:
    return _A_LIMIT.fullmatch(word) is not None


CGROUP: Final = Table(
    program="cgroup",
    summary="Run the cell or a program inside a fresh cgroup with limits.\n"
    "%cgroup LIMITS alone in its cell holds for every isolated cell that follows.",
    operands="[<limit>=<value>...] [<program> [<argument>...]]",
    options=(asks("help", "h", "show this help"),),
    extra=OURS,
    among=_is_limit,
    example="%%cgroup mem=64M pids=20\nprint(open('/proc/self/cgroup').read())",
)


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One word that `%cgroup` obeys; `operands` is what follows it, `name` first if it names one.

    `names` and `limits` tell whether a NAME and limits must follow, `keys` whether some of what is
    shown may be chosen.
    """

    word: str
    help: str
    names: bool = False
    limits: bool = False
    keys: bool = False

    @property
    def usage(self) -> str:
        """How it is typed."""
        return f"%cgroup {self.word}{' NAME' * self.names}{' <limit>=<value>...' * self.limits}\
{' [<key>...]' * self.keys}"


VERBS: Final = (
    Verb(word="controllers", help="what this machine has: v1, v2 or both, and what may be limited"),
    Verb(word="set", help="change limits of a group, also while its cell runs", names=True,
         limits=True),
    Verb(word="show", help="every limit and reading of a group, in both spellings", names=True,
         keys=True),
    Verb(word="freeze", help="let no process of the group run", names=True),
    Verb(word="thaw", help="let them run again", names=True),
    Verb(word="kill", help="kill every process of the group", names=True),
    Verb(word="rm", help="remove an empty group", names=True),
    Verb(word="tree", help="the groups from the root to this notebook's, and what is in them"),
    Verb(word="off", help="end the limits that hold for later cells"),
)  # fmt: skip
_BY_WORD: Final = {verb.word: verb for verb in VERBS}


@dataclass(frozen=True, kw_only=True)
class Order:
    """A line of `%cgroup` that is no cell: a verb (None: list the groups) and what it is about.

    `keys` are those of the limits and readings that are shown; all, if there are none.
    """

    verb: str | None = None
    name: str = ""
    limits: tuple[Limit, ...] = field(default=())
    keys: frozenset[str] = frozenset()


def read_cgroup(line: str | Sequence[str], names: Names) -> tuple[Isolation, Ours, tuple[str, ...]]:
    """Read one line of a stack, to be united with others and then settled.  Raises WishError."""
    words = _words(line)
    if words[:1] and words[0] in _BY_WORD:
        raise WishError(
            f"%%cgroup takes limits, and {words[0]} is a verb of %cgroup",
            hint=f"A verb stands in a line of its own: {_BY_WORD[words[0]].usage}",
        )
    parsed = parse(CGROUP, words, names)
    wish = Isolation(cgroup=True, limits=parse_limits(parsed.among))
    return wish, parsed.ours, parsed.program


def read_order(line: str) -> Order | None:
    """Return what a line of `%cgroup` orders, None if it is limits, options and a program."""
    words = _words(line)
    if not words:
        return Order()
    verb = _BY_WORD.get(words[0])
    if verb is None:
        return None
    rest = words[1:]
    if verb.names:
        if not rest or _is_limit(rest[0]) or rest[0].startswith("-"):
            raise WishError(f"%cgroup {verb.word}: which group?", hint=_example(verb))
        name, rest = rest[0], rest[1:]
    else:
        name = ""
    if verb.keys:
        return Order(verb=verb.word, name=name, keys=frozenset(map(_key, rest)))
    if not verb.limits and rest:
        raise WishError(f"%cgroup {verb.word}: {rest[0]!r} is too much", hint=_example(verb))
    if verb.limits and not rest:
        raise WishError(f"%cgroup {verb.word} {name}: to what?", hint=_example(verb))
    return Order(verb=verb.word, name=name, limits=parse_limits(rest))


def _key(word: str) -> str:
    """Return the key of a limit, by any of its names, or of a reading."""
    if word in METRIC:
        return word
    if word in BY_NAME:
        return BY_NAME[word].key
    known = [*dict.fromkeys(row.key for row in LIMITS), *METRIC]
    raise WishError(
        f"%cgroup show: there is no limit or reading {word!r}{or_nearest(word, known)}",
        hint="%cgroup show NAME   shows all of them.",
    )


def heads_a_cell(line: str) -> bool:
    """Whether a line of `%cgroup` holds nothing but limits and our options, at least one."""
    try:
        found = scan(CGROUP, split_line(line))
    except WishError:  # which the magic itself will say
        return False
    ends = any(given.option.ends for given in found.given)
    return bool(found.among or found.given) and not (found.rest or found.problem or ends)


_NOTES: Final = (
    "Sizes are bytes, or with K, M, G, T: 64M = 64MiB = 67108864.  max lifts a limit.",
    "Groups are called nsmagic-<kernel>-<box or cell>, beside or below the notebook's own group;",
    "NSMAGIC_CGROUP=<directory>[:<directory>...] in its environment names other places.",
)


def cgroup_help() -> str:
    """Return the help of the magic: options, limits and verbs, each from its table."""
    limits = [
        (left.ljust(27) if len(left) < 27 else f"{left}\n{' ' * 27}") + row.meaning
        for row in LIMITS
        for left in (f" {row.key}={row.unit.metavar}",)
        if "." not in row.key
    ]
    verbs = [f" {verb.usage}".ljust(44) + verb.help for verb in VERBS]
    parts = ["Limits, also under their names in cgroup v2 and v1:", *limits]
    parts += ["", "Verbs:", *verbs, "", *_NOTES]
    return "\n".join([help_text(CGROUP), *parts]) + "\n"


def _words(line: str | Sequence[str]) -> Sequence[str]:
    return split_line(line) if isinstance(line, str) else line


def _example(verb: Verb) -> str:
    return f"It is typed {verb.usage}; %cgroup alone lists the names."
