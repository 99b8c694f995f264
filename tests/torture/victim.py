"""A kernel that attacks are made in, and whether it is unharmed afterwards."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

from tests.support.process import children, descriptors, spawners, status
from tests.torture.places import LOAD
from tests.torture.remains import command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from tests.support.cell_run import CellRun
    from tests.torture.places import Home, Place

SECONDS = 15.0  # until all is as before, on a machine that does much else
# Of ipykernel and pyzmq: a descriptor for each thread that printed, until it tidies up; a thread
# that sends large messages, with the two of its context.
SPARE = {"descriptors": 16, "threads": 3}


def fresh_mark() -> str:
    """A mark that no other kernel has."""
    return f"{os.getpid()}-{time.monotonic_ns()}"


def no_traceback_of_ours(run: CellRun) -> None:
    """Fail if a file of ours is named in an error or on stderr."""
    shown = "".join((run.error or {}).get("traceback", [])) + run.stderr
    assert not re.search(r"nsmagic/(\w+/)?\w+\.py", shown), shown


class Victim:
    """`with Victim(place) as victim: victim.attack(cell); victim.check()`."""

    def __init__(
        self, place: Place, *, prefix: Sequence[str] = (), setup: str = f"import os\n{LOAD}",
        env: dict[str, str] | None = None, home: Home | None = None,
    ) -> None:  # fmt: skip
        self.place = place
        self.home = home or place.of(fresh_mark())
        self.remains = self.home.remains()
        self.kernel = self.home.start(setup=setup, prefix=prefix, env=env or {})
        self.kernel.run("%unshare --uts true")  # the spawner is there, all code is loaded
        for cell in ("%%unshare --uts\n1", "%%unshare --uts\n1/0", "print(1)", "1/0"):
            self.kernel.run(cell)
        self._before = self._figures()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remains.look()
        self.kernel.close()
        left = self.remains.wait(SECONDS)
        if not left:
            self.home.remove()
        if error is None:
            assert not left, left

    def attack(self, cell: str, *, after: float | None = None, timeout: float = 40) -> CellRun:
        """Run a cell to its end; with `after`, press the stop button so long after it began."""
        run = self.kernel.start(cell)
        if after is not None:
            self.kernel.wait(run, timeout=timeout, until=lambda run: run.begun)
            time.sleep(after)
            self.kernel.interrupt()
        return self.kernel.wait(run, timeout=timeout)

    def check(self, run: CellRun | None = None) -> None:
        """Nothing is left of a cell, no traceback of ours was shown, and the kernel answers."""
        if run is not None:
            no_traceback_of_ours(run)
        assert self.kernel.run("6 * 7").text == "42"
        end = time.monotonic() + SECONDS
        while (news := self._news()) and time.monotonic() < end:
            self.kernel.run("import gc; gc.collect()")
        assert not news, news
        shown = self.kernel.run("%unshare --uts echo again", timeout=30)
        assert shown.stdout == "again\n", shown
        assert self.kernel.run("%%unshare --uts\nprint('again')").stdout == "again\n"

    def _figures(self) -> dict[str, int]:
        return {
            "threads": status(self.kernel.pid, "Threads"),
            "descriptors": descriptors(self.kernel.pid).total(),
        }

    def _news(self) -> list[str]:
        """What is there and should not be."""
        mine = {self.kernel.pid, *(helpers := spawners(self.kernel.pid))}
        if len(helpers) != 1:
            return [f"spawners: {helpers}"]
        mine |= set(children(helpers[0])[:1])  # the helper that it forks beforehand
        grown = {name: now - self._before[name] for name, now in self._figures().items()}
        news = [f"{name}: {more} more" for name, more in grown.items()
                if more > SPARE[name]]  # fmt: skip
        left = self.remains.left()
        pids = [int(text.split()[0]) for text in left.pop("processes", [])]
        news += [command(pid) for pid in pids if pid not in mine]
        news += [command(pid) for pid in children(self.kernel.pid) if pid not in mine]
        for things in left.values():
            news += [thing for thing in things if not re.search(_MAY_BE, thing)]
        if news:
            news.append(self.kernel.run("import threading; threading.enumerate()").text)
        return news


# The ledger, and what Jupyter has while the kernel lives.
_MAY_BE = r"\.ledger$|\.json$"
