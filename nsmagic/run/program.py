"""A program cell between the spawner's fork and execve(2), where no launcher does it."""

from __future__ import annotations

import errno
import json
import os
import resource
import socket
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from nsmagic.linux import syscalls
from nsmagic.run.boxinit import begin_box, keep_box
from nsmagic.run.channel import Channel
from nsmagic.run.detaching import close_all_but, lead_session, reset_signals
from nsmagic.run.handover import ToParent
from nsmagic.run.perform import perform_all, refuse
from nsmagic.wish import steps


def python_order(plan: Sequence[steps.Step], taken: Mapping[str, Any], *, tty: bool) -> bytes:
    """Return a request for a fork of the spawner; `taken` are the `surroundings()`."""
    environment = {os.fsdecode(k): os.fsdecode(v) for k, v in taken["environment"].items()}
    order = {"steps": [steps.to_json(step) for step in plan], "tty": tty, **taken}
    return json.dumps(order | {"environment": environment}).encode()


def be_ready(orders: Channel) -> NoReturn:
    """Wait, as a fresh fork of the spawner, for a program to run; never returns."""
    try:
        syscalls.die_with_parent()
        reset_signals()
        close_all_but({0, 1, 2, orders.sock.fileno()})
        frame = orders.receive()
        if frame is not None:
            _run(json.loads(frame.buffers[0]), orders)
    finally:
        os._exit(255)


def _run(data: Mapping[str, Any], orders: Channel) -> None:
    channel_fd, *stdio, cwd = orders.fds
    channel = Channel(socket.socket(fileno=channel_fd))
    plan = [steps.from_json(step) for step in data["steps"]]
    os.fchdir(cwd)
    for target, source in enumerate(stdio):
        os.dup2(source, target)
    for fd in (*stdio, cwd):
        os.close(fd)
    os.umask(data["umask"])
    _limit(data)
    _take_environment(data["environment"])
    body = plan[-1]
    program = begin_box() if isinstance(body, steps.KeepBox) else -1
    spent = perform_all(plan, channel, ToParent(orders))
    lead_session(tty=data["tty"])
    channel.send("ready", spent=spent)
    if isinstance(body, steps.KeepBox):
        keep_box(program)
    assert isinstance(body, steps.Exec)
    try:
        _execute(body.argv)
    except OSError as error:
        refuse(len(plan) - 1, OSError(error.errno, error.strerror, body.argv[0]), channel, spent)


def _execute(argv: tuple[str, ...]) -> NoReturn:
    """Call execvp(3), which lets /bin/sh read a text without a #! line; os.execvp does not."""
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        if error.errno != errno.ENOEXEC or not (script := _script(argv[0])):
            raise
    os.execv("/bin/sh", ["sh", script, *argv[1:]])


def _script(name: str) -> str:
    """Return the path of a text that execvp(3) would find; empty if it is none."""
    import shutil  # seldom wanted, and every spawner would wait for it

    path = shutil.which(name) or ""
    with open(path, "rb") as file:
        # bash's rule: no NUL byte in the first line.  execvp(3) gives sh also what is no text.
        return "" if b"\0" in file.read(80).partition(b"\n")[0] else path


def _take_environment(wanted: dict[str, str]) -> None:
    """Take over what differs, which is mostly nothing."""
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _limit(data: Mapping[str, Any]) -> None:
    for number, wanted in data["limits"].items():
        if resource.getrlimit(int(number)) != tuple(wanted):
            resource.setrlimit(int(number), tuple(wanted))
    if os.getpriority(os.PRIO_PROCESS, 0) != data["nice"]:
        os.setpriority(os.PRIO_PROCESS, 0, data["nice"])
    if os.sched_getaffinity(0) != set(data["affinity"]):
        os.sched_setaffinity(0, data["affinity"])
