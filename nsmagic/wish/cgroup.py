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
from nsmagic.wish.verbs import Verb, verb_lines

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
class CgroupVerb(Verb):
    """A word that `%cgroup` obeys; its operands are made of the three below."""

    @property
    def names(self) -> bool:
        """Whether a group must be named."""
        return _NAME in self.operands

    @property
    def limits(self) -> bool:
        """Whether limits must follow."""
        return _LIMITS in self.operands

    @property
    def keys(self) -> bool:
        """Whether some of what is shown may be chosen."""
        return _KEYS in self.operands


_NAME, _LIMITS, _KEYS = "NAME", "<limit>=<value>...", "[<key>...]"
VERBS: Final = (
    CgroupVerb(word="controllers",
               help="what this machine has: v1, v2 or both, and what may be limited"),
    CgroupVerb(word="set", operands=f"{_NAME} {_LIMITS}",
               help="change limits of a group, also while its cell runs"),
    CgroupVerb(word="show", operands=f"{_NAME} {_KEYS}",
               help="every limit and reading of a group, in both spellings"),
    CgroupVerb(word="freeze", operands=_NAME, help="let no process of the group run"),
    CgroupVerb(word="thaw", operands=_NAME, help="let them run again"),
    CgroupVerb(word="kill", operands=_NAME, help="kill every process of the group"),
    CgroupVerb(word="rm", operands=_NAME, help="remove an empty group"),
    CgroupVerb(word="tree",
               help="the groups from the root to this notebook's, and what is in them"),
    CgroupVerb(word="off", help="end the limits that hold for later cells"),
)  # fmt: skip
VERB_BY_WORD: Final = {verb.word: verb for verb in VERBS}


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
    if words[:1] and words[0] in VERB_BY_WORD:
        raise WishError(
            f"%%cgroup takes limits, and {words[0]} is a verb of %cgroup",
            hint=f"A verb stands in a line of its own: {VERB_BY_WORD[words[0]].typed('cgroup')}",
        )
    parsed = parse(CGROUP, words, names)
    wish = Isolation(cgroup=True, limits=parse_limits(parsed.among))
    return wish, parsed.ours, parsed.program


def read_order(line: str) -> Order | None:
    """Return what a line of `%cgroup` orders, None if it is limits, options and a program."""
    words = _words(line)
    if not words:
        return Order()
    verb = VERB_BY_WORD.get(words[0])
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
    parts = ["Limits, also under their names in cgroup v2 and v1:", *limits]
    parts += ["", "Verbs:", *verb_lines("cgroup", VERBS, 44), "", *_NOTES]
    return "\n".join([help_text(CGROUP), *parts]) + "\n"


def _words(line: str | Sequence[str]) -> Sequence[str]:
    return split_line(line) if isinstance(line, str) else line


def _example(verb: Verb) -> str:
    return f"It is typed {verb.typed('cgroup')}; %cgroup alone lists the names."
