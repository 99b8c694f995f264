"""What each process has one of: a fork inherits its parent's, which is not its own to use."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class OnePerProcess(Generic[T]):
    """Call it to have that of this process, made when it is first wanted."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._kept: tuple[int, T] | None = None

    def __call__(self) -> T:
        """Return it."""
        if self._kept is None or self._kept[0] != os.getpid():
            self._kept = os.getpid(), self._make()
        return self._kept[1]

    def take(self) -> T | None:
        """Return it to be closed, and begin anew; None if this process has made none."""
        kept, self._kept = self._kept, None
        return kept[1] if kept is not None and kept[0] == os.getpid() else None
