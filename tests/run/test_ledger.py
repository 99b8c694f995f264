"""The ledger and its sweep: what dead kernels left goes, and nothing else, whatever is written."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nsmagic.linux import cgroups, syscalls
from nsmagic.run.ledger import Ledger, ledger_dir, read_entries
from nsmagic.run.owner import Owner
from nsmagic.run.sweep import sweep
from tests.linux.making import AS_ROOT, unsharing
from tests.run.test_spawner import a_private_cgroup
from tests.support.kernel_driver import KernelDriver
from tests.support.skips import needs, root_only
from tests.support.user import PROJECT, Account

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.linux

WRITER = """
import os, signal, sys
from pathlib import Path
from nsmagic.run.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
assert not ledger.trouble, ledger.trouble
for kind, what in zip(sys.argv[2::2], sys.argv[3::2]):
    ledger.note(kind, what)
"""
DIES = "os.kill(os.getpid(), signal.SIGKILL)\n"
DIES_PROBING = """
from nsmagic.run import ledger as ledgers
from nsmagic.run.private import private_group
ledgers.ledger = lambda: ledger
def die(event, _):
    if event == "os.rmdir":
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
private_group("cell-1")
"""


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nsl-") as name:
        yield Path(name)


def dead_kernel(place: Path, *entries: tuple[str, str], more: str = DIES) -> int:
    """Let a process write a ledger with these entries and be killed; its PID."""
    words = [word for entry in entries for word in entry]
    done = subprocess.Popen(
        [sys.executable, "-c", WRITER + more, str(place), *words],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.wait(30) == -signal.SIGKILL
    return done.pid


def outcomes(place: Path, *, dry_run: bool = False) -> list[tuple[str, str, str]]:
    return [(each.what, each.outcome, each.why) for each in sweep(place, dry_run=dry_run)]


def test_files_of_a_dead_kernel_go(place: Path) -> None:
    (place / "nsmagic-tree" / "below").mkdir(parents=True)
    (place / "nsmagic-tree" / "link").symlink_to("/etc")
    (place / "nsmagic-text").write_text("x")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(place / "sock"))
    kinds = {"directory": "nsmagic-tree", "file": "nsmagic-text", "socket": "sock"}
    pid = dead_kernel(
        place, *((kind, str(place / name)) for kind, name in kinds.items()),
        ("file", str(place / "nsmagic-never-made")),
    )  # fmt: skip
    assert {outcome for _, outcome, _ in outcomes(place, dry_run=True)} == {"removable"}
    assert (place / "sock").exists()
    found = sweep(place)
    assert {(each.what, each.outcome, each.kernel) for each in found} == {
        (str(place / name), "removed", pid) for name in kinds.values()
    }
    assert list(place.iterdir()) == []
    assert Path("/etc/passwd").exists()
    assert sweep(place) == []


@needs(a_private_cgroup)
def test_groups_of_a_dead_kernel_go_with_what_is_in_them(place: Path) -> None:
    above = cgroups.private_place()
    assert above is not None
    group = above / f"nsmagic-{os.getpid()}-sweep"
    (group / "cell1").mkdir(parents=True)
    sleeper = subprocess.Popen(["sleep", "1000"])
    (group / "cell1" / "cgroup.procs").write_text(str(sleeper.pid))
    inner, gone = str(group / "cell1"), str(above / "theirs" / "cell1")
    dead_kernel(place, ("cgroup", str(group)), ("cgroup", inner), ("cgroup", gone))
    assert outcomes(place) == [(inner, "removed", ""), (str(group), "removed", "")]
    assert sleeper.wait(10) == -signal.SIGKILL
    assert not group.exists()


@needs(a_private_cgroup)
def test_the_group_that_a_kernel_tried_out_goes_if_it_is_killed_before_it_removes_it(
    place: Path,
) -> None:
    above = cgroups.private_place()
    assert above is not None
    pid = dead_kernel(place, more=DIES_PROBING)
    tried = above / f"nsmagic-{pid}-probe"
    assert tried.exists()
    assert outcomes(place) == [(str(tried), "removed", "")]
    assert not tried.exists()


@needs(a_private_cgroup)
def test_processes_move_back_from_the_leaf_of_a_dead_kernel(place: Path) -> None:
    """They are not killed: who sweeps is one of them."""
    above = cgroups.private_place()
    assert above is not None
    group = above / f"nsmagic-{os.getpid()}-outer"
    leaf = group / f"nsmagic-{os.getpid()}.kernel"
    leaf.mkdir(parents=True)
    try:
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
            assert cat.stdin is not None
            (leaf / "cgroup.procs").write_text(str(cat.pid))
            dead_kernel(place, ("leaf", str(leaf)))
            assert outcomes(place) == [(str(leaf), "removed", "")]
            assert (group / "cgroup.procs").read_text().split() == [str(cat.pid)]
            assert not leaf.exists()
            assert cat.communicate(b"lives")[0] == b"lives"
    finally:
        cgroups.end(group)


@root_only
def test_mounts_of_a_dead_kernel_go(place: Path) -> None:
    for name in ("nsmagic-mnt", "theirs", "net"):
        (place / name).mkdir()
        syscalls.mount("none", str(place / name), "tmpfs", 0)
    dead_kernel(
        place, ("mount", str(place / "nsmagic-mnt")), ("mount", str(place / "theirs")),
        ("namespace", str(place / "net")), ("mount", str(place / "nsmagic-gone")),
    )  # fmt: skip
    found = {Path(each.what).name: each for each in sweep(place)}
    for name in ("theirs", "net"):
        syscalls.umount2(str(place / name))  # fails if it was taken away
    with pytest.raises(OSError, match="Invalid argument"):
        syscalls.umount2(str(place / "nsmagic-mnt"))
    assert {name: each.outcome for name, each in found.items()} == {
        "nsmagic-mnt": "removed", "theirs": "failed", "net": "listed"
    }  # fmt: skip
    assert found["net"].command == f"umount {place}/net && rm {place}/net"
    assert sweep(place) == []  # both are gone now, and so is the ledger
    assert [each.name for each in place.iterdir() if each.is_file()] == []


def test_a_living_kernel_is_left_alone(place: Path) -> None:
    (place / "nsmagic-both").write_text("")
    (place / "nsmagic-own").write_text("")
    ledger = Ledger(place)
    ledger.note("file", str(place / "nsmagic-both"))
    ledger.note("file", str(place / "nsmagic-own"))
    dead_kernel(place, ("file", str(place / "nsmagic-both")))
    assert sweep(place) == []
    assert {each.name for each in place.iterdir()} >= {"nsmagic-both", "nsmagic-own"}
    ledger.forget("file", str(place / "nsmagic-both"))
    ledger.forget("file", str(place / "nsmagic-own"))
    ledger.close()
    assert ledger.path is None
    assert sorted(each.name for each in place.iterdir()) == ["nsmagic-both", "nsmagic-own"]


def test_what_lies_in_something_of_a_living_kernels(place: Path) -> None:
    (place / "nsmagic-tree" / "nsmagic-below").mkdir(parents=True)
    ledger = Ledger(place)
    ledger.note("directory", str(place / "nsmagic-tree"))
    dead_kernel(place, ("directory", str(place / "nsmagic-tree" / "nsmagic-below")))
    assert sweep(place) == []
    ledger.forget("directory", str(place / "nsmagic-tree"))
    ledger.note("directory", str(place / "nsmagic-tree" / "nsmagic-below"))
    dead_kernel(place, ("directory", str(place / "nsmagic-tree")))
    assert sweep(place) == []
    assert (place / "nsmagic-tree" / "nsmagic-below").is_dir()
    ledger.forget("directory", str(place / "nsmagic-tree" / "nsmagic-below"))
    ledger.close()


def test_a_zombie_is_dead(place: Path) -> None:
    """As the kernel is that the spawner saw end, and nobody has reaped."""
    (place / "nsmagic-x").write_text("")
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER + DIES, str(place), "file", str(place / "nsmagic-x")],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert outcomes(place) == [(str(place / "nsmagic-x"), "removed", "")]
    child.wait()


def test_the_lock_tells_where_the_pid_does_not(place: Path) -> None:
    """A kernel in another PID namespace, whose PID may be anybody's here."""
    (place / "nsmagic-x").write_text("")
    ledger = Ledger(place)
    ledger.note("file", str(place / "nsmagic-x"))
    me = Owner.me()
    assert ledger.path is not None
    other = place / Owner(pid=1, start=1, pidns=me.pidns + 1, boot=me.boot).file
    ledger.path.rename(other)
    assert sweep(place) == []
    ledger.close()
    ledger = Ledger(place)
    ledger.close()
    other.write_text(json.dumps(["+", "file", str(place / "nsmagic-x")]) + "\n")
    assert outcomes(place) == [(str(place / "nsmagic-x"), "removed", "")]


