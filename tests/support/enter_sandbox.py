"""Enter a blocked sandbox for real, then become a program: `enter_sandbox.py NAME -- PROGRAM...`.

A program of its own with nothing but the standard library and our tables of what Docker refuses,
so that it runs under any Python, as root and as an ordinary user.  Without privileges a user
namespace comes first, as in rootless containers.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from nsmagic.wish.profiles import MASKED_DIRECTORIES, MASKED_FILES, READ_ONLY
from nsmagic.wish.seccomp import DOCKER, compile_filter, packed

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUSER = 0x1000_0000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x4_0000
MOUNT_ATTR_RDONLY, AT_RECURSIVE, AT_FDCWD = 1, 0x8000, -100
PR_SET_SECCOMP, PR_CAPBSET_DROP, SECCOMP_MODE_FILTER = 22, 24, 2
DOCKER_CAPABILITIES = 0xA80425FB
MOUNT_SETATTR = 442

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Raise OSError with the errno of the failed call."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int, *, become_root: bool = False) -> None:
    """unshare(2); in a new user namespace everybody keeps the number it has.

    Root maps all numbers it sees; others can map only themselves, with `become_root` to 0.
    """
    if not flags & CLONE_NEWUSER:
        check(libc.unshare(flags), "unshare")
        return
    # More than one number can be mapped only from outside: user_namespaces(7).
    go_on, ready = os.pipe()
    helper = os.fork()
    if helper == 0:
        if os.read(go_on, 1):
            write_maps(os.getppid(), become_root=become_root)
            os._exit(0)
        os._exit(1)
    check(libc.unshare(flags), "unshare")
    os.write(ready, b"x")
    os.close(go_on)
    os.close(ready)
    assert os.waitstatus_to_exitcode(os.waitpid(helper, 0)[1]) == 0, "the maps were refused"


def write_maps(pid: int, *, become_root: bool) -> None:
    """Fill the maps of a process in a new user namespace, from the one above it."""
    if os.geteuid() == 0:
        for name in ("uid_map", "gid_map"):
            rows = [line.split() for line in Path(f"/proc/self/{name}").read_text().splitlines()]
            text = "".join(f"{inside} {inside} {count}\n" for inside, _, count in rows)
            Path(f"/proc/{pid}/{name}").write_text(text)
        return
    Path(f"/proc/{pid}/setgroups").write_text("deny")
    for name, number in (("uid_map", os.geteuid()), ("gid_map", os.getegid())):
        Path(f"/proc/{pid}/{name}").write_text(f"{0 if become_root else number} {number} 1")


def mount(source: str, target: str, kind: str, flags: int) -> None:
    """mount(2) without data."""
    result = libc.mount(source.encode(), target.encode(), kind.encode(), flags, None)
    check(result, f"mount {target}")


def own_mounts(*, user: bool) -> None:
    """A mount namespace from which nothing travels back, in a user namespace if asked or needed."""
    unshare(CLONE_NEWNS | (CLONE_NEWUSER if user or os.geteuid() else 0), become_root=not user)
    mount("none", "/", "none", MS_REC | MS_PRIVATE)


def read_only(path: str) -> None:
    """Make the mount at `path` and all below it read-only: mount_setattr(2), Linux 5.12."""
    attributes = struct.pack("QQQQ", MOUNT_ATTR_RDONLY, 0, 0, 0)
    result = libc.syscall(
        MOUNT_SETATTR, AT_FDCWD, path.encode(), AT_RECURSIVE, attributes, len(attributes)
    )
    check(result, f"mount_setattr {path}")


def mask(path: str) -> None:
    """Hide a file behind /dev/null and a directory behind an empty tmpfs, as runc does."""
    if Path(path).is_dir():
        mount("tmpfs", path, "tmpfs", 0)
    elif Path(path).exists():
        mount("/dev/null", path, "none", MS_BIND)


def install_filter() -> None:
    """Put the filter on this process for good; needs CAP_SYS_ADMIN, as in Docker's own order."""
    program = packed(compile_filter(DOCKER, platform.machine()))
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    check(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0), "seccomp filter")


def docker() -> None:
    """Docker's defaults: masked and read-only paths, capabilities a80425fb, the seccomp filter."""
    own_mounts(user=False)
    for path in filter(os.path.exists, READ_ONLY):
        mount(path, path, "none", MS_BIND | MS_REC)
        read_only(path)
    for path in (*MASKED_FILES, *MASKED_DIRECTORIES):
        mask(path)
    install_filter()
    for capability in range(int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1):
        if not DOCKER_CAPABILITIES >> capability & 1:
            check(libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "PR_CAPBSET_DROP")


def userns_exhausted() -> None:
    """max_user_namespaces=0, in a user namespace of our own: the number is kept per namespace."""
    before = os.readlink("/proc/self/ns/user")
    unshare(CLONE_NEWUSER)
    assert os.readlink("/proc/self/ns/user") != before, "else the machine's own limit would change"
    Path("/proc/sys/user/max_user_namespaces").write_text("0")


def masked_proc() -> None:
    """Parts of /proc are covered, so a fresh procfs is refused (mount_too_revealing() in Linux)."""
    own_mounts(user=True)
    mask("/proc/sys")
    unshare(CLONE_NEWNS | CLONE_NEWUSER)  # copying into a lesser namespace locks the covers


def readonly_cgroup() -> None:
    """cgroupfs can be read and not written."""
    own_mounts(user=False)
    mount("/sys/fs/cgroup", "/sys/fs/cgroup", "none", MS_BIND | MS_REC)
    read_only("/sys/fs/cgroup")


def few_namespaces() -> None:
    """30 of each type, in a user namespace of our own: what is not given back is soon missing."""
    before = os.readlink("/proc/self/ns/user")
    unshare(CLONE_NEWUSER)
    assert os.readlink("/proc/self/ns/user") != before, "else the machine's own limit would change"
    for file in Path("/proc/sys/user").glob("max_*_namespaces"):
        file.write_text("30")


def small_disks() -> None:
    """File systems of 1 MB on the directories that $NSMAGIC_SMALL_DISKS names."""
    own_mounts(user=False)
    for path in os.environ["NSMAGIC_SMALL_DISKS"].split(":"):
        result = libc.mount(b"tmpfs", path.encode(), b"tmpfs", 0, b"size=1m,mode=0700")
        check(result, f"mount {path}")


def no_cgroup() -> None:
    """No cgroupfs is mounted: an empty directory is in its place."""
    own_mounts(user=False)
    mask("/sys/fs/cgroup")


SANDBOXES = {
    entry.__name__: entry
    for entry in (
        docker, userns_exhausted, masked_proc, readonly_cgroup, no_cgroup, few_namespaces,
        small_disks,
    )
}  # fmt: skip


def main() -> None:
    """Enter the named sandbox and become the program after `--`."""
    name, dashes, *program = sys.argv[1:]
    assert dashes == "--", "usage: enter_sandbox.py NAME -- PROGRAM [ARG]..."
    SANDBOXES[name]()
    os.execvp(program[0], program)


if __name__ == "__main__":
    main()
