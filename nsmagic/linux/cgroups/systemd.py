"""One delegated scope for the kernel, made by systemd's user manager over D-Bus.

org.freedesktop.systemd1(5): StartTransientUnit with Delegate=yes, then wait for JobRemoved.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nsmagic.linux.cgroups.candidates import (
    SYSTEMD,
    Candidate,
    has_user_manager,
    runtime_directory,
    scope_unit,
)
from nsmagic.linux.cgroups.hierarchies import Hierarchy, words
from nsmagic.wish.errors import CgroupError

if TYPE_CHECKING:
    from jeepney.io.blocking import DBusConnection

_SECONDS: Final = 10.0
_NAME: Final = "org.freedesktop.systemd1"
_PATH: Final = "/org/freedesktop/systemd1"
_MANAGER: Final = "org.freedesktop.systemd1.Manager"


def scope(v2: Hierarchy, uid: int) -> Candidate | None:
    """Return what the user manager can give, None where there is none to ask; nothing is asked yet.

    A notebook in a service of the system is left there: moving out would escape its limits.
    """
    own = v2.own
    if own is None or not has_user_manager():
        return None
    slice_, service = f"user-{uid}.slice", f"user@{uid}.service"
    above = next((path for path in (own, *own.parents) if path.name == slice_), None)
    if above is None:
        return Candidate(
            kind=SYSTEMD, directory=own,
            refusal=f"{own} is no part of your login session ({slice_}), so its limits stay: "
            "systemd's user manager is not asked for a scope",
        )  # fmt: skip
    if any(path.name == scope_unit(os.getpid()) for path in (own, *own.parents)):
        return None
    return Candidate(
        kind=SYSTEMD, directory=above / service,
        addable=words(above / service / "cgroup.controllers"),
    )  # fmt: skip


def moved(leaf: Path) -> str:
    """Return what the person should know of it."""
    return (
        f"the notebook's own processes moved to {leaf.parent.name}, a scope of systemd's user "
        "manager: the groups of your login session belong to root"
    )


def start_scope(pids: Iterable[int]) -> None:
    """Move processes of ours into a delegated scope of their own; CgroupError with the reason."""
    try:
        from jeepney import DBusErrorResponse
        from jeepney.io.blocking import open_dbus_connection
    except ImportError as error:
        raise CgroupError(
            f"systemd's user manager cannot be asked: {error}", hint="%pip install jeepney"
        ) from error
    address = os.environ.get("DBUS_SESSION_BUS_ADDRESS") or f"unix:path={runtime_directory()}/bus"
    try:
        with open_dbus_connection(address) as bus:
            _start(bus, scope_unit(os.getpid()), sorted(pids))
    except (OSError, ValueError, TimeoutError) as error:
        raise CgroupError(
            f"systemd's user manager cannot be asked: the bus {address}: {error}",
            hint="systemctl --user status   shows whether it runs.",
        ) from error
    except DBusErrorResponse as error:
        raise CgroupError(f"systemd's user manager made no scope: {error}") from error


def _start(bus: DBusConnection, name: str, pids: list[int]) -> None:
    from jeepney import DBusAddress, MatchRule, message_bus, new_method_call
    from jeepney.io.blocking import Proxy
    from jeepney.wrappers import unwrap_msg

    manager = DBusAddress(_PATH, bus_name=_NAME, interface=_MANAGER)
    deadline = time.monotonic() + _SECONDS
    rule = MatchRule(type="signal", interface=_MANAGER, member="JobRemoved", path=_PATH)
    Proxy(message_bus, bus).AddMatch(rule)

    def call(method: str, signature: str | None = None, body: tuple[Any, ...] = ()) -> Any:  # noqa: ANN401
        message = new_method_call(manager, method, signature, body)
        return unwrap_msg(bus.send_and_get_reply(message, timeout=_SECONDS))

    call("Subscribe")  # else the manager sends no signals
    with bus.filter(rule, bufsize=64) as jobs:
        properties = [
            ("Description", ("s", "nsmagic: the notebook's kernel and the groups of its cells")),
            ("Delegate", ("b", True)),
            ("CollectMode", ("s", "inactive-or-failed")),
            ("PIDs", ("au", pids)),
        ]
        (job,) = call("StartTransientUnit", "ssa(sv)a(sa(sv))", (name, "fail", properties, []))
        while True:
            left = deadline - time.monotonic()
            _, path, _, result = bus.recv_until_filtered(jobs, timeout=max(left, 0.0)).body
            if path == job:
                break
    if result != "done":
        raise CgroupError(f"systemd's user manager made no scope {name}: the job ended as {result}")


def processes_of_group(own: Path, ours: frozenset[int]) -> frozenset[int]:
    """Return the processes of our own group that are ours: those that go along."""
    return frozenset(int(pid) for pid in words(own / "cgroup.procs")) & ours
