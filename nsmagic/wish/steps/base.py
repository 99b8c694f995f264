"""What every step of a plan has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to do to the system.

    `ahead` steps are done by our parent before there is a child, `outside` steps to its PID.
    """

    name: ClassVar[str]
    ahead: ClassVar[bool] = False
    outside: ClassVar[bool] = False
    _options: ClassVar[tuple[str, ...]] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """The fields of Isolation by which unshare(1) does the same."""
        return self._options

    @property
    def label(self) -> str:
        """What a table calls the step: its name, more exact where the name stands for several."""
        return self.name

    def shell(self) -> str:
        """Return what to type into a root shell for the same effect on that shell.

        Empty where nothing typed there has it: unshare(1) must do it, before it starts the shell.
        """
        return ""

    def syscalls(self) -> tuple[str, ...]:
        """Return the system calls as `strace -y` prints them, with FD, PID and ENV for what varies.

        Parentheses around the whole mean that there is none, and why.
        """
        raise TypeError(f"{type(self).__name__} does not say its system calls")

    def syscall(self) -> str:
        """Return all the system calls in one line."""
        return ", ".join(self.syscalls())


_LONGEST: Final = 500


def quoted(text: str) -> str:
    """Return `text` as a C string, as strace(1) quotes it: the start of it, where it is long."""
    escapes = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\t": r"\t"}
    shown = "".join(escapes.get(char, char) for char in text[:_LONGEST])
    return f'"{shown}"' + ("..." if len(text) > _LONGEST else "")


def write_call(path: str, text: str) -> str:
    """Return a write(2) of `text` to a file, as strace(1) shows it."""
    length = len(text.encode(errors="surrogateescape"))
    return f"write(FD<{path}>, {quoted(text)}, {length})"


def execve_call(argv: Sequence[str]) -> str:
    """Return an execve(2) of `argv`, as strace(1) shows it."""
    # A bare name is looked for along PATH; which try succeeds is known only when it is run.
    path = argv[0] if "/" in argv[0] else f".../{argv[0]}"
    return f"execve({quoted(path)}, [{', '.join(map(quoted, argv))}], ENV)"
