"""The boundary: errors of the library and of the cell, as a person reads them in the notebook."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NoReturn

from IPython.core.error import UsageError

from nsmagic.wish.errors import NsmagicError, WishError

_RED, _OFF = "\x1b[31m", "\x1b[0m"


class CellError(Exception):
    """Base of the exceptions that an isolated cell's own errors become: same name, same text."""


class Interrupted(KeyboardInterrupt):
    """The cell was stopped by the stop button."""


def raise_as_in_cell(ename: str, evalue: str, traceback: list[str]) -> NoReturn:
    """Raise the error of the child with the child's own traceback and nothing of ours."""
    base = Interrupted if ename == "KeyboardInterrupt" else CellError
    error = type(ename, (base,), {"__module__": "builtins"})(evalue)
    show_as(error, traceback)
    raise error


def show_as(error: BaseException, lines: list[str]) -> None:
    """Let IPython print `lines` in the place of a traceback."""
    shown: Any = error
    shown._render_traceback_ = lambda: lines


@contextmanager
def one_message() -> Generator[None]:
    """Turn errors of the library into one short message without a traceback of ours."""
    try:
        yield
    except WishError as error:
        raise UsageError(_with_hint(str(error), error.hint)) from None
    except NsmagicError as error:
        name = type(error).__name__
        text = _with_hint(f"{_RED}{name}{_OFF}: {error}", error.hint)
        show_as(error, text.splitlines())
        raise


def _with_hint(message: str, hint: str) -> str:
    return f"{message}\n{hint}" if hint else message
