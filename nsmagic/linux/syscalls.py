"""The system calls that `os` lacks, each five lines; every failure is an OSError with its path.

Those about rights are in `nsmagic.linux.rights`; no other file has ctypes.  Constants carry the
names of the man pages they come from.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import socket
import struct
from typing import Final, NoReturn

# of mount(2) and umount2(2)
MS_RDONLY: Final = 0x1
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19
MS_SHARED: Final = 1 << 20
MNT_DETACH: Final = 0x2

# of mount_setattr(2)
_MOUNT_ATTR_RDONLY: Final = 1
_AT_RECURSIVE: Final = 0x8000
_AT_FDCWD: Final = -100

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1  # of netdevice(7)

# of prctl(2)
PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
PR_GET_TID_ADDRESS: Final = 40
PR_GET_DUMPABLE: Final = 3
PR_SET_NAME: Final = 15
PR_SET_DUMPABLE: Final = 4

# of clone(2)
CLONE_VM: Final = 0x100
CLONE_VFORK: Final = 0x4000
CLONE_PARENT: Final = 0x8000
CLONE_PARENT_SETTID: Final = 0x0010_0000
CLONE_INTO_CGROUP: Final = 0x2_0000_0000

_SIGCHLD: Final = 17

# syscall(2) numbers: clone3 and later are the same everywhere, the older ones are not.
_NR_CLONE3: Final = 435
_NR_MOUNT_SETATTR: Final = 442
_NR_BY_MACHINE: Final = {
    "x86_64": {"clone": 56, "set_tid_address": 218, "pivot_root": 155, "keyctl": 250},
    "aarch64": {"clone": 220, "set_tid_address": 96, "pivot_root": 41, "keyctl": 219},
    "riscv64": {"clone": 220, "set_tid_address": 96, "pivot_root": 41, "keyctl": 219},
}

libc = ctypes.CDLL(None, use_errno=True)
# PyDLL keeps the GIL: the child of clone() must not have to take it back from a thread it lost.
_libc_with_gil = ctypes.PyDLL(None, use_errno=True)
_long = ctypes.c_long


def fail(path: str | None = None) -> NoReturn:
    """Raise what libc's errno says."""
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), path)


def nr(call: str) -> int:
    """Return a call's number on this machine; OSError (ENOSYS) where none is known."""
    machine = platform.machine()
    try:
        return _NR_BY_MACHINE[machine][call]
    except KeyError:
        raise OSError(38, f"no number known for {call}(2) on {machine}") from None


def unshare(flags: int) -> None:
    """Move the calling process into new namespaces, unshare(2)."""
    if libc.unshare(flags) != 0:
        fail()


def setns(fd: int, nstype: int = 0) -> None:
    """Move the calling thread into the namespace(s) of a file or pidfd, setns(2)."""
    if libc.setns(fd, nstype) != 0:
        fail()


def mount(
    source: str | None, target: str, fstype: str | None, flags: int, data: str | None = None
) -> None:
    """Call mount(2)."""
    strings = [None if text is None else os.fsencode(text) for text in (source, target, fstype)]
    options = None if data is None else os.fsencode(data)
    if libc.mount(*strings, ctypes.c_ulong(flags), options) != 0:
        fail(target)


