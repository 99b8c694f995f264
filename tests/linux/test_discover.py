"""Finding namespaces on this machine, each held alive in another way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nsmagic.linux import namespaces as ns
from nsmagic.linux.discover import Discovery, Namespace, discover
from nsmagic.linux.netnsid import UNASSIGNED, NetnsIds
from nsmagic.linux.processes import read_command, read_process
from nsmagic.wish.namespaces import BY_NAME
from tests.linux.making import AS_ROOT, WAIT, ino, running, unshared, unsharing
from tests.support.skips import needs
from tests.support.user import PROJECT, Account

pytestmark = [pytest.mark.linux, needs(unsharing)]

THREAD = """
import ctypes, sys, threading
libc, done = ctypes.CDLL(None, use_errno=True), threading.Event()
def away():
    if libc.unshare(0x04000000) != 0:  # CLONE_NEWUTS, which a thread can leave by itself
        raise OSError(ctypes.get_errno(), "unshare")
    print("ready", flush=True)
    done.wait()
thread = threading.Thread(target=away)
thread.start()
sys.stdin.read()
done.set()
thread.join()
"""

CHILDREN = """
import ctypes, sys
if ctypes.CDLL(None).unshare(0x20000080) != 0:  # CLONE_NEWPID|CLONE_NEWTIME, both for children
    raise OSError("unshare")
