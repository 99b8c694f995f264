"""A lab in one kernel: the learner's word, the playground, and what the guard saw at the start."""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nsmagic.labs import guard
from nsmagic.labs.catalogue import Lab
from nsmagic.labs.cleanup import MARK, end_processes, own_processes
from nsmagic.labs.exercises import Here
from nsmagic.labs.process import Gone
from nsmagic.labs.watched import Watched
from nsmagic.run.ledger import ledger

# Short, plain, and valid in a host name; the digits behind it make the word new at every start.
_WORDS: Final = (
    "acorn", "basil", "cedar", "daisy", "ember", "fjord", "grove", "heron", "islet", "jasper",
    "kelp", "lotus", "maple", "nettle", "otter", "pebble", "quartz", "raven", "sage", "tulip",
)  # fmt: skip


@dataclass(kw_only=True)
class Session:
    """A lab that was started.  `last` is the exercise that was looked at last.

    `older` are processes of this notebook that ran before, `origin` is where it was.
    """

    lab: Lab
    word: str
    playground: Path
    before: guard.Snapshot
    origin: str
    older: tuple[Watched, ...]
    last: str = ""

    @property
    def here(self) -> Here:
        """What checks know of us."""
        return Here(word=self.word, playground=str(self.playground))


def start(lab: Lab) -> Session:
    """Make a playground, go there, and mark what will be started from now on."""
    playground = Path(tempfile.gettempdir(), f"nsmagic-lab-{secrets.token_hex(8)}").absolute()
    ledger().note("directory", str(playground))
    playground.mkdir(mode=0o700)
    playground.chmod(0o755)  # so that a cell under another user number can look around
    atexit.register(_remove, playground, os.getpid())
    word = f"{secrets.choice(_WORDS)}-{secrets.token_hex(3)}"
    before = guard.snapshot()
    older = tuple(_watched(own_processes("")))
    os.environ[MARK] = word
    origin = str(_here() or "/")
    os.chdir(playground)
    return Session(
        lab=lab, word=word, playground=playground, before=before, origin=origin,
        older=older,
    )  # fmt: skip


def end(session: Session) -> list[str]:
    """Remove what the lab made and return what that was, a line each."""
    removed = [f"process {process}" for process in end_processes(session.word, session.older)]
    if os.environ.get(MARK) == session.word:
        del os.environ[MARK]
    if (here := _here()) is None or here.is_relative_to(session.playground):
        os.chdir(session.origin)
    if session.playground.exists():
        shutil.rmtree(session.playground)
        ledger().forget("directory", str(session.playground))
        removed.append(f"playground {session.playground}")
    return removed


def _here() -> Path | None:
    """Return the current directory; None where the learner removed it, as that of a playground."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None


def _watched(pids: Iterable[int]) -> Iterator[Watched]:
    for pid in pids:
        with contextlib.suppress(Gone):
            yield Watched(pid)


def _remove(playground: Path, pid: int) -> None:
    if os.getpid() == pid:  # a forked cell that ends is not the notebook
        shutil.rmtree(playground, ignore_errors=True)
        if not playground.exists():
            ledger().forget("directory", str(playground))
