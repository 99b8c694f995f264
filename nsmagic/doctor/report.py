"""What the doctor found, as data: for a terminal, for a notebook and as JSON.

The JSON (`to_json`), whose version is `schema` and rises when a name changes its meaning:

schema      1
nsmagic     version of nsmagic
system      linux, distribution, python: versions; uid; usual: the way that nsmagic goes here;
            lacking: the capabilities that root has elsewhere; facts: sentences about this process;
            environments: list of {name, title, fact}
checks      list of {name, group, way, tries, state, errno, call, why, fix, detail, milliseconds},
            see `nsmagic.doctor.verdict`
labs        list of {name, title, state: full|partly, missing: list of {need, step, why}}
ok          whether every lab runs fully
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import nsmagic
from nsmagic.doctor.checks import GROUPS, TOOLS
from nsmagic.doctor.examine import Examiner, examine
from nsmagic.doctor.groups import examine_groups
from nsmagic.doctor.packages import read_release
from nsmagic.doctor.verdict import Verdict, Way
from nsmagic.linux.environment import Seen, find_environments
from nsmagic.wish.capabilities import NUMBERS, has
from nsmagic.wish.circumstances import Circumstances

SCHEMA: Final = 1


@dataclass(frozen=True, kw_only=True)
class System:
    """Where and as whom: see the module's text."""

    linux: str
    distribution: str
    python: str
    uid: int
    usual: Way
    lacking: tuple[str, ...]
    facts: tuple[str, ...]
    environments: tuple[Seen, ...]


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Something that a step of a lab needs and that is not here."""

    need: str
    step: str
    why: str


@dataclass(frozen=True, kw_only=True)
class LabVerdict:
    """Whether a lab runs here from top to bottom; `missing` says which steps do not."""

    name: str
    title: str
    missing: tuple[Missing, ...] = ()

    @property
    def state(self) -> str:
        """`full` or `partly`."""
        return "partly" if self.missing else "full"


@dataclass(frozen=True, kw_only=True)
class Report:
    """All of it."""

    system: System
    verdicts: tuple[Verdict, ...]
    labs: tuple[LabVerdict, ...] = ()
    version: str = field(default=nsmagic.__version__)

    @property
    def ok(self) -> bool:
        """Whether every lab runs fully."""
        return not any(lab.missing for lab in self.labs)


# Places in which nothing helps but to leave them, and for which groups of checks that is so: on
# Binder nobody is root or starts a container; in a box with a profile a program may be installed.
_ONLY_WAY: Final[dict[str, frozenset[str]]] = {
    "binder": frozenset(GROUPS),
    "profile": frozenset(GROUPS) - {TOOLS},
}


def make_report() -> Report:
    """Try everything; labs are added by who knows them (`lab_verdict`)."""
    examiner = Examiner()
    verdicts = [*examine(), *examine_groups()]
    verdicts.sort(key=lambda each: GROUPS.index(each.group))
    only = _ONLY_WAY.get(examiner.facts.container, frozenset())
    verdicts = [
        replace(v, fix=examiner.facts.start) if v.state == "refused" and v.group in only else v
        for v in verdicts
    ]
    return Report(system=_system(examiner), verdicts=tuple(verdicts))


def lab_verdict(
    name: str, title: str, steps: Iterable[tuple[str, Sequence[str]]], met: dict[str, str]
) -> LabVerdict:
    """Return the verdict on a lab whose steps have a title and the names of what they need.

    `met` has why not, by need, empty where it is there.
    """
    missing = tuple(
        Missing(need=need, step=step, why=met[need])
        for step, needs in steps
        for need in needs
        if met[need]
    )
    return LabVerdict(name=name, title=title, missing=missing)


def why_not(verdicts: Iterable[Verdict], usual: Way) -> dict[str, str]:
    """Return by the name of a check why it does not work in the usual way, empty where it does.

    In the usual way nsmagic adds a user namespace where one is needed.
    """
    return {
        each.name: "" if each.state == "works" else each.why
        for each in verdicts
        if each.way in (usual, "plain") or (each.name, usual) in _ONE_WAY
    }


_ONE_WAY: Final = frozenset({("subids", "root"), ("idmap", "rootless")})


def to_json(report: Report) -> dict[str, Any]:
    """Return the report as plain data."""
    system = asdict(report.system)
    for seen in system["environments"]:
        del seen["container"]
    return {
        "schema": SCHEMA,
        "nsmagic": report.version,
        "system": system,
        "checks": [asdict(each) for each in report.verdicts],
        "labs": [asdict(lab) | {"state": lab.state} for lab in report.labs],
        "ok": report.ok,
    }


def from_json(data: dict[str, Any]) -> Report:
    """Return the report that `to_json` wrote."""
    system = data["system"] | {
        "lacking": tuple(data["system"]["lacking"]), "facts": tuple(data["system"]["facts"]),
        "environments": tuple(Seen(container=False, **e) for e in data["system"]["environments"]),
    }  # fmt: skip
    labs = (
        LabVerdict(
            name=lab["name"], title=lab["title"],
            missing=tuple(Missing(**each) for each in lab["missing"]),
        )
        for lab in data["labs"]
    )  # fmt: skip
    return Report(
        system=System(**system), verdicts=tuple(Verdict(**each) for each in data["checks"]),
        labs=tuple(labs), version=data["nsmagic"],
    )  # fmt: skip


def _system(examiner: Examiner) -> System:
    facts = examiner.facts
    return System(
        linux=platform.release(),
        distribution=read_release().get("PRETTY_NAME", "an unknown distribution"),
        python=platform.python_version(),
        uid=os.geteuid(),
        usual=examiner.usual,
        lacking=tuple(_lacking(facts)) if examiner.is_root else (),
        facts=tuple(_sentences(facts)),
        environments=tuple(find_environments()),
    )


def _lacking(facts: Circumstances) -> Iterable[str]:
    return (name for name in NUMBERS if not has(facts.capabilities, name))


def _sentences(facts: Circumstances) -> Iterable[str]:
    if facts.seccomp:
        yield "a seccomp filter is on this process"
    if facts.no_new_privs:
        yield "no_new_privs is set: setuid programs gain nothing"
    if facts.nested:
        yield "in a user namespace, not the first one"
    if facts.chrooted:
        yield "in a chroot"
    if facts.covers:
        yield f"parts of /proc are covered: {', '.join(facts.covers[:3])}"
    if not facts.proc:
        yield "no /proc is mounted"
    if facts.apparmor:
        yield "AppArmor restricts user namespaces (kernel.apparmor_restrict_unprivileged_userns)"