print("ready", flush=True)
sys.stdin.read()
"""


def by_ino(found: Discovery, number: int) -> Namespace:
    return next(each for each in found.namespaces.values() if each.id.ino == number)


def words(each: Namespace) -> list[str]:
    return [str(holder) for holder in each.holders]


def test_own_namespaces_are_those_of_stat() -> None:
    found = discover()
    for name in BY_NAME:
        here = Path(f"/proc/self/ns/{name}").stat()
        own = found.own[name]
        assert (own.dev, own.ino) == (here.st_dev, here.st_ino)
        assert os.getpid() in found.namespaces[own].pids
        assert found.namespaces[own].type == name


def test_by_process() -> None:
    with unshared("--net", "--uts") as pid:
        found = discover()
        for name in ("net", "uts"):
            each = by_ino(found, ino(f"/proc/{pid}/ns/{name}"))
            assert (each.type, each.pids, each.holders) == (name, (pid,), ())
            assert each.owner is not None
            assert each.owner.ino == ino(f"/proc/{pid}/ns/user")


def test_by_thread() -> None:
    with running(["unshare", *AS_ROOT, sys.executable, "-c", THREAD]) as pid:
        thread = next(int(tid) for tid in os.listdir(f"/proc/{pid}/task") if int(tid) != pid)
        each = by_ino(discover(), ino(f"/proc/{pid}/task/{thread}/ns/uts"))
        assert (each.type, each.pids) == ("uts", ())
        assert words(each) == [f"thread {thread} of PID {pid}"]
        assert each.owner is not None


def test_by_open_descriptor() -> None:
    with unshared("--net") as pid:
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        each = by_ino(discover(), os.fstat(fd).st_ino)
        assert (each.type, each.pids) == ("net", ())
        assert words(each) == [f"open file {fd} of PID {os.getpid()}"]
    finally:
        os.close(fd)


BIND = """
mount -t tmpfs none /mnt
touch "/mnt/a b"
unshare --net="/mnt/a b" true
stat -L -c %i "/mnt/a b" >&2
"""


def test_by_file_that_only_another_mount_namespace_has(tmp_path: Path) -> None:
    told = tmp_path / "told"
    with unshared("--mount", script=f"exec 2> {told}; {BIND} {WAIT}") as pid:
        each = by_ino(discover(), int(told.read_text()))
        assert (each.type, each.pids, each.files) == ("net", (), ())
        assert words(each) == [f"/mnt/a b (in the mount namespace of PID {pid})"]
        assert each.owner is not None
        assert each.owner.ino == ino(f"/proc/{pid}/ns/user")


HERE = """
from nsmagic.linux.discover import discover
from nsmagic.linux.namespaces import NamespaceId
import os
here = os.stat("/mnt/a b")
each = discover().namespaces[NamespaceId(dev=here.st_dev, ino=here.st_ino)]
print(each.type, each.pids, each.files, [str(holder) for holder in each.holders])
"""


@pytest.mark.parametrize("covered", ["", "mount --bind /dev/null '/mnt/a b';"])
def test_by_file_in_our_own_mount_namespace(covered: str) -> None:
    # With a device mounted over the file, only mountinfo still knows of the namespace.
    look = HERE.replace('here = os.stat("/mnt/a b")', 'here = os.stat("/proc/self/fd/0")')
    script = f'{BIND} exec < \'/mnt/a b\'; {covered} exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", *AS_ROOT, "--mount", "--", "sh", "-c", script, sys.executable, look],
        env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert done.stdout.startswith("net () ('/mnt/a b',)"), done.stderr
    assert "'/mnt/a b'" in done.stdout.partition("[")[2]


def test_what_the_next_child_will_be_in() -> None:
    with running(["unshare", *AS_ROOT, sys.executable, "-c", CHILDREN]) as pid:
        found = discover()
        each = by_ino(found, ino(f"/proc/{pid}/ns/time_for_children"))
        assert (each.type, each.pids) == ("time", ())
        assert words(each) == [f"the next child of PID {pid}"]
        # A PID namespace begins with its first process: until then the link leads nowhere.
        process = found.processes[pid]
        assert process.links is not None
        assert "pid_for_children" not in process.links


def test_parent_that_nobody_is_in() -> None:
    with running(["unshare", "-Ur", "--", "unshare", "-U", "--", "sh", "-c", WAIT]) as pid:
        found = discover()
        inner = by_ino(found, ino(f"/proc/{pid}/ns/user"))
        assert inner.parent is not None
        assert inner.parent == inner.owner
        outer = found.namespaces[inner.parent]
        assert (outer.pids, outer.owner_uid) == ((), os.geteuid())
        assert words(outer) == [f"being the owner of user:[{inner.id.ino}]"]


def test_pid_namespaces_know_their_parents() -> None:
    with unshared("--pid", "--fork") as pid:
        found = discover()
        child = next(each.pid for each in found.processes.values() if each.ppid == pid)
        each = by_ino(found, ino(f"/proc/{child}/ns/pid"))
        assert each.parent == found.own["pid"]


def test_numbers_of_network_namespaces() -> None:
    with unshared("--net") as pid, NetnsIds() as ids:
        own = os.open("/proc/self/ns/net", os.O_RDONLY)
        other = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        assert ids.of(other) == UNASSIGNED
        assert ids.of(own) == UNASSIGNED
        assert ids.of(0) is None  # no namespace at all
        os.close(own)
        os.close(other)
        found = discover(netnsids=True)
        assert by_ino(found, ino(f"/proc/{pid}/ns/net")).netnsid == UNASSIGNED
        assert by_ino(found, ino(f"/proc/{pid}/ns/user")).netnsid is None


def test_nothing_is_left_open() -> None:
    before = os.listdir("/proc/self/fd")
    discover(netnsids=True)
    assert os.listdir("/proc/self/fd") == before


def test_zombies_and_the_dead() -> None:
    child = os.posix_spawn("/bin/true", ["true"], os.environ)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    zombie = read_process(child)
    assert zombie is not None
    assert zombie.links is not None
    assert "net" not in zombie.links  # what it was in is gone with it
    assert read_command(child) == "true"
    os.waitpid(child, 0)
    assert read_process(child) is None
    assert read_command(child) is None


def test_discovery_while_processes_come_and_go() -> None:
    churn = "echo ready; while :; do sh -c ':' & wait; done"
    with subprocess.Popen(
        ["sh", "-c", churn], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        for _ in range(20):
            assert os.getpid() in discover().processes
        os.killpg(child.pid, signal.SIGKILL)


def test_an_ordinary_user_sees_its_own(as_user: Account) -> None:
    text = (
        "import os; from nsmagic.linux.discover import discover; found = discover();"
        "print(os.getpid() in found.processes, 1 in found.hidden, len(found.own))"
    )
    assert as_user.run([as_user.python, "-c", text]).stdout.split() == ["True", "True", "10"]


def test_serial_numbers_are_told_apart_or_unknown() -> None:
    numbers = []
    for _ in range(2):
        with unshared("--net") as pid:
            numbers.append(ns.read_serials(f"/proc/{pid}", ["net"]).get("net"))
    assert numbers == [None, None] or numbers[0] != numbers[1]
