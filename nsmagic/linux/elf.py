"""Reads from a file what it names to be started with: elf(5) headers, or the line after `#!`."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nsmagic.wish.errors import NsmagicError

if TYPE_CHECKING:
    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.elffile import ELFFile

_SCRIPT_LINE: Final = 256  # BINPRM_BUF_SIZE of Linux: more of a first line is not read


@dataclass(frozen=True, kw_only=True)
class Elf:
    """What ld.so(8) takes from a program or library.

    `machine` and `bits` must be alike in all that one process loads.  `rpath` and `runpath` are
    the lists as written, with `$ORIGIN` and its kin.
    """

    machine: str
    bits: int
    interpreter: str = ""
    soname: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()

    def runs_with(self, other: Elf) -> bool:
        """Return whether one process can hold both."""
        return (self.machine, self.bits) == (other.machine, other.bits)


@dataclass(frozen=True, kw_only=True)
class Script:
    """The first line of a script: its interpreter, and the one argument that Linux passes on."""

    interpreter: str
    argument: str = ""


class DamagedError(NsmagicError):
    """The file begins as ELF files do and cannot be read as one."""


def read_head(file: Path) -> Elf | Script | None:
    """Return what `file` names to be run with, None if nothing.

    Raises DamagedError, and OSError where the file cannot be read.
    """
    with file.open("rb") as content:
        head = content.read(_SCRIPT_LINE)
        if head.startswith(b"#!"):
            return _script(head)
        if not head.startswith(b"\x7fELF"):
            return None
    return read_elf(file)


def _script(head: bytes) -> Script | None:
    # Only blanks and tabs part words there: a carriage return belongs to the name.
    line = head[2:].partition(b"\n")[0].strip(b" \t\0")
    words = re.split(rb"[ \t]+", line, maxsplit=1)
    name, argument = (os.fsdecode(word) for word in (*words, b"")[:2])
    return Script(interpreter=name, argument=argument) if name else None


def read_elf(file: Path) -> Elf:
    """Return the headers of an ELF file; raises DamagedError if it is none that can be read."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    with file.open("rb") as content:
        try:
            return _headers(ELFFile(content))
        # What pyelftools raises besides its own errors when fields point anywhere.
        except (ELFError, ArithmeticError, AssertionError, AttributeError, LookupError, OSError,
                TypeError, ValueError) as error:  # fmt: skip
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # of lseek(2)
                raise
            raise DamagedError(
                f"{file} is cut off or damaged: its ELF headers cannot be read"
            ) from error


def _headers(elf: ELFFile) -> Elf:
    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.segments import InterpSegment

    found: dict[str, Any] = {"machine": str(elf.header["e_machine"]), "bits": elf.elfclass}
    for segment in elf.iter_segments():
        if isinstance(segment, InterpSegment):
            found["interpreter"] = segment.get_interp_name()
        elif isinstance(segment, DynamicSegment):
            found |= _dynamic(segment)
    return Elf(**found)


def _dynamic(segment: DynamicSegment) -> dict[str, Any]:
    texts: dict[str, list[str]] = {"NEEDED": [], "SONAME": [], "RPATH": [], "RUNPATH": []}
    for tag in segment.iter_tags():
        name = str(tag.entry.d_tag).removeprefix("DT_")
        if name in texts:
            texts[name].append(str(getattr(tag, name.lower())))
    return {
        "needed": tuple(texts["NEEDED"]),
        "soname": "".join(texts["SONAME"][-1:]),
        "rpath": tuple(path for text in texts["RPATH"] for path in text.split(":")),
        "runpath": tuple(path for text in texts["RUNPATH"] for path in text.split(":")),
    }


def foreign_machine(elf: Elf) -> str:
    """Return the machine that `elf` was built for, empty if it is this Python's."""
    ours = read_elf(Path("/proc/self/exe"))
    return "" if elf.machine == ours.machine else elf.machine.removeprefix("EM_")