def read_only(path: str) -> None:
    """Make the mount at `path` and all below it read-only, mount_setattr(2); Linux 5.12."""
    attributes = struct.pack("QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0)
    arguments = _long(_AT_FDCWD), os.fsencode(path), _long(_AT_RECURSIVE), attributes
    if libc.syscall(_long(_NR_MOUNT_SETATTR), *arguments, _long(len(attributes))) != 0:
        fail(path)


def set_up(link: str) -> None:
    """Bring up a network device of our namespace, netdevice(7)."""
    request = struct.pack("16sH14x", os.fsencode(link), _IFF_UP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)


def umount2(target: str, flags: int = 0) -> None:
    """Call umount2(2)."""
    if libc.umount2(os.fsencode(target), flags) != 0:
        fail(target)


def pivot_root(new_root: str, put_old: str) -> None:
    """Call pivot_root(2), which has no wrapper in libc."""
    arguments = os.fsencode(new_root), os.fsencode(put_old)
    if libc.syscall(_long(nr("pivot_root")), *arguments) != 0:
        fail(new_root)


def prctl(option: int, value: int = 0, third: int = 0) -> int:
    """Call prctl(2) with integer arguments."""
    result: int = libc.prctl(option, *map(ctypes.c_ulong, (value, third, 0, 0)))
    if result < 0:
        fail()
    return result


def die_with_parent() -> None:
    """Ask to be killed when the thread ends that made this process; not inherited over fork."""
    prctl(PR_SET_PDEATHSIG, 9)


def set_title(title: str) -> None:
    """Show `title` as our command line, proc_pid_cmdline(5), and as our name.

    Linux shows a string in place of the arguments where their last byte is not NUL.
    """
    with open("/proc/self/stat", "rb") as stat:
        fields = stat.read().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end
    text = os.fsencode(title)[: end - start - 2]
    ctypes.memmove(start, text.ljust(end - start - 1, b"\0") + b"\1", end - start)
    libc.prctl(PR_SET_NAME, text[:15])


def thread_id_address() -> int | None:
    """Return where libc keeps this thread's id, PR_GET_TID_ADDRESS; None where Linux hides it.

    Needs CONFIG_CHECKPOINT_RESTORE.
    """
    address = ctypes.c_void_p()
    if libc.prctl(PR_GET_TID_ADDRESS, ctypes.byref(address), 0, 0, 0) != 0:
        return None
    return address.value


def take_over(tid_address: int, cgroup_fd: int | None = None) -> int:
    """Continue this single-threaded process as a new one in the namespaces just unshared.

    The new process shares the memory of the old one (CLONE_VM) and goes on where it stood; the old
    one sleeps in vfork(2) and must be killed before the new one ends, because its stack is the new
    one's now.  Being CLONE_PARENT, the new one is a child of the old one's parent.  Returns, in the
    new process, its PID as the old one's PID namespace sees it.  Compared with a second fork this
    spares copying the page tables: 8 instead of 14 ms for a kernel of 80 MB.
    Not possible into a time namespace (EINVAL: another vvar page); use `continue_as_child`.
    """
    # Otherwise the end of the old process writes 0 there (mm_release() in Linux), and libc's
    # recursive mutexes take 0 for "nobody".
    libc.syscall(_long(nr("set_tid_address")), None)
    pid = ctypes.c_int()
    flags = CLONE_VM | CLONE_VFORK | CLONE_PARENT | CLONE_PARENT_SETTID
    if _clone(flags, cgroup_fd, pid) != 0:  # pragma: no cover - the old process is killed
        os._exit(1)
    ctypes.c_int.from_address(tid_address).value = os.getpid()
    libc.syscall(_long(nr("set_tid_address")), ctypes.c_void_p(tid_address))
    return pid.value


def continue_as_child(cgroup_fd: int | None = None, *, sibling: bool) -> int:
    """Fork without Python's fork hooks (they ran already); return as os.fork() does.

    With `sibling` the child belongs to the caller's parent (CLONE_PARENT).
    """
    return _clone(CLONE_PARENT if sibling else 0, cgroup_fd, None)


def _clone(flags: int, cgroup_fd: int | None, told: ctypes.c_int | None) -> int:
    """Call clone(2), or clone3 for a cgroup; `told` takes the PID (CLONE_PARENT_SETTID)."""
    tid = 0 if told is None else ctypes.addressof(told)
    if cgroup_fd is None:
        arguments = (flags | _SIGCHLD, 0, tid, 0, 0)
        result: int = _libc_with_gil.syscall(_long(nr("clone")), *map(_long, arguments))
    else:  # struct clone_args: 11 times u64, Linux 5.7
        # With CLONE_PARENT the exit signal is the parent's own; clone3 insists on 0 (EINVAL).
        exit_signal = 0 if flags & CLONE_PARENT else _SIGCHLD
        words = (flags | CLONE_INTO_CGROUP, 0, 0, tid, exit_signal, 0, 0, 0, 0, 0, cgroup_fd)
        packed = ctypes.create_string_buffer(struct.pack("11Q", *words), 88)
        result = _libc_with_gil.syscall(_long(_NR_CLONE3), packed, _long(88))
    if result < 0:
        fail()
    return result


def flush_c_streams() -> None:
    """Write out what C code left in its stdio buffers, fflush(3) of NULL."""
    libc.fflush(None)
