"""A refused step put into words: what the rows of `nsmagic.wish.hints` ask of it and fill in."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from nsmagic.wish.circumstances import Circumstances, Place
from nsmagic.wish.missing import missing_text, where_in
from nsmagic.wish.namespaces import NAMESPACES
from nsmagic.wish.steps import Chroot, Exec, Join, JoinRoot, MapIds, SetClock, SetLimit, Step

LARGEST_CLOCK: Final = 2**63 // 10**9 // 2  # seconds, KTIME_SEC_MAX / 2 in Linux: about 146 years


def last_root(listed: Sequence[Step]) -> str:
    """Return the root that the last of these steps enters which enters one; empty if none does."""
    root = ""
    for step in listed:
        if isinstance(step, JoinRoot | Chroot):
            root = step.root
        elif isinstance(step, Join) and step.other_root:
            root = f"/proc/{step.pid}/root" if step.pid else ""
    return root


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One step (None: making the cell's first process), its errno and the circumstances."""

    step: Step | None
    number: int
    facts: Circumstances

    @property
    def types(self) -> frozenset[str]:
        """The namespaces wished for."""
        return frozenset() if self.facts.plan is None else self.facts.plan.isolation.namespaces

    @property
    def place(self) -> Place:
        """What the step names; an empty place if nothing."""
        return self.facts.place or Place(path="")

    @property
    def before(self) -> tuple[Step, ...]:
        """The steps done before this one."""
        listed = () if self.facts.plan is None else self.facts.plan.steps
        return listed[: listed.index(self.step)] if self.step in listed else ()

    @property
    def pids(self) -> str:
        """The limit on processes that was set before this step, empty if none was."""
        limits = [s.text for s in self.before if isinstance(s, SetLimit) and s.key == "pids"]
        return limits[-1] if limits else ""

    @property
    def root(self) -> str:
        """The root that an earlier step entered, empty if none did."""
        return last_root(self.before)

    @property
    def where(self) -> str:
        """`in the new root /srv/box` after a change of root, else `here`."""
        return where_in(self.root)

    @property
    def near(self) -> str:
        """A sentence with what the person may have meant, after spaces; or nothing."""
        names = self.place.near
        if isinstance(self.step, Exec) and names:
            return f"  Programs with such a name: {', '.join(names)}."
        return f"  There is: {', '.join(names)}." if names else ""

    @property
    def lack(self) -> str:
        """What the program lacks to be started, and what to type."""
        program = self.step.argv[0] if isinstance(self.step, Exec) else self.place.path
        return missing_text(self.place.lacks, self.root, program)

    @property
    def copy(self) -> str:
        """What copies the program into the new root, if this machine has it; else nothing."""
        if not self.place.elsewhere or not isinstance(self.step, Exec):
            return ""
        return f"{shlex.join(('%rootfs', self.root, self.step.argv[0]))}   copies it there."

    @property
    def full(self) -> tuple[str, ...]:
        """The wished namespaces of which /proc/sys/user allows none."""
        names = [row.name for row in NAMESPACES if row.name in self.types]
        return tuple(name for name in names if self.facts.limits.get(name) == 0)

    @property
    def settings(self) -> str:
        """The settings of `full` with a value that allows plenty, as sysctl(8) takes them."""
        return " ".join(f"user.max_{name}_namespaces=10000" for name in self.full)

    @property
    def unknown(self) -> str:
        """The wished namespaces that this Linux was built without."""
        return ", ".join(sorted(self.types - self.facts.known))

    @property
    def lines(self) -> tuple[str, ...]:
        """The first two lines of the map that share ids; empty if none do."""
        maps = self.step.maps if isinstance(self.step, MapIds) else ()
        for one, two in combinations(maps, 2):
            for a, b in ((one.inner, two.inner), (one.outer, two.outer)):
                if a < b + two.count and b < a + one.count:
                    return str(one), str(two)
        return ()

    @property
    def uids(self) -> str:
        """The user ids that exist inside, as `0, 1000-1999`; `none` if no map was written."""
        return self._mapped("uid")

    @property
    def gids(self) -> str:
        """The group ids that exist inside."""
        return self._mapped("gid")

    def _mapped(self, kind: str) -> str:
        maps = [m for s in self.before if isinstance(s, MapIds) and s.kind == kind for m in s.maps]
        spans = [(m.inner, m.inner + m.count - 1) for m in maps]
        return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans) or "none"

    @property
    def granted(self) -> str:
        """The ids that /etc/subuid or /etc/subgid grants, as `100000-165535`, or `no ids`."""
        spans = [f"{r.start}-{r.start + r.count - 1}" for r in self.facts.granted]
        return ", ".join(spans) or "no ids"

    @property
    def clock(self) -> int:
        """What the clock of a SetClock step shows outside, in seconds."""
        return self.facts.clocks.get(self.step.clock, 0) if isinstance(self.step, SetClock) else 0

    @property
    def latest(self) -> int:
        """The largest offset that Linux takes for that clock now."""
        return LARGEST_CLOCK - self.clock


FIRST: Final = type(None)  # in place of a step: the cell's first process could not be made
ADD_USER: Final = (
    "Add --user --map-root-user, or leave out --strict, which keeps nsmagic from adding it."
)
When = Callable[[Refusal], bool]


def always(_: Refusal) -> bool:
    """The circumstances do not matter."""
    return True


@dataclass(frozen=True, kw_only=True)
class Hint:
    """One row: for these steps and these errnos, `when` it holds, why it is so and what to type.

    `why` and `fix` are formats: `{r}` is the Refusal, `{s}` its step, `{p}` its place, `{f}` the
    facts.  No steps means every step.
    """

    steps: tuple[type[Step | None], ...]
    errnos: frozenset[int]
    when: When
    why: str
    fix: str = ""

    def fits(self, refusal: Refusal) -> bool:
        """Return whether the row is about this refusal."""
        return (
            refusal.number in self.errnos
            and (not self.steps or isinstance(refusal.step, self.steps))
            and self.when(refusal)
        )

    def text(self, refusal: Refusal) -> str:
        """Return the row filled in: one line why, one line what to type."""
        known = {"r": refusal, "s": refusal.step, "p": refusal.place, "f": refusal.facts}
        return "\n".join(filter(None, (line.format(**known) for line in (self.why, self.fix))))


def hint(
    steps: tuple[type[Step | None], ...], errnos: str, why: str, fix: str = "",
    *, when: When = always,
) -> Hint:  # fmt: skip
    """Return a row; `errnos` are names with spaces between."""
    numbers = frozenset(getattr(errno, name) for name in errnos.split())
    return Hint(steps=steps, errnos=numbers, when=when, why=why, fix=fix)
