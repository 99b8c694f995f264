"""Ways in which a kernel is killed, and who has to clean up then."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.support.process import spawners

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.torture.places import Home

_APART = 0.05  # s


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def the_kernel(kernel: int, _: random.Random) -> None:
    """Then the spawner cleans up."""
    _signal([kernel], signal.SIGKILL)


def its_group(kernel: int, _: random.Random) -> None:
    """As Jupyter kills: with all that is still in the kernel's process group."""
    os.killpg(kernel, signal.SIGKILL)


def both(kernel: int, _: random.Random) -> None:
    """Kernel and spawner at one moment: nobody is left but Linux and the next sweep."""
    pids = [*spawners(kernel), kernel]
    _signal(pids, signal.SIGSTOP)
    _signal(pids, signal.SIGKILL)


def the_spawner_first(kernel: int, moments: random.Random) -> None:
    """And the kernel a moment later, which may have noticed or not."""
    _signal(spawners(kernel), signal.SIGKILL)
    time.sleep(moments.uniform(0, _APART))
    _signal([kernel], signal.SIGKILL)


def the_spawner_at_work(kernel: int, moments: random.Random) -> None:
    """The spawner in the middle of cleaning up."""
    pids = spawners(kernel)
    _signal([kernel], signal.SIGKILL)
    time.sleep(moments.uniform(0, _APART))
    _signal(pids, signal.SIGKILL)


# How often, of ten.
DEATHS: dict[Callable[[int, random.Random], None], int] = {
    the_kernel: 4, its_group: 2, both: 2, the_spawner_first: 1, the_spawner_at_work: 1,
}  # fmt: skip
# After these nobody is left, and a sweep has to come.
SWEPT = (both, the_spawner_first, the_spawner_at_work)


def sweep(home: Home) -> str:
    """What a person types afterwards; what it says."""
    account = home.account
    done = subprocess.run(
        [account.python if account else sys.executable, "-m", "nsmagic.cli", "clean"],
        env=os.environ | home.env | (account.env if account else {}),
        cwd=home.home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        **(account.popen if account else {}),
    )  # fmt: skip
    return str(done.stdout)
