"""The one table of system calls that a filter refuses, and the filter made of it, seccomp(2).

The rows are those of Docker's default profile: what it does not let a container without further
capabilities do, https://docs.docker.com/engine/security/seccomp/ and
https://github.com/moby/profiles/blob/main/seccomp/default.json.  Docker lists what it allows, and
answers EPERM to every call that is newer than its list, for which C libraries then have no way
round (clone3, faccessat2).  This is the list of what is refused, so what it does not know works.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from nsmagic.wish.errors import WishError
from nsmagic.wish.namespaces import NAMESPACES


@dataclass(frozen=True, kw_only=True)
class Call:
    """A system call by its number on x86-64, and on the machines of asm-generic/unistd.h; or None.

    It is refused with `error`: always, or if its first argument has one of `bits`, is one of
    `only`, or is none of `unless`, each of which is about the lower 32 bits.
    """

    name: str
    x86_64: int | None
    generic: int | None
    error: int = errno.EPERM
    bits: int = 0
    only: tuple[int, ...] = ()
    unless: tuple[int, ...] = ()


def _rows(text: str) -> tuple[Call, ...]:
    found = []
    for entry in text.replace("\n", ",").split(","):
        if entry.strip():
            name, *numbers = entry.split()
            first, second = (None if each == "-" else int(each) for each in numbers)
            found.append(Call(name=name, x86_64=first, generic=second))
    return tuple(found)


# All but CLONE_NEWTIME, whose bit clone(2) uses for a signal.
_CLONE_NEW: Final = sum(row.flag for row in NAMESPACES if row.name != "time")
_PERSONALITIES: Final = (0x0, 0x8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF)  # as Docker allows them
_AF_ALG, _AF_VSOCK = 38, 40  # crypto of Linux, and the host of a virtual machine

DOCKER: Final = (
    # Its arguments are in memory, which a filter cannot read; told ENOSYS, libc takes clone.
    Call(name="clone3", x86_64=435, generic=435, error=errno.ENOSYS),
    Call(name="clone", x86_64=56, generic=220, bits=_CLONE_NEW),
    Call(name="personality", x86_64=135, generic=92, unless=_PERSONALITIES),
    Call(name="socket", x86_64=41, generic=198, only=(_AF_ALG, _AF_VSOCK)),
    *_rows(
        # namespaces and mounts
        """unshare 272 97, setns 308 268, mount 165 40, umount2 166 39, pivot_root 155 41
        open_tree 428 428, move_mount 429 429, fsopen 430 430, fsconfig 431 431, fsmount 432 432
        fspick 433 433, mount_setattr 442 442, sethostname 170 161, setdomainname 171 162
        """
        # keyrings, which belong to no namespace before Linux 5.3
        """add_key 248 217, request_key 249 218, keyctl 250 219
        """
        # Linux itself: modules, other Linuxes, clocks, swap, quota, its log
        """init_module 175 105, finit_module 313 273, delete_module 176 106, create_module 174 -
        query_module 178 -, get_kernel_syms 177 -, kexec_load 246 104, kexec_file_load 320 294
        reboot 169 142, settimeofday 164 170, clock_settime 227 112, clock_adjtime 305 266
        swapon 167 224, swapoff 168 225, acct 163 89, quotactl 179 60, quotactl_fd 443 443
        syslog 103 116, vhangup 153 58, ioperm 173 -, iopl 172 -
        """
        # tracing, and what was often a way into Linux
        """bpf 321 280, perf_event_open 298 241, userfaultfd 323 282, lookup_dcookie 212 18
        fanotify_init 300 262, open_by_handle_at 304 265, io_uring_setup 425 425
        io_uring_enter 426 426, io_uring_register 427 427, kcmp 312 272, pidfd_getfd 438 438
        """
        # memory of other processors, and calls that nothing needs
        """mbind 237 235, get_mempolicy 239 236, set_mempolicy 238 237, migrate_pages 256 238
        set_mempolicy_home_node 450 450, move_pages 279 239, nfsservctl 180 42, _sysctl 156 -
        sysfs 139 -, uselib 134 -, ustat 136 -"""
    ),
)  # fmt: skip
# Docker allows these since Linux 4.8, where ptrace(2) cannot get round a filter any more.
HARDENED: Final = DOCKER + _rows(
    "ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271"
)

# How <linux/audit.h> calls a machine, and its column of the table.
_MACHINES: Final = {
    "x86_64": (0xC000_003E, "x86_64"),
    "aarch64": (0xC000_00B7, "generic"),
    "riscv64": (0xC000_00F3, "generic"),
}
_X32: Final = 0x4000_0000  # in the number of a call: the ABI x32, by other numbers

# Instructions of classic BPF, bpf(4): load a word, jump if equal, greater or equal, or any bit is
# set, return.
_LOAD, _EQUAL, _AT_LEAST, _ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000  # SECCOMP_RET_*
# Offsets in struct seccomp_data; all machines above store the lower half of an argument first.
_NUMBER, _MACHINE, _ARGUMENT = 0, 4, 16

Instruction = tuple[int, int, int, int]  # struct sock_filter: code, jump if true, if false, operand
ALLOW_ALL: Final[tuple[Instruction, ...]] = ((_RETURN, 0, 0, _ALLOW),)


def compile_filter(calls: Iterable[Call], machine: str) -> tuple[Instruction, ...]:
    """Return the BPF program that refuses `calls` on a machine as uname(2) calls it.

    Also every call of another ABI of that machine, such as x32: its numbers mean other calls.
    Linux remembers which numbers are allowed whatever the arguments (5.11), so the length of the
    program costs nothing there.  Raises WishError where there is no table for the machine.
    """
    if machine not in _MACHINES:
        raise WishError(f"no table of system call numbers for {machine}: no seccomp filter")
    arch, column = _MACHINES[machine]
    refuse = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    program = [(_LOAD, 0, 0, _MACHINE), (_EQUAL, 1, 0, arch), refuse, (_LOAD, 0, 0, _NUMBER)]
    if machine == "x86_64":
        program += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    for call in calls:
        number = getattr(call, column)
        if number is not None:
            rest = tuple(_test(call))
            program += [(_EQUAL, 0, len(rest), number), *rest]
    return (*program, *ALLOW_ALL)


def _test(call: Call) -> Iterator[Instruction]:
    """Yield what is done once the call is known: it ends in a return either way."""
    refuse, allow = (_RETURN, 0, 0, _ERRNO | call.error), (_RETURN, 0, 0, _ALLOW)
    if call.bits:
        yield from ((_LOAD, 0, 0, _ARGUMENT), (_ANY, 0, 1, call.bits), refuse, allow)
        return
    listed = call.only or call.unless
    if listed:
        yield (_LOAD, 0, 0, _ARGUMENT)
        for index, value in enumerate(listed):
            yield (_EQUAL, len(listed) - index, 0, value)
        yield from (allow, refuse) if call.only else (refuse, allow)
        return
    yield refuse


def packed(program: Iterable[Instruction]) -> bytes:
    """Return the program as an array of struct sock_filter."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
