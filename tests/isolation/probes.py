"""What a process can reach of the notebook that it belongs to.  Run inside each kind of cell.

Defined in the notebook before the cell, or read as a program by a Python in it: so it needs nothing
but what is imported here, and asks Linux itself.  `FACTS` says what there is to be reached.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.restype = ctypes.c_long
_PTRACE_SEIZE = 0x4206
_KEYCTL = {"x86_64": 250, "aarch64": 219}.get(platform.machine(), -1)
_KEYCTL_SEARCH, _SESSION_KEYRING = 10, -3
_CLONE_NEWUSER = 0x10000000
_CAP_SYS_ADMIN = 21

Facts = dict[str, Any]


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(1 << 20)


def _kernels(facts: Facts) -> list[str]:
    """The kernel's number in the /proc that is mounted here; its copies started later."""
    return [name for name in filter(str.isdecimal, os.listdir("/proc")) if _is_kernel(name, facts)]


def _is_kernel(name: str, facts: Facts) -> bool:
    with suppress(OSError, LookupError):
        started = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()[19]
        words = _read(f"/proc/{name}/cmdline")
        return started == facts["start"].encode() and facts["argument"].encode() in words
    return False


def open_files(facts: Facts) -> bool:
    """Read a file through the number by which the notebook has it open."""
    return bool(os.pread(facts["descriptor"], 100, 0) == facts["secret"].encode())


def variables(facts: Facts) -> bool:
    """Find the value of a variable of the notebook."""
    notebook = sys.modules["__main__"]
    return bool(getattr(notebook, "secret_variable", None) == facts["secret"])


def environment(facts: Facts) -> bool:
    """Find a variable of the environment that the kernel was started with."""
    return bool(os.environ.get("NSMAGIC_PROBE") == facts["secret"])


def command_line(facts: Facts) -> bool:
    """See that the kernel runs, and how it was started."""
    return bool(_kernels(facts))


def proc_environ(facts: Facts) -> bool:
    """Read the kernel's /proc/PID/environ."""
    return any(facts["secret"].encode() in _read(f"/proc/{n}/environ") for n in _kernels(facts))


def memory(facts: Facts) -> bool:
    """Read the kernel's memory, /proc/PID/mem."""
    for name in _kernels(facts):
        start = int(_read(f"/proc/{name}/maps").split(b"-", 1)[0], 16)
        fd = os.open(f"/proc/{name}/mem", os.O_RDONLY)
        with suppress(OSError):
            return len(os.pread(fd, 16, start)) == 16
        os.close(fd)
    return False


def trace(facts: Facts) -> bool:
    """Attach to the kernel by ptrace(2), with which anything can be made of it."""
    kernels = _kernels(facts)  # let go of when the process ends that traces them
    return _in_a_child(
        lambda: any(_LIBC.ptrace(_PTRACE_SEIZE, int(pid), None, None) == 0 for pid in kernels)
    )


def signals(facts: Facts) -> bool:
    """Send the kernel a signal."""
    pids = {facts["pid"], os.getppid(), *map(int, _kernels(facts))} - {0, 1}
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, signal.SIGCONT)  # which does nothing to a process that runs
            if pid == facts["pid"]:
                return True
    return False


def keyring(facts: Facts) -> bool:
    """Find a key in the session keyring, keyrings(7)."""
    name = facts["secret"].encode()
    found = _LIBC.syscall(_KEYCTL, _KEYCTL_SEARCH, _SESSION_KEYRING, b"user", name, 0)
    return bool(found > 0)


def session_key(facts: Facts) -> bool:
    """Read the connection file, and with it the key that signs what a front end asks for."""
    return bool(json.loads(_read(facts["connection"]))["key"])


def kernel_ports(facts: Facts) -> bool:
    """Connect to the port at which the kernel takes cells."""
    return _connects(socket.AF_INET, (facts["address"], facts["shell_port"]))


def host_network(facts: Facts) -> bool:
    """Connect to a service on this machine's 127.0.0.1."""
    return _connects(socket.AF_INET, ("127.0.0.1", facts["port"]))


def abstract_sockets(facts: Facts) -> bool:
    """Connect to an abstract socket, as a desktop's D-Bus and X have them, unix(7)."""
    return _connects(socket.AF_UNIX, "\0" + facts["abstract"])


def path_sockets(facts: Facts) -> bool:
    """Connect to a socket in a directory of the user's alone, as ssh-agent has it."""
    return _connects(socket.AF_UNIX, facts["socket"])


def _connects(family: socket.AddressFamily, address: object) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(2)
        sock.connect(address)  # type: ignore[arg-type]
        return True


def private_files(facts: Facts) -> bool:
    """Read a file of the user's with mode 0600."""
    return bool(_read(facts["file"]) == facts["secret"].encode())


def write_private_files(facts: Facts) -> bool:
    """Write such a file: what the notebook, or a shell, reads at its next start is among them."""
    with open(facts["file"], "ab"):
        return True


def leave_group(facts: Facts) -> bool:
    """Move itself into the kernel's cgroup, out of the one with the cell's limits."""
    moved = 0
    for path in facts["cgroups"]:
        with suppress(OSError), open(f"{path}/cgroup.procs", "w", encoding="ascii") as file:
            file.write("0")
            moved += 1
    return bool(moved)


def machine_root(facts: Facts) -> bool:
    """Be root on this machine: CAP_SYS_ADMIN, and not only in a user namespace of its own."""
    fields = dict(line.split(":\t", 1) for line in _read("/proc/self/status").decode().splitlines())
    if not int(fields["CapEff"], 16) >> _CAP_SYS_ADMIN & 1:
        return False
    return bool(os.readlink("/proc/self/ns/user") == facts["user_namespace"])


def more_namespaces(facts: Facts) -> bool:
    """Make a user namespace, in which ever new parts of Linux can be tried for mistakes."""
    return _in_a_child(lambda: _LIBC.unshare(_CLONE_NEWUSER) == 0)


def _in_a_child(work: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        os._exit(0 if work() else 1)
    return os.waitpid(child, 0)[1] == 0


PROBES: dict[str, Callable[[Facts], bool]] = {
    probe.__name__: probe
    for probe in (
        open_files, variables, environment, command_line, proc_environ, memory, trace, signals,
        keyring, session_key, kernel_ports, path_sockets, abstract_sockets, host_network,
        private_files, write_private_files, leave_group, machine_root, more_namespaces,
    )
}  # fmt: skip


def probe_all(facts: Facts) -> dict[str, bool | None]:
    """Try everything: whether it can be reached, None where there is no way to ask."""
    found: dict[str, bool | None] = {}
    for name, probe in PROBES.items():
        try:
            found[name] = probe(facts)
        except (OSError, LookupError):
            found[name] = False
    return found
