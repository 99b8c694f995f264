"""What a namespace map shows: processes grouped by the namespaces they are in, made from a
Discovery, and how two such pictures differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nsmagic.linux.discover import Discovery, Namespace
from nsmagic.linux.namespaces import TYPES, NamespaceId
from nsmagic.wish.lsns import SELF
from nsmagic.wish.namespaces import BY_NAME

MOST_GONE: Final = 12  # ghosts that are kept until somebody says "seen"
_MOST_TEXT: Final = 90  # characters of a command
_MOST_HOLDERS: Final = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Processes that are in the same namespaces, all of them; none where only files hold one.

    `kind` is `self` for the notebook's own, `box`, `held` for one without processes, else "";
    `links` holds inode numbers by type, `commands` what runs by PID.
    """

    name: str
    kind: str
    links: Mapping[str, int]
    commands: Mapping[int, str]
    box: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """One namespace as the map shows it.

    `colour` is 0 for the notebook's own, else counts the others of its type in the order in which
    they were first seen.  `parent` and `owner` are inode numbers.
    """

    type: str
    ino: int
    own: bool
    colour: int
    processes: int
    parent: int | None
    owner: int | None
    uid: int | None
    held: tuple[str, ...]
    enter: str
    serial: int | None = None


@dataclass(frozen=True, kw_only=True)
class Picture:
    """All groups and namespaces at one moment; `hidden` counts processes we may not look at."""

    groups: Mapping[str, Group]
    spaces: Mapping[str, Space]
    hidden: int

    def facts(self, base: Picture | None = None, gone: Iterable[Space] = ()) -> dict[str, Any]:
        """Return it as JSON; what `base` lacks is new, `gone` is drawn as a ghost."""
        old = self if base is None else base
        return {
            "groups": {key: _group_facts(group, old.groups.get(key))
                       for key, group in self.groups.items()},
            "spaces": {key: _space_facts(space, self._state(key, space, old))
                       for key, space in self.spaces.items()}
            | {f"{each.type}:{each.ino}:gone": _space_facts(each, "gone") for each in gone},
            "hidden": self.hidden,
        }  # fmt: skip

    @staticmethod
    def _state(key: str, space: Space, old: Picture) -> str:
        before = old.spaces.get(key)
        # Linux gives the inode number of a dead namespace to a new one.
        same = before is not None and before.serial == space.serial
        return "" if same else "new"


def _group_facts(group: Group, before: Group | None) -> dict[str, Any]:
    return {
        "name": group.name, "kind": group.kind, "box": group.box, "links": dict(group.links),
        "procs": {str(pid): text for pid, text in group.commands.items()},
        "was": None if before is None else len(before.commands),
    }  # fmt: skip


def _space_facts(space: Space, state: str) -> dict[str, Any]:
    return {
        "type": space.type, "ino": space.ino, "own": space.own, "colour": space.colour,
        "processes": space.processes, "parent": space.parent, "owner": space.owner,
        "uid": space.uid, "held": list(space.held), "enter": space.enter, "state": state,
    }  # fmt: skip


@dataclass(kw_only=True)
class Colours:
    """Numbers the namespaces of each type in the order in which they were first seen."""

    own: Mapping[str, NamespaceId]
    _numbers: dict[tuple[str, int, int | None], int] = field(default_factory=dict)
    _next: dict[str, int] = field(default_factory=dict)

    def of(self, space: Namespace) -> int:
        """Return the namespace's number; 0 is the notebook's own."""
        if self.own.get(space.type) == space.id:
            return 0
        key = (space.type, space.id.ino, space.serial)
        if key not in self._numbers:
            self._next[space.type] = self._next.get(space.type, 0) + 1
            self._numbers[key] = self._next[space.type]
        return self._numbers[key]


