"""How a process that forked in its set-up makes its successor known to the parent of both."""

from __future__ import annotations

import os
import select

from nsmagic.linux import syscalls
from nsmagic.run.channel import Channel


class ToParent:
    """Tells the parent over its channel, and waits until it has taken note.

    The Handover of `nsmagic.run.perform`.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.parent = os.getppid()  # before it could end unnoticed: credentials still are the same

    def tell(self, pid: int, *, kept: bool) -> None:
        """Say the PID of the process that goes on."""
        self._channel.send("forked", pid=pid, kept=kept)

    def wait(self) -> None:
        """Wait for the parent's word, and end with it from then on."""
        if self._channel.receive() is None:
            os._exit(255)
        syscalls.die_with_parent()  # not inherited over fork
        # Killed before that it sent no signal, and its sockets were closed before it was dead.
        hung_up = select.poll()
        hung_up.register(self._channel.sock, 0)
        if hung_up.poll(0):
            os._exit(255)


def die_with(parent: int) -> None:
    """End with the thread that forked us; the spawner sees to the rest if the kernel is killed."""
    syscalls.die_with_parent()
    if os.getppid() != parent:
        os._exit(255)
