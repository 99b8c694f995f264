"""The table of unshare(1) as of util-linux 2.43-devel (unshare.c and unshare.1.adoc at 39465c780).

An older program knows fewer options, so some abbreviations that it takes are ambiguous here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nsmagic.wish import values
from nsmagic.wish.getopt import Argument, Option, Table
from nsmagic.wish.isolation import SubIds
from nsmagic.wish.namespaces import NAMESPACES, Namespace
from nsmagic.wish.ours import OURS, asks
from nsmagic.wish.values import Kind

PROC = "/proc"
BINFMT_MISC = "/proc/sys/fs/binfmt_misc"

_FILES, _USERS, _PROCESS, _REST = "Files", "Users and groups", "Processes", "Clocks and environment"

_Fields = Mapping[str, Any]


def _namespace(row: Namespace) -> Option:
    def effect(fields: _Fields, value: object) -> _Fields:
        names = fields.get("namespaces", frozenset()) | {row.name}
        kept = dict(fields.get("persist", ()))
        if value is not None:
            kept[row.name] = value
        return {"namespaces": names, "persist": tuple(sorted(kept.items()))}

    return Option(
        name=row.option, short=row.short, help=f"new {row.name} namespace: {row.isolates}",
        group="Namespaces", field="namespaces", argument=Argument.OPTIONAL,
        short_argument=Argument.NONE, kind=values.FILE, effect=effect,
    )  # fmt: skip


def _flag(name: str, group: str, text: str, *, field: str = "") -> Option:
    return Option(name=name, help=text, group=group, field=field or name.replace("-", "_"))


def _value(
    name: str, kind: Kind, group: str, text: str, *, short: str | None = None, field: str = "",
    repeats: bool = False,
) -> Option:  # fmt: skip
    return Option(
        name=name, short=short, kind=kind, help=text, group=group, argument=Argument.REQUIRED,
        field=field or name.replace("-", "_"), repeats=repeats,
    )  # fmt: skip


# unshare.c keeps one mapped user and one group: each option replaces what the ones before it set.
def _map_self(field: str, other: str) -> _Fields:
    return {field: True, other: False, "map_user": None, "map_group": None}


def _sub_ids(name: str, which: str, text: str) -> Option:
    def effect(fields: _Fields, _: object) -> _Fields:
        both = ("map_users", "map_groups")
        return {field: (*fields.get(field, ()), SubIds(which=which)) for field in both}

    return Option(name=name, help=text, group=_USERS, field="", effect=effect)


# A proc of the new user namespace is mounted first where binfmt_misc goes to its usual place.
def _binfmt(fields: _Fields, value: object) -> _Fields:
    if value is not None:
        return {"mount_binfmt": value}
    return {"mount_binfmt": BINFMT_MISC, "mount_proc": fields.get("mount_proc") or PROC}


def _interpreter(fields: _Fields, value: object) -> _Fields:
    placed = {} if fields.get("mount_binfmt") else _binfmt(fields, None)
    return {**placed, "load_interp": value}


# -r and -c stand before --map-user, and --mount-binfmt before --load-interp: `to_argv` keeps the
# order of the rows, and a later option may replace what an earlier one set.
_ROWS: tuple[Option, ...] = (
    Option(name="mount-proc", group=_FILES, field="mount_proc", bare=PROC, kind=values.DIRECTORY,
           argument=Argument.OPTIONAL, help="mount proc at <dir>, else at /proc (implies --mount)"),
    Option(name="mount-binfmt", group=_FILES, field="mount_binfmt", kind=values.DIRECTORY,
           argument=Argument.OPTIONAL, effect=_binfmt,
           help="mount binfmt_misc at <dir> (implies --user and --mount)"),
    Option(name="load-interp", short="l", group=_FILES, field="load_interp",
           kind=values.INTERPRETER, argument=Argument.REQUIRED, effect=_interpreter,
           help="register an interpreter for binaries (implies --mount-binfmt)"),
    _value("propagation", values.PROPAGATION, _FILES,
           "what mounts do to each other in the mount namespace: private unless given"),
    _value("root", values.DIRECTORY, _FILES, "make <dir> the root directory", short="R"),
    _value("wd", values.DIRECTORY, _FILES, "change to <dir>", short="w"),
    Option(name="map-root-user", short="r", group=_USERS, field="map_root_user",
           effect=lambda *_: _map_self("map_root_user", "map_current_user"),
           help="map the current user and group to root (implies --user)"),
    Option(name="map-current-user", short="c", group=_USERS, field="map_current_user",
           effect=lambda *_: _map_self("map_current_user", "map_root_user"),
           help="map the current user and group to themselves (implies --user)"),
    _value("map-user", values.USER, _USERS, "map the current user to <uid> (implies --user)"),
    _value("map-group", values.GROUP, _USERS, "map the current group to <gid> (implies --user)"),
    _value("map-users", values.ID_MAP, _USERS,
           "map <count> users, or auto|subids|all (implies --user)", repeats=True),
    _value("map-groups", values.ID_MAP, _USERS,
           "map <count> groups, or auto|subids|all (implies --user)", repeats=True),
    _sub_ids("map-auto", "auto", "map the subordinate ids, from 0 on (implies --user)"),
    _sub_ids("map-subids", "subids", "map the subordinate ids to themselves (implies --user)"),
    _value("owner", values.OWNER, _USERS, "set who owns the user namespace (implies --user)"),
    _value("setgroups", values.SETGROUPS, _USERS,
           "whether the user namespace lets setgroups(2) be called"),
    _value("setuid", values.UID, _USERS, "set the user id inside", short="S"),
    _value("setgid", values.GID, _USERS, "set the group id inside, drop other groups", short="G"),
    _flag("keep-caps", _USERS, "keep capabilities that the user namespace gave"),
    Option(name="fork", short="f", group=_PROCESS, field="fork", help="fork before the program"),
    Option(name="kill-child", group=_PROCESS, field="kill_child", kind=values.SIGNAL,
           argument=Argument.OPTIONAL, bare="SIGKILL",
           help="end with us (implies --fork); here always so, by SIGKILL whatever <signame>"),
    _flag("forward-signals", _PROCESS, "pass SIGTERM and SIGINT on to the child (implies --fork)"),
    _value("monotonic", values.OFFSET, _REST, "seconds to add to CLOCK_MONOTONIC (with --time)"),
    _value("boottime", values.OFFSET, _REST, "seconds to add to CLOCK_BOOTTIME (with --time)"),
    _flag("clear-env", _REST, "start with no environment variables"),
    _value("whitelist-env", values.ENVIRONMENT, _REST,
           "clear the environment except for these variables", field="whitelist_env", repeats=True),
)  # fmt: skip

_EXAMPLE = """\
%%unshare --user --map-root-user --pid --mount-proc
import os
print(os.getpid(), os.getuid())
!ps -ef"""

UNSHARE = Table(
    program="unshare",
    example=_EXAMPLE,
    summary="Run the cell or a program in new namespaces.",
    options=(
        *map(_namespace, NAMESPACES),
        *_ROWS,
        asks("help", "h", "show this help"),
        asks("version", "V", "show the version"),
    ),
    extra=OURS,
)
