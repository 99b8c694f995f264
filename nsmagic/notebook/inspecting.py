"""Shift-Tab: help for a magic, and first of all for the option at the cursor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from nsmagic.notebook.magicline import find_line

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_MARK: Final = "nsmagic_before"


def install(shell: InteractiveShell) -> None:
    """Answer for the lines of our magics; a kernel knows a magic's help only at its name."""
    kernel: Any = getattr(shell, "kernel", None)
    if kernel is None:
        return
    remove(shell)
    before: Callable[..., object] = kernel.do_inspect

    def do_inspect(code: str, cursor_pos: int, *args: object, **options: object) -> object:
        text = help_at(shell, code, cursor_pos)
        if text:
            data = {"text/plain": text}
            return {"status": "ok", "found": True, "data": data, "metadata": {}}
        return before(code, cursor_pos, *args, **options)

    setattr(do_inspect, _MARK, before)
    kernel.do_inspect = do_inspect


def remove(shell: InteractiveShell) -> None:
    """Let the kernel answer alone, also after a load before this one."""
    kernel: Any = getattr(shell, "kernel", None)
    if kernel is not None and hasattr(kernel.do_inspect, _MARK):
        del kernel.do_inspect  # the class has its own


def help_at(shell: InteractiveShell, code: str, cursor: int) -> str:
    """Return help for what stands at the cursor, "" where that is no line of our magics."""
    *above, line = code[:cursor].split("\n")
    rest_of_word = code[cursor:].split("\n", 1)[0]
    line += rest_of_word.split(None, 1)[0] if rest_of_word[:1].strip() else ""
    found = find_line(shell, line, above)
    if found is None:
        return ""
    from nsmagic.wish.usage import help_at_word, help_text

    table = found.entry.table
    return "\n\n".join(filter(None, (help_at_word(table, found.rest), help_text(table))))
