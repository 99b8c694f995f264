"""The table of nsenter(1) as of util-linux 2.43-devel (nsenter.c at 003c62242), and its lines.

An older program knows fewer options, so some abbreviations that it takes are ambiguous here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nsmagic.wish import values
from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Argument, Option, Table, split_line
from nsmagic.wish.isolation import Enter, Isolation
from nsmagic.wish.namespaces import NAMESPACES, Namespace
from nsmagic.wish.ours import OURS, Ours, asks, parse
from nsmagic.wish.values import Kind, Names

_WHOM, _NAMESPACES, _FILES = "Whom", "Namespaces", "Files"
_USERS, _PROCESS = "Users and groups", "Processes"

_Fields = Mapping[str, Any]


def _namespace(row: Namespace) -> Option:
    def effect(fields: _Fields, value: object) -> _Fields:
        files = dict(fields.get("files", ()))
        if value is None:
            return {"types": fields.get("types", frozenset()) | {row.name}}
        return {"files": tuple(sorted({**files, row.name: value}.items()))}

    return Option(
        name=row.option, short=row.short, help=f"enter the {row.name} namespace: {row.isolates}",
        group=_NAMESPACES, field="types", argument=Argument.OPTIONAL, kind=values.NAMESPACE_FILE,
        effect=effect,
    )  # fmt: skip


def _target(fields: _Fields, value: object) -> _Fields:
    if "target" in fields:
        raise WishError("nsenter: --target may be given only once")
    return {"target": value}


def _not_here(name: str, instead: str) -> Mapping[str, Any]:
    def effect(_: _Fields, __: object) -> _Fields:
        raise WishError(f"nsenter: --{name} is not among what nsmagic does", hint=instead)

    return {"effect": effect, "hidden": True}


def _flag(name: str, group: str, text: str, *, short: str | None = None) -> Option:
    return Option(name=name, short=short, help=text, group=group, field=name.replace("-", "_"))


def _value(
    name: str, kind: Kind, group: str, text: str, *, short: str, required: bool = False
) -> Option:
    return Option(
        name=name, short=short, kind=kind, help=text, group=group, field=name.replace("-", "_"),
        argument=Argument.REQUIRED if required else Argument.OPTIONAL, bare="",
    )  # fmt: skip


_PROGRAM = "Run the program itself: %unshare nsenter -t PID ..."

NSENTER = Table(
    program="nsenter",
    summary="Run the cell or a program in namespaces that exist: those of a box, or of a process."
    "\nWith the name of a box and no namespace, in all of it, its user and root included.",
    example="%unshare --replace --name web --uts hostname inside\n%nsenter -t web hostname",
    options=(
        _flag("all", _WHOM, "enter all namespaces of the target that are not the notebook's own",
              short="a"),
        Option(name="target", short="t", group=_WHOM, field="target", kind=values.TARGET,
               argument=Argument.REQUIRED, effect=_target,
               help="whose namespaces: a PID or the name of a box"),
        *map(_namespace, NAMESPACES),
        Option(name="net-socket", short="N", group=_NAMESPACES, field="", kind=values.UID,
               argument=Argument.REQUIRED, help="the network namespace of the target's socket <fd>",
               **_not_here("net-socket", _PROGRAM)),
        Option(name="user-parent", group=_NAMESPACES, field="",
               help="enter the parent of the target's user namespace",
               **_not_here("user-parent", _PROGRAM)),
        _value("root", values.DIRECTORY, _FILES,
               "make <dir>, else the target's root, the root directory", short="r"),
        _value("wd", values.ATTACHED_DIRECTORY, _FILES,
               "change to <dir>, else to the target's working directory", short="w"),
        _value("wdns", values.ATTACHED_DIRECTORY, _FILES,
               "change to <dir> as it is called inside", short="W"),
        _value("setuid", values.FOLLOWED_UID, _USERS,
               "set the user id inside; follow: the target's", short="S", required=True),
        _value("setgid", values.FOLLOWED_GID, _USERS,
               "set the group id inside, drop other groups; follow: the target's", short="G",
               required=True),
        _flag("preserve-credentials", _USERS, "leave users and groups as they are"),
        _flag("keep-caps", _USERS, "keep capabilities that the user namespace gave"),
        _flag("env", _PROCESS, "take the target's environment", short="e"),
        _flag("no-fork", _PROCESS, "go on without a fork: only children get into the PID namespace",
              short="F"),
        _flag("join-cgroup", _PROCESS, "join the target's cgroup too (cgroup v2)", short="c"),
        Option(name="follow-context", short="Z", group=_PROCESS, field="",
               help="take the target's SELinux context", **_not_here("follow-context", _PROGRAM)),
        asks("help", "h", "show this help"),
        asks("version", "V", "show the version"),
    ),
    extra=OURS,
)  # fmt: skip


def read_nsenter(
    line: str | Sequence[str], names: Names
) -> tuple[Isolation, Ours, tuple[str, ...]]:
    """Read one line of a stack.  Raises WishError."""
    words = split_line(line) if isinstance(line, str) else line
    parsed = parse(NSENTER, words, names)
    enter = Enter(**parsed.values)
    if not (parsed.ours.help or parsed.ours.version):
        _refuse_nonsense(enter, strict=parsed.ours.strict)
    return Isolation(enter=enter), parsed.ours, parsed.program


def _refuse_nonsense(enter: Enter, *, strict: bool) -> None:
    if enter.wd is not None and enter.wdns is not None:
        raise WishError("nsenter: --wd and --wdns exclude each other")
    if enter.target is None:
        needs = [f"--{row.option}" for row in NAMESPACES if row.name in enter.types]
        needs += [f"--{name}" for name in ("all", "env", "join_cgroup") if getattr(enter, name)]
        needs += [f"--{name}" for name in ("root", "wd") if getattr(enter, name) == ""]
        if needs or not enter.files:
            for_what = f" for {' '.join(needs).replace('_', '-')}" if needs else ""
            raise WishError(
                f"nsenter: whose namespaces{for_what}?",
                hint="-t takes a PID or the name of a box: %box lists them.",
            )
    elif enter.whole and enter.target.isdecimal() and not strict:
        raise WishError(
            f"nsenter -t {enter.target} names no namespace, so nsenter(1) would enter none",
            hint=f"-t {enter.target} -a enters all of them; --strict does as nsenter(1) does.",
        )


def nsenter_words(enter: Enter, pid: str, types: Sequence[str]) -> list[str]:
    """Return the words after `nsenter` that ask the program for the same.

    `pid` is the target's, empty if there is none, and `types` are the namespaces taken from it.
    """
    words = ["-t", pid] if pid else []
    if enter.all:
        words.append("-a")
    else:
        words += [f"-{row.short}" for row in NAMESPACES if row.name in types]
    option = {row.name: row.option for row in NAMESPACES}
    words += [f"--{option[name]}={file}" for name, file in enter.files]
    for row in NSENTER.options:
        value: object = getattr(enter, row.field, None)
        if row.field in {"", "all", "target", "types"} or value in (None, False):
            continue
        attached = f"={value}" if row.kind is not None and value != "" else ""
        words.append(f"--{row.name}{attached}")
    return words
