"""Who goes on after a fork ends with the parent of both, whenever that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.support.user import PROJECT

pytestmark = pytest.mark.linux

# The parent is killed between its word and the heir's request to be killed with it.
KILLED_IN_BETWEEN = """
import os, select, signal, socket
from nsmagic.run import handover
from nsmagic.run.channel import Channel
ours, theirs = socket.socketpair()
parent = os.pidfd_open(os.getpid())
if os.fork():
    theirs.close()
    Channel(ours).send("noted")
    signal.pause()
ours.close()
ask = handover.syscalls.die_with_parent
def ask_too_late():
    signal.pidfd_send_signal(parent, signal.SIGKILL)
    select.select([parent], [], [])
    ask()
handover.syscalls.die_with_parent = ask_too_late
handover.ToParent(Channel(theirs)).wait()
print("goes on", flush=True)
signal.pause()
"""


def test_a_parent_that_is_killed_after_its_word() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_IN_BETWEEN], stdout=subprocess.PIPE, text=True, cwd=PROJECT
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.read(7) == ""  # the heir's end, too, is that of the pipe
    assert parent.returncode == -signal.SIGKILL