HIDDEN = """
import sys
from pathlib import Path
from nsmagic.run.owner import Owner
me = Owner.me()
print(Owner(pid=1, start=1, pidns=me.pidns, boot=me.boot).lives(me, Path(sys.argv[1])))
"""


@root_only
def test_a_process_that_one_may_not_look_at(as_user: Account) -> None:
    """Of somebody else's, who got the number of a kernel that is dead, with hidepid=1."""
    ledger = as_user.home / "dead.ledger"
    ledger.touch()
    ledger.chmod(0o644)
    script = 'mount -t proc -o hidepid=1 proc /proc; setpriv --reuid "$@"; :'  # sh stays PID 1
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "sh", "-c", script, "sh", str(as_user.uid),
         "--regid", str(as_user.uid), "--clear-groups", as_user.python, "-c", HIDDEN, str(ledger)],
        env=os.environ | as_user.env, cwd=as_user.home, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "False\n", done.stderr


def test_another_boot(place: Path) -> None:
    """Groups and mounts of then are gone; what has their names now is of somebody else."""
    (place / "nsmagic-x").write_text("")
    boot = "00000000-0000-0000-0000-000000000000"
    entries = [["+", "cgroup", "/sys/fs/cgroup/nsmagic-1-a"], ["+", "mount", "/proc"],
               ["+", "file", str(place / "nsmagic-x")]]  # fmt: skip
    file = place / Owner(pid=os.getpid(), start=1, pidns=1, boot=boot).file
    file.write_text("\n".join(map(json.dumps, entries)))
    assert outcomes(place) == [(str(place / "nsmagic-x"), "removed", "")]


