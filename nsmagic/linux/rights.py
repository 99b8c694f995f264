"""The system calls about what a process may do: capabilities, filters, keyrings.

Every failure is an OSError.  Constants carry the names of the man pages they come from.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Final

from nsmagic.linux.syscalls import fail, libc, nr, prctl

CAP_SETGID: Final = 6
CAP_SYS_CHROOT: Final = 18
CAP_SYS_ADMIN: Final = 21

# of prctl(2)
PR_SET_SECCOMP: Final = 22
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_IS_SET: Final = 1
PR_CAP_AMBIENT_RAISE: Final = 2
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

_SECCOMP_MODE_FILTER: Final = 2  # of PR_SET_SECCOMP(2const)
_JOIN_SESSION_KEYRING: Final = 1  # of keyctl(2)
_CAPABILITIES: Final = 64  # bits in a set


def effective_capabilities() -> int:
    """Return the calling thread's effective capability set as a bit mask, capabilities(7)."""
    return _capabilities()[0]


def keep_capabilities() -> None:
    """Make the permitted set inheritable and ambient, so that execve(2) keeps it."""
    effective, permitted, _ = _capabilities()
    _set_capabilities(effective, permitted, permitted)
    for capability in range(_CAPABILITIES):
        if permitted >> capability & 1:
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def lose_capabilities() -> None:
    """Keep the capabilities that execve(2) of a plain program would: root all, others the ambient.

    See "Transformation of capabilities during execve()" in capabilities(7).
    """
    if 0 in os.getresuid()[:2]:
        return
    _, permitted, inheritable = _capabilities()
    ambient = sum(
        1 << capability
        for capability in range(_CAPABILITIES)
        if permitted >> capability & 1 and prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability)
    )
    _set_capabilities(ambient, ambient, inheritable)


_CAPABILITIES_V3: Final = 0x20080522


def _capabilities() -> tuple[int, int, int]:
    """Return the effective, permitted and inheritable sets of this thread, capget(2)."""
    header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITIES_V3, 0), 8)
    data = ctypes.create_string_buffer(24)
    if libc.capget(header, data) != 0:
        fail()
    words = struct.unpack("6I", data.raw)
    effective, permitted, inheritable = (words[i] | words[i + 3] << 32 for i in range(3))
    return effective, permitted, inheritable


def _set_capabilities(effective: int, permitted: int, inheritable: int) -> None:
    sets = effective, permitted, inheritable
    words = [each & 0xFFFF_FFFF for each in sets] + [each >> 32 for each in sets]
    header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITIES_V3, 0), 8)
    if libc.capset(header, ctypes.create_string_buffer(struct.pack("6I", *words), 24)) != 0:
        fail()


def bound_capabilities() -> None:
    """Empty the bounding set of this thread; needs CAP_SETPCAP."""
    for capability in range(_CAPABILITIES):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno != errno.EINVAL:  # there is none of that number
                raise
            return


def drop_capabilities() -> None:
    """Empty the ambient, effective, permitted and inheritable sets of this thread."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    _set_capabilities(0, 0, 0)


def forbid_new_privileges() -> None:
    """Have execve(2) give nothing any more that this process lacks, PR_SET_NO_NEW_PRIVS(2const)."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def install_filter(program: bytes) -> None:
    """Put a filter, an array of struct sock_filter, on this thread for good: seccomp(2)."""
    instructions = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: u16 and a pointer
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    buffer = ctypes.create_string_buffer(header, len(header))
    prctl(PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(buffer))


def join_new_keyring() -> None:
    """Have an empty session keyring of one's own, keyctl(2)."""
    arguments = ctypes.c_long(nr("keyctl")), ctypes.c_long(_JOIN_SESSION_KEYRING), None
    if libc.syscall(*arguments) < 0:
        fail()
