"""How this layer tells, before it is made, of what must not outlive the kernel.

A `Noting` is called with the path: what it returns is entered before anything is made there, and
left when it is over.  The ledger has one (`nsmagic.run.ledger.Noted`); by itself nobody listens.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

Noting = Callable[[Path], AbstractContextManager[None]]


def unnoted(_: Path) -> AbstractContextManager[None]:
    """Tell nobody."""
    return nullcontext()
