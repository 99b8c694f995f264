"""The keeper finds and ends every descendant, whatever the processes do about it."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nsmagic.run.keeper import descendants
from tests.support.programs import output

pytestmark = pytest.mark.linux

# A process that becomes the subreaper, lets `TREE` grow until it says "ready", and ends it.
KEEPER = """
import ctypes, json, os, signal, subprocess, sys
from nsmagic.run.keeper import descendants, kill_descendants
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
tree = subprocess.Popen(TREE, stdout=subprocess.PIPE, text=True, start_new_session=True)
assert tree.stdout.readline() == "ready\\n"
proc = os.open("/proc", os.O_RDONLY)
seen = descendants(os.getpid(), proc)
count = kill_descendants(os.getpid(), proc)
try:
    children = os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    children = None
alive = [pid for pid in seen if os.path.exists(f"/proc/{pid}")]
print(json.dumps({"seen": len(seen), "count": count, "children": children, "alive": alive}))
"""
DEAF = "trap '' HUP INT QUIT TERM USR1 USR2\n"
THREADED = """
import ctypes, os, sys, threading
def go_on():
    main = os.getpid()
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).pause()
    while "Z" not in open(f"/proc/self/task/{main}/stat").read().rpartition(")")[2][:3]:
        pass
    os.write(1, b"ready\\n")
    ctypes.CDLL(None).pause()
threading.Thread(target=go_on).start()
ctypes.CDLL(None).syscall(EXIT, 0)  # exit(2), of this thread alone
"""
# A parent, a keeper and its tree, and a child that just begins: the parent does what it may before
# it kills the keeper, and is killed then.
KILLED_HALF_WAY = """
import os, signal, socket, subprocess, sys
from nsmagic.run import keeper
from nsmagic.run.channel import Channel
ours, theirs = socket.socketpair()
child = os.fork()
if child == 0:
    keeper.syscalls.prctl(keeper.syscalls.PR_SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, keeper.KEEPER_SIGNALS)
    text = "for i in 1 2 3; do (setsid sleep 1000 &); done; echo ready >&2; sleep 1000"
    cell = subprocess.Popen(
        ["bash", "-c", text], stdout=subprocess.DEVNULL, stderr=theirs, start_new_session=True
    )
    keeper.keep_tree(cell.pid, Channel(theirs), os.getppid())
assert ours.recv(6) == b"ready\\n"
if not os.fork():  # it has not asked yet to be killed with its parent
    while True: signal.pause()
proc = os.open("/proc", os.O_RDONLY)
print(*keeper.descendants(os.getpid(), proc), flush=True)
def signal_or_die(pid, number):
    os.kill(os.getpid() if number == signal.SIGKILL else pid, number)
keeper._signal = signal_or_die
keeper.kill_descendants(os.getpid(), proc, [child])
"""
EXIT = {"x86_64": 60, "aarch64": 93}


def end(tree: list[str]) -> dict[str, Any]:
    """Let the keeper end a tree; what it saw."""
    done = subprocess.run(
        [sys.executable, "-c", f"TREE = {tree!r}\n{KEEPER}"],
        capture_output=True, text=True, check=True, timeout=60,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["children"] is None
    assert found["alive"] == []
    return found


def bash(text: str) -> list[str]:
    return ["bash", "-c", DEAF + text]


def test_daemons_that_ignore_all() -> None:
    ready = "for i in 1 2 3; do (setsid sleep 1000 &); done; echo ready; wait; sleep 1000"
    found = end(bash(ready))
    assert found["count"] >= found["seen"] >= 4


def test_a_chain_of_sessions() -> None:
    chain = "n=$1; if [ $n = 0 ]; then echo ready; sleep 1000; else setsid -w bash $0 $((n-1)); fi"
    file = Path(os.environ["TMPDIR"]) / "chain.sh"
    file.write_text(chain)
    assert end(["bash", str(file), "20"])["count"] >= 21


def test_stopped_processes() -> None:
    assert end(bash("sleep 1000 & kill -STOP $!; echo ready; kill -STOP $$"))["count"] == 2


def test_a_fork_bomb() -> None:
    """Each of 100 loops makes a new process as soon as the one before ended."""
    bomb = "for i in {1..100}; do (while :; do /bin/true; done) & done; echo ready; wait"
    assert end(bash(bomb))["count"] >= 100


def test_a_parent_that_takes_its_dead_with_it() -> None:
    """SIGCHLD ignored: nobody gets to reap its children."""
    python = """
import os, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(20):
    if not os.fork():
        while True: signal.pause()
print("ready", flush=True)
while True: signal.pause()
"""
    assert end([sys.executable, "-c", python])["count"] == 21


@pytest.mark.skipif(platform.machine() not in EXIT, reason="not x86-64 or aarch64: exit(2)")
def test_a_process_whose_first_thread_ended() -> None:
    """It looks like a zombie, and has a thread and a child that live."""
    python = f"EXIT = {EXIT[platform.machine()]}\n{THREADED}"
    assert end([sys.executable, "-c", python])["count"] == 2


def test_processes_that_continue_each_other() -> None:
    pair = "(while :; do kill -CONT $$ 2> /dev/null; done) & echo ready; "
    pair += "while :; do kill -CONT $! 2> /dev/null; done"
    assert end(bash(pair))["count"] >= 2


def test_who_ends_the_tree_is_killed_half_way() -> None:
    """A keeper goes on, and hears of its parent's end; a helper that just begins is killed."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED_HALF_WAY], stdout=subprocess.PIPE, text=True, check=False,
        timeout=60, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) >= 6
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # gone already
            pidfd = os.pidfd_open(pid)
            assert select.select([pidfd], [], [], 10)[0], "it was left behind"
            os.close(pidfd)


def test_nothing_to_do() -> None:
    assert end(["bash", "-c", "echo ready; exec true"])["count"] <= 1


def test_a_name_like_the_fields_behind_it() -> None:
    """proc_pid_stat(5): the name stands in parentheses and may hold anything."""
    python = "import ctypes, time\nctypes.CDLL(None).prctl(15, b') R 1 (x', 0, 0, 0)\n"
    python += "print('ready', flush=True)\ntime.sleep(1000)"
    with subprocess.Popen([sys.executable, "-c", python], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        proc = os.open("/proc", os.O_RDONLY)
        try:
            assert child.pid in descendants(os.getpid(), proc)
            assert child.pid not in descendants(child.pid, proc)
        finally:
            os.close(proc)
            child.kill()
    proc = os.open("/proc", os.O_RDONLY)
    assert child.pid not in descendants(os.getpid(), proc)
    os.close(proc)


CHAIN = """
import os
from nsmagic.linux import syscalls
from nsmagic.run.keeper import kill_descendants
syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
begun, begin = os.pipe()
if not os.fork():
    os.write(begin, b"x")
    while True:  # each lives for less than a look at all processes takes
        if os.fork():
            os._exit(0)
        os.setsid()
os.read(begun, 1)
kill_descendants(os.getpid(), os.open("/proc", os.O_RDONLY))
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no child")
"""


def test_a_chain_of_processes_that_fork_and_exit_is_ended() -> None:
    for _ in range(10):
        assert output([sys.executable, "-c", CHAIN]) == "no child\n"
