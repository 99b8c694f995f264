"""Runs the probes in any kind of cell, in a notebook that has something to be reached."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.isolation import probes
from tests.isolation.kinds import Kind
from tests.support.kernel_driver import KernelDriver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.isolation.kinds import Kind
    from tests.support.user import Account

SOURCE = Path(probes.__file__).read_text()
Row = dict[str, bool | None]


@dataclass(frozen=True, kw_only=True)
class Victim:
    """A notebook and what is its user's: `facts` is what the probes are told."""

    kernel: KernelDriver
    facts: dict[str, Any]
    account: Account | None


@contextlib.contextmanager
def victim(account: Account | None) -> Iterator[Victim]:
    """A notebook with secrets, whose user also listens on sockets of every kind."""
    secret = f"nsmagic-probe-{os.getpid()}"
    with contextlib.ExitStack() as stack:
        # Not in /tmp, which a profile may hide, and where the files of users are not.
        folder = tempfile.TemporaryDirectory(prefix="nsp-", dir="/var/tmp")
        home = Path(stack.enter_context(folder))
        tcp, abstract, path = (
            stack.enter_context(socket.socket(family))
            for family in (socket.AF_INET, socket.AF_UNIX, socket.AF_UNIX)
        )
        tcp.bind(("127.0.0.1", 0))
        abstract.bind(f"\0{secret}")
        path.bind(str(home / "socket"))
        for sock in (tcp, abstract, path):
            sock.listen(64)
        (home / "file").write_text(secret)
        (home / "file").chmod(0o600)
        (home / "jail" / "proc").mkdir(parents=True)
        _new_keyring(secret)
        kernel = stack.enter_context(KernelDriver(account=account, env={"NSMAGIC_PROBE": secret}))
        connection = Path(kernel.manager.connection_file)
        (home / "connection").write_bytes(connection.read_bytes())
        (home / "connection").chmod(0o600)
        if account is not None:
            for each in (home, *home.rglob("*")):
                os.chown(each, account.uid, account.gid)
        facts = {
            "secret": secret, "file": str(home / "file"), "socket": str(home / "socket"),
            "abstract": secret, "port": tcp.getsockname()[1], "pid": kernel.pid,
            "connection": str(home / "connection"), "argument": str(connection), "descriptor": 200,
            "address": kernel.manager.ip, "shell_port": kernel.manager.shell_port,
            "jail": str(home / "jail"),
            "user_namespace": os.readlink("/proc/self/ns/user"),
            "cgroups": list(_groups(kernel.pid)),
            "start": Path(f"/proc/{kernel.pid}/stat").read_text().rpartition(")")[2].split()[19],
        }  # fmt: skip
        kernel.run(SOURCE, raise_error=True)
        kernel.run(_PREPARE.format(facts=facts), raise_error=True)
        yield Victim(kernel=kernel, facts=facts, account=account)


_PREPARE = """
facts, jail = {facts}, {facts}["jail"]
secret_variable = facts["secret"]
held = os.open(facts["file"], os.O_RDONLY)
_ = os.dup2(held, facts["descriptor"])
"""
_NUMBERS = {"x86_64": (250, 248), "aarch64": (219, 217)}  # keyctl(2), add_key(2)


def _new_keyring(secret: str) -> None:
    """Begin a session keyring for this process and what it starts, and put a key into it."""
    libc = ctypes.CDLL(None, use_errno=True)
    keyctl, add_key = _NUMBERS.get(platform.machine(), (-1, -1))
    libc.syscall(keyctl, 1, None)  # KEYCTL_JOIN_SESSION_KEYRING
    libc.syscall(add_key, b"user", secret.encode(), b"x", 1, -3)


def _groups(pid: int) -> Iterator[str]:
    """The cgroups of a process, as directories."""
    points = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        root, point = left.split()[3:5]
        kind, _, options = right.split()[:3]
        if kind == "cgroup2":
            points[""] = point, root
        elif kind == "cgroup":
            points |= dict.fromkeys(options.split(","), (point, root))
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            if name in points:
                point, root = points[name]
                yield point + path.removeprefix(root.rstrip("/"))


def probed(seen: Victim, kind: Kind) -> Row:
    """Run the probes in a cell of one kind."""
    if kind.spec is not None:
        return _in_a_boxed_kernel(seen, kind)
    kernel = seen.kernel
    if kind.before:
        kernel.run(kind.before, raise_error=True, timeout=60)
    python = kernel.run("import sys; sys.executable").text.strip("'")
    head = kind.head.format(python=python, jail=seen.facts["jail"])
    call = "print(json.dumps(probe_all(facts)))"
    body = f"{SOURCE}\nfacts = {seen.facts}\n{call}" if kind.program else kind.inside + call
    run = kernel.run(f"{head}\n{body}", timeout=60, raise_error=True)
    if kind.after:
        kernel.run(kind.after, raise_error=True)
    return _last_line(run.stdout)


def _last_line(text: str) -> Row:
    found: Row = json.loads(text.strip().splitlines()[-1])
    return found


_BOXED = """
import nbformat
from nbclient.client import NotebookClient
from nsmagic.notebook.boxing import Boxing
from nsmagic.notebook.kernelspecs import Place, isolate
isolate("python3", Boxing(name="probed", unshare={unshare!r}, profile={profile!r}),
        Place(user=True), replacing=True)
cells = [{source!r}, "print(json.dumps(probe_all({facts})))"]
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in cells])
NotebookClient(notebook, kernel_name="probed", timeout=60).execute()
print(notebook.cells[1].outputs[0]["text"])
"""


def _in_a_boxed_kernel(seen: Victim, kind: Kind) -> Row:
    """Run them in another notebook of the same user, which is whole in a box."""
    assert kind.spec is not None
    unshare, profile = kind.spec
    program = _BOXED.format(
        unshare=unshare, profile=profile or None, source=SOURCE, facts=seen.facts
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSMAGIC_PROBE", seen.facts["secret"])
        patch.setenv("JUPYTER_DATA_DIR", str(Path(seen.facts["file"]).parent / "data"))
        patch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
        if seen.account is not None:
            done = seen.account.run([seen.account.python, "-c", program], timeout=100)
        else:
            argv = [sys.executable, "-c", program]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return _last_line(done.stdout)
