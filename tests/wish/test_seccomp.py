"""The table of refused calls against libseccomp's, and the filter against what the table says."""

from __future__ import annotations

import ctypes
import errno
import struct
from typing import Final

import pytest

from nsmagic.wish.errors import WishError
from nsmagic.wish.profiles import HARDENED, kept_below
from nsmagic.wish.seccomp import ALLOW_ALL, DOCKER, Call, compile_filter, packed
from tests.support.skips import needs, probe

ARCHES: Final = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7, "riscv64": 0xC000_00F3}
ALLOWED, KILLED = 0, -1
READ, CLONE_NEWUSER, CLONE_NEWTIME, SIGCHLD = 0, 0x1000_0000, 0x80, 17


@probe
def libseccomp_is_there() -> str | None:
    """Every Debian has it; its table of calls is another hand's."""
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return "libseccomp is not installed"
    return None


def numbers(call: Call) -> dict[str, int | None]:
    return {"x86_64": call.x86_64, "aarch64": call.generic, "riscv64": call.generic}


def answer(machine: str, number: int, first: int = 0, *, arch: int | None = None) -> int:
    """What Linux does with a call under the hardened filter: the errno, or ALLOWED.

    A machine for the few instructions of classic BPF that the filter uses.
    """
    data = struct.pack("=IIQQ", number, ARCHES[machine] if arch is None else arch, 0, first)
    program = compile_filter(HARDENED.refused, machine)
    accumulator = at = 0
    while True:
        code, yes, no, operand = program[at]
        at += 1
        if code == 0x06:
            return {0x7FFF: ALLOWED, 0x5: operand & 0xFFFF}.get(operand >> 16, KILLED)
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, operand)
            continue
        met = {
            0x15: accumulator == operand, 0x35: accumulator >= operand,
            0x45: bool(accumulator & operand),
        }[code]  # fmt: skip
        at += yes if met else no


@needs(libseccomp_is_there)
@pytest.mark.parametrize("call", HARDENED.refused, ids=lambda call: call.name)
def test_the_numbers_are_those_of_libseccomp(call: Call) -> None:
    library = ctypes.CDLL("libseccomp.so.2")
    for machine, number in numbers(call).items():
        known = library.seccomp_syscall_resolve_name_arch(ARCHES[machine], call.name.encode())
        assert number == (known if known >= 0 else None), machine


@pytest.mark.parametrize("machine", ARCHES)
def test_every_call_of_the_table_is_refused_with_its_errno(machine: str) -> None:
    for call in HARDENED.refused:
        number = numbers(call)[machine]
        if number is None:
            continue
        first = call.bits or (call.only or (7,))[0]
        assert answer(machine, number, first) == call.error, call.name
        if call.bits or call.only or call.unless:
            assert answer(machine, number, (call.unless or (0,))[-1]) == ALLOWED, call.name


@pytest.mark.parametrize("machine", ARCHES)
def test_threads_and_forks_stay_possible(machine: str) -> None:
    clone = next(call for call in DOCKER if call.name == "clone")
    number = numbers(clone)[machine]
    assert number is not None
    assert answer(machine, number, SIGCHLD) == ALLOWED
    assert answer(machine, number, 0x003D_0F00) == ALLOWED  # of pthread_create(3)
    assert answer(machine, number, SIGCHLD | CLONE_NEWUSER) == errno.EPERM
    assert answer(machine, number, CLONE_NEWTIME) == ALLOWED  # a signal's bit here
    assert answer(machine, 435) == errno.ENOSYS


def test_a_call_by_another_abi_is_refused() -> None:
    assert answer("x86_64", READ) == ALLOWED
    assert answer("x86_64", READ, arch=0x4000_0003) == errno.EPERM  # i386
    assert answer("x86_64", 0x4000_0000 | 165) == errno.ENOSYS  # mount of x32
    assert answer("aarch64", READ, arch=0x4000_0028) == errno.EPERM  # arm


def test_no_two_rows_are_about_one_call_and_docker_has_fewer() -> None:
    names = [call.name for call in HARDENED.refused]
    assert len(set(names)) == len(names)
    assert set(HARDENED.refused) - set(DOCKER)
    assert set(DOCKER) < set(HARDENED.refused)


def test_jumps_fit_and_the_program_is_packed() -> None:
    for machine in ARCHES:
        program = compile_filter(HARDENED.refused, machine)
        assert len(program) < 4096  # BPF_MAXINSNS
        assert all(yes < 256 and no < 256 for _, yes, no, _ in program)
    assert packed(ALLOW_ALL) == b"\x06\0\0\0\0\0\xff\x7f"


def test_a_machine_without_a_table() -> None:
    with pytest.raises(WishError, match="no table of system call numbers for s390x"):
        compile_filter(DOCKER, "s390x")


def test_only_what_a_mount_hides_is_kept_and_only_once() -> None:
    kept = ("/tmp/a", "/tmp/a/b", "/tmp/a", "/tmpfoo", "/srv/x", "/tmp", "", "/tmp/c d")
    assert kept_below("/tmp", kept) == ("/tmp/a", "/tmp/c d")
    assert kept_below("/run", kept) == ()
