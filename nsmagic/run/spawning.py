"""The kernel's side of the spawner: starting it, asking it, watching it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import nsmagic
from nsmagic.run.channel import Channel
from nsmagic.run.inherited import own_status, rights, surroundings
from nsmagic.run.launchorder import open_launcher
from nsmagic.run.ledger import close_ledger, ledger
from nsmagic.wish.errors import NsmagicError

# -I and -S keep the start short; the package's own folder is all that it needs.
_BOOT = """
import sys
sys.path.insert(0, sys.argv[1])
from nsmagic.run.spawner import main
main(sys.argv[2:])
"""


class SpawnerClient:
    """One spawner, started at once and asked from any thread."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair()
        me = os.pidfd_open(self.owner)
        os.set_inheritable(me, True)
        program = open_launcher()
        self.launches = program is not None
        status = own_status()
        self.given, self._rights = surroundings(status), rights(status)  # before it has them
        passed = [me] if program is None else [me, program]
        words = [theirs.fileno(), me, ledger().path or "", "" if program is None else program]
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BOOT, str(Path(nsmagic.__file__).parents[1]),
                 *map(str, words)],
                pass_fds=[theirs.fileno(), *passed], start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/",
            )  # fmt: skip
        for fd in passed:
            os.close(fd)
        self._channel = Channel(ours)

    @property
    def alive(self) -> bool:
        """Whether this is our own spawner (not one inherited over fork) and still runs."""
        return self.owner == os.getpid() and self.process.poll() is None

    def ask(
        self, kind: str, *, fds: list[int] | None = None, buffers: Sequence[bytes] = (), **data: Any
    ) -> None:
        """Send a request; NsmagicError if the spawner is gone."""
        try:
            with self._lock:
                self._channel.send(kind, fds=fds or [], buffers=buffers, **data)
        except OSError as error:
            raise NsmagicError(
                f"the spawner (PID {self.process.pid}) is gone: {error.strerror}",
                hint="Run the cell again: a new one is started.",
            ) from None

    def check_rights(self, status: Mapping[str, str]) -> None:
        """NsmagicError where we gave up rights or took others since: programs would have the old.

        Nobody may find himself root again who did os.setuid(1000).
        """
        changed = [
            name for name, value in rights(status).items() if self._rights.get(name) != value
        ]
        if changed:
            raise NsmagicError(
                f"this process's {', '.join(changed)} are no longer what they were when nsmagic "
                "was loaded, and a program would be started with those",
                hint="%reload_ext nsmagic   starts anew with what holds now; boxes and cells in "
                "the background end.",
            )

    def hang_up(self) -> None:
        """Close our end of the conversation."""
        self._channel.close()

    def close(self, last: Callable[[], None] = lambda: None) -> None:
        """Let the spawner end what it guards, do `last`, close the ledger, let the spawner go.

        Not earlier: if we are killed meanwhile, it sees to the ledger.
        """
        with suppress(NsmagicError):  # gone already
            self.ask("dismiss")
            self._channel.receive()
        last()
        close_ledger()
        with suppress(NsmagicError):
            self.ask("farewell")
        self.hang_up()
        self.process.wait()


_clients: list[SpawnerClient] = []


def spawner() -> SpawnerClient:
    """Return this process's spawner, started if there is none."""
    if _clients and not _clients[-1].alive:
        _clients.pop().hang_up()
    if not _clients:
        _clients.append(SpawnerClient())
    return _clients[-1]


def close_own_spawner() -> None:
    """End the spawner that this forked copy of a notebook started, where it started one."""
    if _clients and _clients[-1].alive:
        close_spawner()


def close_spawner(last: Callable[[], None] = lambda: None) -> None:
    """End this spawner, and with it everything that it guards; then do `last`, close the ledger."""
    if _clients and _clients[-1].alive:
        _clients[-1].close(last)
    else:
        last()
    _clients.clear()
    close_ledger()
