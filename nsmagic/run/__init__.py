"""Turns a plan into processes.

`nsmagic.run` is this folder and, as `from nsmagic import run` promises, a function too: calling the
module is calling `nsmagic.run.api.run`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nsmagic.run.api import Finished


class _Run(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Finished:
        """Run a program in a sandbox, see `nsmagic.run.api.run`."""
        from nsmagic.run.api import run  # the spawner, which imports this folder, needs it not

        return run(*args, **options)


sys.modules[__name__].__class__ = _Run
