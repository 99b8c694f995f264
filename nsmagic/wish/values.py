"""The kinds of value that options take: how each is read, shown again, completed and exemplified.

A reader gets the text and the names of users and groups, and raises ValueError with the reason, a
phrase that goes on where the text stops: "'x' " + "is not a number".
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from nsmagic.wish.isolation import IdMap, SubIds
from nsmagic.wish.signals import SIGNALS, signal_name
from nsmagic.wish.spelling import or_nearest

LARGEST_ID = 2**32 - 2  # 2**32 - 1 is (uid_t) -1, "leave it as it is" in setresuid(2)


class Names(Protocol):
    """Who is called what: the two look-ups that turn names into ids; None for an unknown name."""

    def uid(self, name: str) -> int | None:
        """Return the user id of a login name."""

    def gid(self, name: str) -> int | None:
        """Return the group id of a group name."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a value may be; `show` undoes `read`.

    Completion offers `choices`, each with its one of `meanings`, and what `source` has: a name in
    `nsmagic.linux.offers` or in the notebook.  With `many` the value is a list with that between.
    """

    metavar: str
    example: str
    read: Callable[[str, Names], object]
    show: Callable[[Any], str] = str
    choices: tuple[str, ...] = ()
    meanings: tuple[str, ...] = ()
    source: str = ""
    many: str = ""


def _text(text: str, _: Names) -> str:
    if not text:
        raise ValueError("is empty")
    return text


def _one_of(*choices: str) -> Callable[[str, Names], str]:
    def read(text: str, _: Names) -> str:
        if text not in choices:
            raise ValueError(f"is not one of {', '.join(choices)}")
        return text

    return read


def _number(text: str) -> int:
    # strtoul(3) takes spaces before and a sign; int() would also take 1_000 and Arabic digits.
    if re.fullmatch(r"[ \t\n\v\f\r]*[+-]?[0-9]{1,400}", text) is None:
        raise ValueError("is not a whole number")
    return int(text)


def _id(text: str, _: Names) -> int:
    number = _number(text)
    if not 0 <= number <= LARGEST_ID:
        raise ValueError(f"is not an id from 0 to {LARGEST_ID}")
    return number


def _user(text: str, names: Names) -> int:
    return _id_or_name(text, names, names.uid, "user")


def _group(text: str, names: Names) -> int:
    return _id_or_name(text, names, names.gid, "group")


def _id_or_name(text: str, names: Names, look_up: Callable[[str], int | None], what: str) -> int:
    if re.fullmatch(r"\s*[+-]?[0-9]+", text, re.ASCII):
        return _id(text, names)
    found = look_up(text) if text else None
    if found is None:
        raise ValueError(f"is neither a number nor the name of a {what} here")
    return found


def _offset(text: str, _: Names) -> int:
    number = _number(text)
    if not -(2**63) <= number < 2**63:
        raise ValueError("does not fit in 64 bits")
    return number


def _duration(text: str, _: Names) -> float:
    if re.fullmatch(r"[0-9]+\.?[0-9]*|\.[0-9]+", text) is None:
        raise ValueError("is not a number of seconds")
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError("is not more than zero" if seconds == 0 else "is too large")
    return seconds


def _owner(text: str, names: Names) -> tuple[int, int]:
    parts = text.split(":")
    if len(parts) != 2:
        raise ValueError("is not of the form uid:gid")
    try:
        return _id(parts[0], names), _id(parts[1], names)
    except ValueError:
        raise ValueError("is not two ids with a colon between them") from None


def _show_owner(owner: tuple[int, int]) -> str:
    return f"{owner[0]}:{owner[1]}"


SUB_IDS = ("auto", "subids", "all")


def _id_map(text: str, _: Names) -> IdMap | SubIds:
    if text in SUB_IDS:
        return SubIds(which=text)
    colons = re.fullmatch(r"([0-9]{1,400}):([0-9]{1,400}):([0-9]{1,400})", text)
    commas = re.fullmatch(r"([0-9]{1,400}),([0-9]{1,400}),([0-9]{1,400})", text)
    if colons is not None:
        inner, outer, count = map(int, colons.groups())
    elif commas is not None:
        outer, inner, count = map(int, commas.groups())
    else:
        raise ValueError(f"is neither inner:outer:count nor {', '.join(SUB_IDS[:-1])} or all")
    if max(inner, outer, count) >= 2**32:
        raise ValueError("has a number that does not fit in 32 bits")
    return IdMap(inner=inner, outer=outer, count=count)


def _show_id_map(entry: IdMap | SubIds) -> str:
    if isinstance(entry, SubIds):
        return entry.which
    # Commas, and the outer id first: the only form before util-linux 2.39, and still taken.
    return f"{entry.outer},{entry.inner},{entry.count}"


def _signal(text: str, _: Names) -> str:
    name = signal_name(text)
    if name is None:
        near = or_nearest("SIG" + text.upper().removeprefix("SIG"), SIGNALS)
        raise ValueError(f"is not a signal{near}")
    return name


def _variables(text: str, _: Names) -> tuple[str, ...]:
    names = tuple(name for name in text.split(",") if name)
    if not names:
        raise ValueError("names no variable")
    if any("=" in name for name in names):
        raise ValueError("holds a '='; only the names are given, their values stay as they are")
    return names


def _identifier(text: str, _: Names) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise ValueError("is not a name that a Python variable can have")
    return text


def _identifiers(text: str, names: Names) -> tuple[str, ...]:
    return tuple(_identifier(part.strip(), names) for part in text.split(","))


def _target(text: str, names: Names) -> str:
    if re.fullmatch(r"[0-9]{1,10}", text):
        if int(text) == 0:
            raise ValueError("is no PID")
        return str(int(text))
    try:
        return _box_name(text, names)
    except ValueError:
        raise ValueError("is neither a PID nor a name that a box can have") from None


def _namespace_file(text: str, names: Names) -> str:
    text = _text(text.removeprefix("="), names)  # as nsenter.c does: -n=FILE works too
    if text.startswith(":"):
        raise ValueError(
            "is a namespace's number, which only nsenter(1) itself enters (Linux 6.19)"
        )
    return text


def _follow(text: str, names: Names) -> int | str:
    return text if text == "follow" else _id(text, names)


def _box_name(text: str, _: Names) -> str:
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", text) is None:
        raise ValueError("is not a letter and then up to 63 letters, digits, '_', '.' or '-'")
    if text in {"host", "self"}:
        raise ValueError("is the word for what is outside every box")
    return text


def _anything(text: str, _: Names) -> str:
    return text


_MODES = ("slave", "shared", "private", "unchanged")
_MODES_MEAN = (
    "mounts made outside appear inside", "mounts appear on both sides",
    "no mount appears on the other side", "as it is outside",
)  # fmt: skip
_VERDICTS = ("allow", "deny")

FILE = Kind(metavar="<file>", example="/run/lab/ns", read=_text, source="file")
PROGRAM = Kind(metavar="<program>", example="bash", read=_text, source="program")
DIRECTORY = Kind(metavar="<dir>", example="/srv/rootfs", read=_text, source="directory")
INTERPRETER = Kind(metavar="<string>", example=":wine:E::exe::/usr/bin/wine:", read=_text)
UID = Kind(metavar="<uid>", example="1000", read=_id, source="uid")
GID = Kind(metavar="<gid>", example="1000", read=_id, source="gid")
USER = Kind(metavar="<uid>|<name>", example="1000", read=_user, source="user")
GROUP = Kind(metavar="<gid>|<name>", example="1000", read=_group, source="group")
USERSPEC = Kind(metavar="<user>:<group>", example="+1000:+1000", read=_anything, source="userspec")
GROUPS = Kind(
    metavar="<group>[,<group>]", example="audio,+20", read=_anything, source="group", many=","
)
OWNER = Kind(metavar="<uid>:<gid>", example="1000:1000", read=_owner, show=_show_owner)
ID_MAP = Kind(
    metavar="<inner>:<outer>:<count>", example="0:100000:65536", read=_id_map, show=_show_id_map,
    choices=SUB_IDS,
)  # fmt: skip
PROPAGATION = Kind(
    metavar="|".join(_MODES),
    example="private",
    read=_one_of(*_MODES),
    choices=_MODES,
    meanings=_MODES_MEAN,
)
SETGROUPS = Kind(
    metavar="|".join(_VERDICTS), example="deny", read=_one_of(*_VERDICTS), choices=_VERDICTS
)
SIGNAL = Kind(metavar="<signame>", example="SIGTERM", read=_signal, choices=SIGNALS)
OFFSET = Kind(metavar="<offset>", example="86400", read=_offset)
ENVIRONMENT = Kind(
    metavar="<list>", example="PATH,HOME", read=_variables, source="environment", many=","
)
CGROUP = Kind(metavar="<group>", example="web", read=_text, source="cgroup")
SUBJECT = Kind(metavar="<pid>|<box>", example="self", read=_text, source="subject")
DURATION = Kind(metavar="<seconds>", example="2.5", read=_duration)
NAMESPACE_FILE = Kind(
    metavar="<file>", example="/run/netns/lab", read=_namespace_file, source="file"
)
ATTACHED_DIRECTORY = Kind(
    metavar="<dir>",
    example="/srv",
    read=lambda text, names: _text(text.removeprefix("="), names),
    source="directory",
)
TARGET = Kind(metavar="<pid>|<box>", example="web", read=_target, source="target")
FOLLOWED_UID = Kind(
    metavar="<uid>", example="1000", read=_follow, choices=("follow",), source="uid"
)
FOLLOWED_GID = Kind(
    metavar="<gid>", example="1000", read=_follow, choices=("follow",), source="gid"
)
BOX = Kind(metavar="<name>", example="web", read=_box_name, source="box")
VARIABLE = Kind(metavar="<variable>", example="result", read=_identifier, source="variable")
VARIABLES = Kind(
    metavar="<name>[,<name>]", example="x,y", read=_identifiers, source="variable", many=","
)