def test_a_new_kernel_sweeps() -> None:
    """Its spawner does, beside the first cells."""
    (ledger_dir() / "nsmagic-x").write_text("")
    dead_kernel(ledger_dir(), ("file", str(ledger_dir() / "nsmagic-x")))
    with KernelDriver() as kernel:
        end = time.monotonic() + 10
        while (ledger_dir() / "nsmagic-x").exists():
            assert time.monotonic() < end
        assert kernel.run("%unshare --uts echo here").stdout == "here\n"
        (file,) = ledger_dir().glob(f"{kernel.pid}-*.ledger")
        os.kill(kernel.pid, signal.SIGKILL)
        while file.exists():
            assert time.monotonic() < end


HOSTILE = {
    "a relative path": ("file", "nsmagic-x"),
    "dots": ("directory", "/tmp/../tmp/nsmagic-x"),
    "a foreign name": ("directory", "{place}/precious"),
    "a link": ("directory", "{place}/nsmagic-link"),
    "through a link": ("file", "{place}/nsmagic-link/nsmagic-file"),
    "a file as directory": ("directory", "{place}/precious/nsmagic-file"),
    "a directory as group": ("cgroup", "{place}/precious/nsmagic-group"),
    "no mount of ours": ("mount", "/proc"),
    "a NUL byte": ("file", "/tmp/nsmagic-\0"),
    "a socket that is used": ("socket", "{place}/precious/nsmagic-used"),
    "a socket of datagrams": ("socket", "{place}/precious/nsmagic-datagrams"),
    "a file as socket": ("socket", "{place}/precious/nsmagic-file"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_entries(what: str, place: Path) -> None:
    precious = place / "precious"
    (precious / "nsmagic-group").mkdir(parents=True)
    (precious / "nsmagic-group" / "cgroup.procs").write_text(str(os.getpid()))
    (precious / "nsmagic-file").write_text("x")
    (place / "nsmagic-link").symlink_to(precious)
    used, datagrams = (
        socket.socket(socket.AF_UNIX, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    )
    used.bind(str(precious / "nsmagic-used"))
    used.listen()
    datagrams.bind(str(precious / "nsmagic-datagrams"))
    names = {each.name for each in precious.iterdir()}
    kind, path = HOSTILE[what]
    dead = (
        place / Owner(pid=os.getpid(), start=1, pidns=Owner.me().pidns, boot=Owner.me().boot).file
    )
    dead.write_text(json.dumps(["+", kind, path.format(place=place)]) + "\n")
    with used, datagrams:
        (found,) = sweep(place)
    assert found.outcome == "failed"
    assert {each.name for each in precious.iterdir()} == names
    assert dead.exists()


def test_a_corrupt_ledger(place: Path) -> None:
    (place / "nsmagic-x").write_text("")
    me = Owner.me()
    dead = place / Owner(pid=me.pid, start=1, pidns=me.pidns, boot=me.boot).file
    good = json.dumps(["+", "file", str(place / "nsmagic-x")]).encode()
    lines = [
        b"\xff\xfe\0",
        b"[" * 100_000,
        b"[1,2,3]",
        b'{"a": 1}',
        b'["-", [], {}]',
        b'["+","no","/"]',
    ]
    dead.write_bytes(b"\n".join([*lines, good, b'["+","file","/tmp/nsm']))
    (place / f"x{dead.name}").write_text("not a ledger")
    assert outcomes(place) == [(str(place / "nsmagic-x"), "removed", "")]
    assert [each.name for each in place.iterdir()] == [f"x{dead.name}"]


def test_ledgers_that_are_no_files(place: Path) -> None:
    me = Owner.me()
    names = [Owner(pid=number, start=1, pidns=me.pidns, boot=me.boot).file for number in (1, 2)]
    (place / names[0]).symlink_to("/etc/passwd")
    os.mkfifo(place / names[1])
    assert {outcome for _, outcome, _ in outcomes(place)} == {"failed"}


def test_a_directory_of_others(place: Path) -> None:
    place.chmod(0o777)
    with pytest.raises(PermissionError):
        sweep(place)


def test_ours_is_private() -> None:
    assert ledger_dir().stat().st_mode & 0o777 == 0o700


def test_it_stays_short_and_whole(place: Path) -> None:
    ledger = Ledger(place)
    assert ledger.path is not None
    ledger.note("file", str(place / "nsmagic-keep"))
    for number in range(10_000):
        ledger.note("file", f"/tmp/nsmagic-{number}")
        ledger.forget("file", f"/tmp/nsmagic-{number}")
    assert ledger.path.stat().st_size < 300_000
    assert '"file", "' + str(place / "nsmagic-keep") in ledger.path.read_text()
    assert len(list(place.iterdir())) == 1
    ledger.forget("file", str(place / "nsmagic-keep"))
    ledger.close()
    assert list(place.iterdir()) == []


FULL = """
import sys
from pathlib import Path
from nsmagic.run.ledger import Ledger, read_entries
ledger = Ledger(Path(sys.argv[1]))
kept = [("file", f"/tmp/nsmagic-{number:080}") for number in range(1000)]
for each in kept:
    ledger.note(*each)
for number in range(2700):
    ledger.note("file", f"/tmp/nsmagic-{number}")
    ledger.forget("file", f"/tmp/nsmagic-{number}")
assert ledger.path.stat().st_size > 280_000  # it could not be shortened
ledger.note("file", "/tmp/nsmagic-last")
assert read_entries(ledger.path) == [*kept, ("file", "/tmp/nsmagic-last")], ledger.trouble
assert [each.name for each in ledger.path.parent.iterdir()] == [ledger.path.name]
"""


@needs(unsharing)
def test_where_there_is_no_room_to_shorten_it_goes_on_as_it_is(place: Path) -> None:
    script = 'mount -t tmpfs -o size=360k none "$0" && exec "$@"'
    done = subprocess.run(
        ["unshare", *AS_ROOT, "--mount", "--", "sh", "-c", script, str(place), sys.executable, "-c",
         FULL, str(place)],
        env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_line_for_which_there_was_no_room_spoils_no_other(place: Path) -> None:
    ledger = Ledger(place)
    assert ledger.path is not None
    ledger.note("file", "/tmp/nsmagic-first")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ledger.path.stat().st_size + 9, before[1]))
    try:
        ledger.note("file", "/tmp/nsmagic-torn")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert ledger.trouble.startswith("the ledger stops")
    ledger.note("file", "/tmp/nsmagic-last")
    entries = read_entries(ledger.path)
    assert entries == [("file", "/tmp/nsmagic-first"), ("file", "/tmp/nsmagic-last")]
    ledger.close()


def test_a_forked_copy_writes_nothing(place: Path) -> None:
    ledger = Ledger(place)
    assert ledger.path is not None
    child = os.fork()
    if child == 0:
        ledger.note("file", "/tmp/nsmagic-x")
        os._exit(0)
    os.waitpid(child, 0)
    assert ledger.path.read_text() == ""
    ledger.close()


def test_no_place_for_one(place: Path) -> None:
    ledger = Ledger(place / "nowhere")
    assert "No such file or directory" in ledger.trouble
    ledger.note("file", "/tmp/nsmagic-x")
    ledger.close()
