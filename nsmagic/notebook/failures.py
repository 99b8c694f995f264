"""The boundary: errors of the library and of the cell, as a person reads them in the notebook."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

from IPython.core.error import UsageError

from nsmagic.run.result import Result
from nsmagic.wish.errors import CellFailed, NsmagicError, WishError

NOT_SHOWN: Final = "it was not shown"  # while IPython displayed what a magic had returned
_RED, _OFF = "\x1b[31m", "\x1b[0m"


_CRASHES: Final = {
    # abort(3) takes SIGABRT back to its default, which a PID 1 ignores, and then halts the CPU.
    "SIGSEGV": ": it crashed (in a PID 1 an abort() looks like this too)",
    "SIGABRT": ": it called abort()",
    "SIGBUS": ": it crashed",
    "SIGFPE": ": it crashed",
    "SIGILL": ": it crashed",
}


class CellError(Exception):
    """Base of the exceptions that an isolated cell's own errors become: same name, same text."""


class Interrupted(KeyboardInterrupt):
    """The cell was stopped by the stop button."""


def verdict(error: dict[str, Any] | None, result: Result, what: str) -> str:
    """Return in one line how `what` ended badly; empty if it ended well."""
    if error is not None and not result.stopped:
        return f"{error['ename']}: {error['evalue']}"
    return "" if result.ok else f"{what} {_ending(result)}"


def raise_for(
    error: dict[str, Any] | None, result: Result, what: str, hint: Callable[[], str] = str
) -> None:
    """Raise what the cell raised, or CellFailed saying in words how `what` ended badly.

    `hint` is asked for what to type where the program itself ended badly.
    """
    lines = [] if error is None else list(error["traceback"])
    if result.stopped == "interrupted":
        stopped = Interrupted("interrupted")
        _show_as(stopped, [*lines, f"{_RED}Interrupted{_OFF}: {what} {_ending(result)}"])
        raise stopped
    if result.stopped:
        _raise_failed(f"{what} {_ending(result)}", result, lines)
    if error is not None:
        _raise_as_in_cell(str(error["ename"]), str(error["evalue"]), lines)
    if not result.ok:
        _raise_failed(f"{what} {_ending(result)}", result, lines, details(result) or hint())


def _raise_failed(message: str, result: Result, lines: list[str], hint: str = "") -> NoReturn:
    failed = CellFailed(message, result, hint=hint)
    _show_as(failed, [*lines, *_lines(failed)])
    raise failed


def _raise_as_in_cell(ename: str, evalue: str, traceback: list[str]) -> NoReturn:
    """Raise the error of the child with the child's own traceback and nothing of ours."""
    if ename == "UsageError":  # a magic in the cell: one line, no traceback, as of any magic
        raise UsageError(evalue)
    error = type(ename, (CellError,), {"__module__": "builtins"})(evalue)
    _show_as(error, traceback)
    raise error


def _ending(result: Result) -> str:
    if result.out_of_memory and result.oom is not None:
        from nsmagic.notebook import obituary  # nothing of it is needed until a limit kills

        return obituary.of_memory(result)
    crash = "" if result.stopped else _CRASHES.get(result.killed_by, "")
    return result.ending + crash


def details(result: Result) -> str:
    """Return the lines below the verdict on who was killed for a limit; empty if nobody was."""
    if not result.out_of_memory or result.oom is None:
        return ""
    from nsmagic.notebook import obituary

    return obituary.details(result)


@contextmanager
def one_line_if_stopped(line: str) -> Generator[None]:
    """Show an interrupt as `line`, unless it knows better, without a traceback of ours."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        if not hasattr(stopped, "_render_traceback_"):
            _show_as(stopped, [f"{_RED}Interrupted{_OFF}: {line}"])
        raise


@contextmanager
def one_message() -> Generator[None]:
    """Turn errors of the library into one short message without a traceback of ours."""
    try:
        with one_line_if_stopped("stopped before it was done"):
            yield
    except WishError as error:
        raise UsageError(_with_hint(str(error), error.hint)) from None
    except NsmagicError as error:
        if not hasattr(error, "_render_traceback_"):
            _show_as(error, _lines(error))
        raise
    except OSError as error:
        failed = _not_begun(error)
        _show_as(failed, _lines(failed))
        raise failed from error


def _show_as(error: BaseException, lines: list[str]) -> None:
    """Let IPython print `lines` in the place of a traceback."""
    shown: Any = error
    shown._render_traceback_ = lambda: lines


def _lines(error: NsmagicError) -> list[str]:
    return _with_hint(f"{_RED}{type(error).__name__}{_OFF}: {error}", error.hint).splitlines()


def _not_begun(error: OSError) -> NsmagicError:
    """Put into words that Linux refused something before the plan's first step."""
    number = error.errno or 0
    name = errno.errorcode.get(number, str(number))
    on = "" if error.filename is None else f" on {os.fsdecode(error.filename)}"
    try:
        hint = _hint(error)
    except OSError:  # the look needs what is lacking: descriptors, memory
        hint = ""
    return NsmagicError(f"the cell could not begin{on}: {error.strerror} ({name})", hint=hint)


def _hint(error: OSError) -> str:
    # Imported now: nothing of it is needed until something fails.
    from nsmagic.linux.circumstances import read_circumstances
    from nsmagic.wish.hints import hint_for

    facts = read_circumstances()
    none = error.filename is not None and facts.proc
    return "" if none else hint_for(None, error.errno or 0, facts)


def _with_hint(message: str, hint: str) -> str:
    return f"{message}\n{hint}" if hint else message
