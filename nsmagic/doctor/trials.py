"""What is done in a child once its namespaces are there; OSError says what Linux refused.

All of it happens in namespaces that end with the child: nothing is written to a disk, and nothing
outside sees it.  Each returns a few words about what it found, or nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from nsmagic.doctor import netlink
from nsmagic.linux import rights, syscalls
from nsmagic.wish.seccomp import ALLOW_ALL, packed

Trial = Callable[[], str]

# A directory that every machine has, covered by a tmpfs that only the child's namespace has.
_PLACE: Final = "/tmp"
_KVM_GET_API_VERSION: Final = 0xAE00
_OWN_LINKS: Final[dict[str, str]] = {}


def nothing() -> str:
    """All was said by the steps before."""
    return ""


def is_new(name: str) -> Trial:
    """Look whether the process is in another namespace than the doctor.

    Sandboxes exist in which unshare(2) returns 0 and does nothing.
    """
    link = f"/proc/self/ns/{name}"
    _OWN_LINKS[name] = _link(link)

    def trial() -> str:
        if _OWN_LINKS[name] and _link(link) == _OWN_LINKS[name]:
            raise OSError(errno.ENOSYS, "unshare(2) returned 0 and changed nothing")
        return ""

    return trial


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""  # no /proc: a check of its own


def hostname() -> str:
    """Take another host name."""
    socket.sethostname("nsmagic-doctor")
    return ""


def lo_up() -> str:
    """Bring up the loopback link, and talk to ourselves over it."""
    syscalls.set_up("lo")
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client.settimeout(1)
        # socket.create_connection loads a codec, from a Python that may be closed to nobody.
        client.connect(server.getsockname())
    return ""


def first_process() -> str:
    """Be PID 1."""
    if os.getpid() != 1:
        raise OSError(errno.ENOSYS, "not PID 1 of the new namespace")
    return ""


def is_root() -> str:
    """Be uid 0 with capabilities: AppArmor may let unshare(2) pass and take them back."""
    if os.getuid() or not rights.effective_capabilities():
        raise OSError(errno.EPERM, "the new user namespace gives no capabilities")
    return ""


def own_clock(before: float) -> Trial:
    """Look whether CLOCK_MONOTONIC is a day ahead of where it was."""

    def trial() -> str:
        if time.clock_gettime(time.CLOCK_MONOTONIC) - before < 80_000:
            raise OSError(errno.ENOSYS, "the offset was taken and changed nothing")
        return ""

    return trial


def tmpfs() -> str:
    """Mount a tmpfs."""
    syscalls.mount("tmpfs", _PLACE, "tmpfs", 0, "size=1m")
    return ""


def bind() -> str:
    """Mount a directory in a second place."""
    tmpfs()
    Path(f"{_PLACE}/one").mkdir()
    Path(f"{_PLACE}/two").mkdir()
    syscalls.mount(f"{_PLACE}/one", f"{_PLACE}/two", None, syscalls.MS_BIND)
    return ""


def overlay() -> str:
    """Mount an overlay, and write to a file of its lower layer."""
    tmpfs()
    for name in ("lower", "upper", "work", "merged"):
        Path(f"{_PLACE}/{name}").mkdir()
    Path(f"{_PLACE}/lower/file").write_text("old")
    layers = f"lowerdir={_PLACE}/lower,upperdir={_PLACE}/upper,workdir={_PLACE}/work"
    syscalls.mount("overlay", f"{_PLACE}/merged", "overlay", 0, layers)
    Path(f"{_PLACE}/merged/file").write_text("new")
    if Path(f"{_PLACE}/upper/file").read_text() != "new":
        raise OSError(errno.EIO, "the overlay did not copy the file up")
    return ""


def chroot() -> str:
    """Change the root directory, and see another one."""
    before = Path("/").stat()
    os.chroot("/usr")
    if os.path.samestat(before, Path("/").stat()):
        raise OSError(errno.ENOSYS, "chroot(2) returned 0 and changed nothing")
    return ""


def pivot_root() -> str:
    """Put another file system in the place of the root one."""
    tmpfs()
    Path(f"{_PLACE}/old").mkdir()
    syscalls.pivot_root(_PLACE, f"{_PLACE}/old")
    if os.listdir("/") != ["old"]:
        raise OSError(errno.ENOSYS, "pivot_root(2) returned 0 and changed nothing")
    return ""


def veth() -> str:
    """Make a virtual cable."""
    netlink.add_veth("nsmagic0", "nsmagic1")
    return ""


def bridge() -> str:
    """Make a bridge."""
    netlink.add_bridge("nsmagic0")
    return ""


def nft() -> str:
    """Make a table of nftables that could do NAT."""
    netlink.add_nat_table("nsmagic")
    return ""


def pressure() -> str:
    """Read the pressure of memory, as every graph of it does."""
    return Path("/proc/pressure/memory").read_text().splitlines()[0]


def seccomp() -> str:
    """Put a seccomp filter on ourselves that allows everything."""
    rights.forbid_new_privileges()
    rights.install_filter(packed(ALLOW_ALL))
    return ""


def strace() -> str:
    """Trace a program."""
    if shutil.which("strace") is None:
        raise OSError(errno.ENOENT, "not installed", "strace")
    done = subprocess.run(
        ["strace", "-o", "/dev/null", "-e", "trace=none", "true"], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise OSError(errno.EPERM, (done.stderr.strip().splitlines() or ["strace failed"])[-1])
    return ""


def kvm() -> str:
    """Open /dev/kvm and ask for its version."""
    fd = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    try:
        return f"API {fcntl.ioctl(fd, _KVM_GET_API_VERSION)}"
    finally:
        os.close(fd)
