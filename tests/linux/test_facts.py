"""Facts of processes whose names nobody has in mind who reads /proc line by line."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nsmagic.linux.facts import Facts
from nsmagic.run.held import tracer_of_dead
from tests.linux.making import WAIT, unshared, unsharing
from tests.support.skips import needs

pytestmark = pytest.mark.linux
# No UTF-8, then what ends a line for Python, and then what looks like a field.
ODD = b"\xff\xe2\x80\xa8Uid:\t7"
NAMED = f"""
import sys
with open("/proc/self/comm", "wb") as file:
    file.write({ODD!r})
print(flush=True)
sys.stdin.read()
"""


def test_a_process_may_be_called_anything() -> None:
    argv = [sys.executable, "-c", NAMED]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as odd:
        assert odd.stdin is not None
        assert odd.stdout is not None
        odd.stdout.readline()
        status = Facts(odd.pid).status()
        assert status["Name"] == os.fsdecode(ODD)
        assert status["Uid"].split() == [str(os.geteuid())] * 4
        odd.stdin.close()
        os.waitid(os.P_PID, odd.pid, os.WEXITED | os.WNOWAIT)
        assert tracer_of_dead(odd.pid) == 0


@needs(unsharing)
def test_a_link_may_be_called_almost_anything() -> None:
    made = "ip link add name 'a\u2028b' type veth peer name 'c\x85'"
    with unshared("--net", script=f"{made} && {WAIT}") as pid:
        assert {link.name for link in Facts(pid).links()} == {"lo", "a\u2028b", "c\x85"}
