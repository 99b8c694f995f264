"""Everything that nsmagic raises on purpose.

NsmagicError                 one clean message for a person; the notebook shows no traceback of ours
 ├─ WishError                what was typed makes no sense; nothing was touched
 ├─ CgroupError              a cgroup cannot be made, or cannot do what was asked of it
 ├─ StepError                Linux refused one step of the plan; carries step, errno and path
 ├─ CellFailed               the cell ran and ended badly (exit status, signal, timeout, limit)
 ├─ ForkHostile              a fork of the notebook would hang now, and cannot be repaired
 ├─ CheckFailed              an exercise is not done, where that is to be an error
 └─ ChannelError             the child said something that cannot be understood
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Final

from nsmagic.wish.printing import printable

if TYPE_CHECKING:
    from nsmagic.wish.steps import Step


# A string of more than sixty characters, of which a message shows the start.
_LONG_STRING: Final = re.compile(r'"((?:[^"\\]|\\.){60})(?:[^"\\]|\\.)+"(?:\.\.\.)?')


# Between these many characters at both ends a longer word is cut: PATH_MAX is 4096.
_LONG_WORD: Final = re.compile(r"(\S{150})\S{100,}(\S{50})")


class NsmagicError(Exception):
    """Base of all: `str()` is the message, `hint` what to do or type next (may be empty).

    A message is one line that can be shown and sent: what was typed may hold anything, also escape
    sequences of terminals and halves of UTF-16 that no JSON message takes.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(_LONG_WORD.sub(r"\1…\2", printable(message)))
        self.hint = "\n".join(map(printable, hint.split("\n")))


class WishError(NsmagicError):
    """The line typed cannot be understood or contradicts itself."""


class CgroupError(NsmagicError):
    """A group cannot be made here or cannot be limited so; `hint` says what to type."""


class StepError(NsmagicError):
    """Linux refused one step: `step` says which, `number` its errno, `path` on what (or None)."""

    def __init__(self, step: Step, number: int, text: str, path: str | None, hint: str) -> None:
        call = _LONG_STRING.sub(r'"\1"...', step.syscall().replace("\n", "\\n"))
        on = "" if path is None or path in call or path.startswith("/proc/") else f" on {path}"
        name = errno.errorcode.get(number, str(number))
        super().__init__(f"{call} failed{on}: {text} ({name})", hint=hint)
        self.step = step
        self.number = number
        self.path = path


class CellFailed(NsmagicError):
    """The body ended badly: `result` is the `nsmagic.run.result.Result`."""

    def __init__(self, message: str, result: object, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.result = result


class ForkHostile(NsmagicError):
    """Something in this process would hang or break a forked copy, or hang the fork itself."""


class CheckFailed(NsmagicError):
    """An exercise is not done: the message says which fact is not true."""


class ChannelError(NsmagicError):
    """A frame on the channel between child and parent is malformed."""