def take_picture(
    found: Discovery,
    boxes: Mapping[int, str],
    command: Callable[[int], str | None],
    colours: Colours,
) -> Picture:
    """Group what was discovered; `boxes` names PIDs, `command` reads what a process runs."""
    groups = dict(_groups(found, boxes, command))
    by_type: dict[str, list[Namespace]] = {kind: [] for kind in TYPES}
    for each in found.namespaces.values():
        by_type[each.type].append(each)
    spaces = {
        f"{kind}:{each.id.ino}": _space(each, boxes, colours)
        for kind in TYPES
        for each in by_type[kind]
    }
    return Picture(groups=groups, spaces=spaces, hidden=len(found.hidden))


def _groups(
    found: Discovery, boxes: Mapping[int, str], command: Callable[[int], str | None]
) -> Iterator[tuple[str, Group]]:
    members: dict[tuple[int, ...], list[int]] = {}
    for process in found.processes.values():
        links = process.links or {}
        if all(kind in links for kind in found.own):  # a zombie has left some of its own
            members.setdefault(_numbers(links), []).append(process.pid)
    inits = [(found.processes.get(pid), name) for pid, name in boxes.items()]
    homes = {_numbers(init.links): name for init, name in inits if init and init.links}
    own = _numbers(found.own)
    for numbers, pids in members.items():
        commands = {pid: (command(pid) or "")[:_MOST_TEXT] for pid in pids}
        first = commands[pids[0]].split(" ")[0].rpartition("/")[2] or f"PID {pids[0]}"
        box = homes.get(numbers, "")
        group = Group(
            name="this notebook" if numbers == own else box or first,
            kind=SELF if numbers == own else "box" if box else "", box=box,
            links={kind: ino for kind, ino in zip(TYPES, numbers, strict=True) if ino},
            commands=commands,
        )  # fmt: skip
        yield "-".join(map(str, numbers)), group
    for each in found.namespaces.values():
        if not each.pids:
            name = _name_of_held(each)
            yield (
                f"held-{each.id.ino}",
                Group(name=name, kind="held", links={each.type: each.id.ino}, commands={}),
            )


def _numbers(links: Mapping[str, NamespaceId]) -> tuple[int, ...]:
    return tuple(links[kind].ino if kind in links else 0 for kind in TYPES)


def _name_of_held(each: Namespace) -> str:
    if each.files:
        return each.files[0]
    return str(each.holders[0]) if each.holders else "no process"


def _space(each: Namespace, boxes: Mapping[int, str], colours: Colours) -> Space:
    inside = next((name for pid, name in boxes.items() if pid in each.pids), "")
    colour = colours.of(each)
    return Space(
        type=each.type, ino=each.id.ino, own=colour == 0, colour=colour, processes=len(each.pids),
        parent=each.parent.ino if each.parent else None,
        owner=each.owner.ino if each.owner else None, uid=each.owner_uid,
        held=tuple(str(holder) for holder in each.holders[:_MOST_HOLDERS]),
        enter="" if colour == 0 else _enter(each, inside), serial=each.serial,
    )  # fmt: skip


def _enter(each: Namespace, box: str) -> str:
    """Return the cell that enters the namespace, as nsenter(1) spells it; "" where none does."""
    option = BY_NAME[each.type].option
    if box or each.pids:
        return f"%%nsenter -t {box or each.pids[0]} --{option}"
    paths = [holder.path for holder in each.holders if holder.path]
    return f"%%nsenter --{option}={paths[0]}" if paths else ""


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return what turns one JSON of a picture into another: only what changed, None what went.

    The processes of a group are told by those that came and went, so that a thousand of them do
    not travel because of one.
    """
    change: dict[str, Any] = {}
    for part in ("groups", "spaces"):
        old, new = before[part], after[part]
        changed: dict[str, Any] = {key: None for key in old if key not in new}
        for key, value in new.items():
            if old.get(key) != value:
                changed[key] = _patch(old.get(key), value) if part == "groups" else value
        if changed:
            change[part] = changed
    if before["hidden"] != after["hidden"]:
        change["hidden"] = after["hidden"]
    return change


def _patch(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    if old is None:
        return new
    rest = {key: value for key, value in new.items() if key != "procs"}
    came = {pid: text for pid, text in new["procs"].items() if old["procs"].get(pid) != text}
    went = [pid for pid in old["procs"] if pid not in new["procs"]]
    return {**rest, "came": came, "went": went}
