"""%box term: a real terminal in a box, driven as its view would drive it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.kernel_driver import KernelDriver

pytestmark = pytest.mark.linux
TOOLS = """
import os, threading, time
os.environ["HOME"] = "/nowhere"  # whatever the user's ~/.bashrc does
def ask(term, what, **content):
    term._on_message(term, {"ask": what, **content}, [])
def until(test, seconds=30):
    end = time.monotonic() + seconds
    while not test() and time.monotonic() < end:
        time.sleep(0.02)
    return test()
def shows(term, text):
    return until(lambda: text in term.text())
def threads():
    return [thread for thread in threading.enumerate() if thread.name == "nsmagic-terminal"]
"""


@pytest.fixture(scope="module")
def web(kernel: KernelDriver) -> KernelDriver:
    kernel.run(TOOLS, raise_error=True)
    make = "%unshare --name web --uts --pid --mount-proc hostname inside-the-box"
    kernel.run(make, timeout=60, raise_error=True)
    kernel.run("term = %box term web", timeout=60, raise_error=True)
    # The shell is the module's: it runs before a test begins to count.
    begin = "PS1='ready> '; echo up-$((1+1))\\r"
    up = f'ask(term, "type", keys="{begin}")\nassert shows(term, "up-2"), term.text()'
    kernel.run(up, timeout=60, raise_error=True)
    return kernel


def test_a_shell_in_the_box_has_a_terminal_of_its_own(web: KernelDriver) -> None:
    web.run(
        """ask(term, "size", rows=31, columns=77)
ask(term, "type", keys="stty size; hostname; echo $((6*7)); tty -s && echo a-tty\\r")
assert shows(term, "31 77") and shows(term, "inside-the-box") and shows(term, "a-tty"), term.text()
ask(term, "type", keys="sleep 1000\\r")
from pathlib import Path
def sleeps():
    return [p for p in Path("/proc").glob("[0-9]*/cmdline")
            if p.exists() and p.read_bytes() == b"sleep\\x001000\\x00"]
assert until(sleeps)
prompts = term.text().count("ready>")
ask(term, "type", keys="\\x03")
# What is typed while bash takes its terminal back may lose a letter.
assert until(lambda: term.text().count("ready>") > prompts), term.text()
ask(term, "type", keys="echo status $?\\r")
assert shows(term, "status 130"), term.text()
""",
        timeout=60,
        raise_error=True,
    )


def test_two_at_once_a_flood_and_the_end_of_the_box(web: KernelDriver) -> None:
    web.run(
        """other = %box term web
ask(other, "type", keys="seq 100000; echo fin-$((20+3))\\r")
ask(term, "type", keys="echo meanwhile-$((40+2))\\r")
assert shows(term, "meanwhile-42")
def drawn():  # as a view that keeps up
    ask(other, "drawn", count=1 << 20)
    return "fin-23" in other.text()
assert until(drawn, 40), other.text()
ask(term, "type", keys="exit 3\\r")
assert until(lambda: term.status_now == "the shell exited with status 3"), term.status_now
%box rm web
assert until(lambda: other.status_now), other.text()
assert until(lambda: not threads()), threads()
ask(other, "type", keys="x")
ask(other, "size", rows=10, columns=10)
""",
        timeout=90,
        raise_error=True,
    )


def test_no_such_box(web: KernelDriver) -> None:
    assert "no box is called 'wbe'" in web.run("%box term wbe").stderr
    assert "which box?" in web.run("%box term").stderr
