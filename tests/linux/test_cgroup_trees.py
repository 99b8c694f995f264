"""Readers of cgroups on trees of files as other machines have them, and on odd contents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nsmagic.linux.cgroups.devices import resolved
from nsmagic.linux.cgroups.group import Cgroup
from nsmagic.linux.cgroups.hierarchies import Hierarchies, read_hierarchies
from nsmagic.linux.cgroups.oom import read_victims
from nsmagic.wish.errors import CgroupError
from nsmagic.wish.limits import DeviceRates

if TYPE_CHECKING:
    from pathlib import Path

V2 = "31 23 0:28 {top} /sys/fs/cgroup {flags} - cgroup2 cgroup2 rw,nsdelegate"


def machine(root: Path, mountinfo: str, groups: str, directories: str) -> Hierarchies:
    """Make a tree with /proc/self and the directories, and read it."""
    own = root / "proc" / "self"
    own.mkdir(parents=True)
    (own / "mountinfo").write_text(mountinfo)
    (own / "cgroup").write_text(groups)
    for path in directories.split():
        (root / path.lstrip("/")).mkdir(parents=True)
    return read_hierarchies(root)


def test_pure_v2(tmp_path: Path) -> None:
    group = "/user.slice/user-1000.slice/session-2.scope"
    found = machine(
        tmp_path, V2.format(top="/", flags="rw,nosuid"), f"0::{group}\n", f"/sys/fs/cgroup{group}"
    )
    (tmp_path / "sys/fs/cgroup/cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    found = read_hierarchies(tmp_path)
    assert found.verdict == "v2"
    assert found.v1 == ()
    assert found.v2 is not None
    assert found.v2.own == tmp_path / f"sys/fs/cgroup{group}"
    assert found.v2.controllers == {"cpuset", "cpu", "io", "memory", "pids"}
    assert found.where("memory") is found.v2
    assert found.where("devices") is None
    assert not found.v2.readonly


HYBRID = """\
25 30 0:22 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
26 25 0:23 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
27 25 0:24 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
30 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
31 25 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 25 0:29 / /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids
"""
GROUPS = """\
5:pids:/a
4:memory:/a/b
3:cpu,cpuacct:/
1:name=systemd:/init.scope
0::/init.scope
"""
DIRECTORIES = """
/sys/fs/cgroup/unified/init.scope /sys/fs/cgroup/systemd/init.scope /sys/fs/cgroup/cpu,cpuacct
/sys/fs/cgroup/memory/a/b /sys/fs/cgroup/pids/a
"""


def test_hybrid(tmp_path: Path) -> None:
    found = machine(tmp_path, HYBRID, GROUPS, DIRECTORIES)
    assert found.verdict == "hybrid"
    cpu, memory, pids = (found.where(name) for name in ("cpu", "memory", "pids"))
    assert cpu is not None
    assert cpu is found.where("cpuacct")
    assert cpu.own == tmp_path / "sys/fs/cgroup/cpu,cpuacct"
    assert memory is not None
    assert memory.own == tmp_path / "sys/fs/cgroup/memory/a/b"
    assert pids is not None
    assert pids.readonly
    assert {each.name for each in found.v1} == {"systemd", ""}
    without_v2 = HYBRID.replace("cgroup2 cgroup2", "tmpfs tmpfs")
    (tmp_path / "proc/self/mountinfo").write_text(without_v2)
    assert read_hierarchies(tmp_path).verdict == "v1"


def test_v2_without_controllers_beside_named_hierarchies_is_v2(tmp_path: Path) -> None:
    lines = HYBRID.splitlines(keepends=True)
    found = machine(tmp_path, "".join(lines[:3]), GROUPS, DIRECTORIES)
    assert found.verdict == "v2"


def test_nothing_is_mounted(tmp_path: Path) -> None:
    found = machine(tmp_path, "25 30 0:22 / / rw - ext4 /dev/sda rw\n", "", "/sys/fs/cgroup")
    assert found.verdict == "none"
    assert found.where("memory") is None
    assert read_hierarchies(tmp_path / "nowhere").verdict == "none"


@pytest.mark.parametrize(
    ("top", "group", "own", "hidden"),
    [
        # Docker on v1 or without a cgroup namespace: the container's group is mounted as the root.
        ("/docker/12ab", "/docker/12ab", "", ""),
        ("/docker/12ab", "/docker/12ab/x", "x", ""),
        # A cgroup namespace, with its own mount.
        ("/", "/", "", ""),
        # The mount shows another part of the tree than where we are.
        ("/docker/34cd", "/docker/12ab", None, "shows only what is below /docker/34cd"),
        # We were moved out of our cgroup namespace: cgroup_namespaces(7).
        ("/", "/../other", None, "lies outside our cgroup namespace"),
        # The mount is from outside our cgroup namespace.
        ("/..", "/", None, "was mounted in another cgroup namespace"),
        ("/", "/gone", None, "is not there"),
    ],
)
def test_where_our_own_group_is(
    tmp_path: Path, top: str, group: str, own: str | None, hidden: str
) -> None:
    directories = "/sys/fs/cgroup/x"
    found = machine(tmp_path, V2.format(top=top, flags="ro"), f"0::{group}\n", directories)
    assert found.v2 is not None
    assert found.v2.readonly
    expected = None if own is None else tmp_path / "sys/fs/cgroup" / own
    assert found.v2.own == expected
    assert hidden in found.v2.hidden
    assert bool(found.v2.hidden) == (own is None)


def test_of_two_mounts_the_one_that_shows_us_is_taken(tmp_path: Path) -> None:
    mountinfo = (
        "31 23 0:28 /other /mnt/first rw - cgroup2 cgroup2 rw\n"
        "32 23 0:28 / /mnt/second\\040with\\040spaces rw - cgroup2 cgroup2 rw\n"
        "33 23 0:28 /other /mnt/third rw - cgroup2 cgroup2 rw\n"
    )
    second = tmp_path / "mnt" / "second with spaces"
    (second / "here").mkdir(parents=True)
    found = machine(tmp_path, mountinfo, "0::/here\n", "/mnt/first /mnt/third")
    assert found.v2 is not None
    assert found.v2.own == second / "here"


def test_controllers_that_nobody_mounted(tmp_path: Path) -> None:
    found = machine(tmp_path, HYBRID, GROUPS, DIRECTORIES)
    rows = "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t4\t9\t1\nnet_cls\t0\t1\t1\n"
    (tmp_path / "proc/cgroups").write_text(rows + "devices\t0\t1\t0\n")
    assert found.unmounted == frozenset()
    assert read_hierarchies(tmp_path).unmounted == {"net_cls"}


class TestDevices:
    def disk(self, root: Path) -> None:
        disk = root / "sys/devices/sda"
        (disk / "sda1").mkdir(parents=True)
        (disk / "dev").write_text("8:0\n")
        (disk / "sda1" / "dev").write_text("8:1\n")
        (disk / "sda1" / "partition").write_text("1\n")
        for folder in ("sys/dev/block", "sys/class/block", "sys/block"):
            (root / folder).mkdir(parents=True)
        for name, path in (("8:0", disk), ("8:1", disk / "sda1")):
            (root / "sys/dev/block" / name).symlink_to(path)
            (root / "sys/class/block" / path.name).symlink_to(path)
        (root / "sys/block/sda").symlink_to(disk)

    @pytest.mark.parametrize("name", ["sda", "8:0"])
    def test_names_become_numbers(self, tmp_path: Path, name: str) -> None:
        self.disk(tmp_path)
        rates = (("rbps", 1),)
        assert resolved(DeviceRates(device=name, rates=rates), tmp_path).device == "8:0"

    @pytest.mark.parametrize(
        ("name", "message", "hint"),
        [
            ("sda1", "sda1 is a partition", "io=sda:..."),
            ("8:1", "8:1 is a partition", "io=sda:..."),
            ("sdb", "no block device sdb", "There is: sda"),
            ("9:9", "no block device 9:9", "There is: sda"),
            ("/dev/sdb", "no block device /dev/sdb", "There is: sda"),
        ],
    )
    def test_what_is_no_disk(self, tmp_path: Path, name: str, message: str, hint: str) -> None:
        self.disk(tmp_path)
        with pytest.raises(CgroupError, match=message) as caught:
            resolved(DeviceRates(device=name, rates=()), tmp_path)
        assert caught.value.hint == hint


# Recorded on Linux 6.18; the name of a program is whatever it likes.
LOG = """\
3,100,5000000,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,\
oom_memcg=/x/nsmagic-7-eat,task_memcg=/x/nsmagic-7-eat/own,task=evil,pid=12,uid=0,pid=99,uid=0
3,101,5000001,-;Memory cgroup out of memory: Killed process 99 (evil,pid=12,uid=0) \
total-vm:116260kB, anon-rss:65280kB, file-rss:5376kB, shmem-rss:12kB, UID:0 pgtables:196kB \
oom_score_adj:0
3,102,5000002,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,\
oom_memcg=/x/nsmagic-7-eater,task_memcg=/x/nsmagic-7-eater,task=other,pid=100,uid=0
3,103,5000003,-;Memory cgroup out of memory: Killed process 100 (other) total-vm:1kB, \
anon-rss:1kB, file-rss:1kB, shmem-rss:1kB
6,104,5000004,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,\
global_oom,task_memcg=/x/nsmagic-7-eat,task=last,pid=101,uid=0
3,105,5000005,-;Out of memory: Killed process 101 (last) total-vm:1kB, anon-rss:2kB, \
file-rss:3kB, shmem-rss:4kB
6,106,5000006,-;Tasks in /x/nsmagic-7-eat are going to be killed due to memory.oom.group set
3,107,5000007,-;Memory cgroup out of memory: Killed process 101 (last) total-vm:1kB, \
anon-rss:2kB, file-rss:3kB, shmem-rss:4kB
3,108,5000008,-;Memory cgroup out of memory: Killed process 98 (bash) total-vm:1kB, \
anon-rss:5kB, file-rss:3kB, shmem-rss:4kB
3,109,5000009,c;garbage
no head at all
"""


def test_victims_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    log.write_text(LOG)
    group = Cgroup(name="eat", v2=tmp_path / "nsmagic-7-eat")
    first, last, with_it = read_victims(group, since=4.9, kmsg=log)
    assert (first.pid, first.name) == (99, "evil,pid=12,uid=0")
    assert first.limit == "/x/nsmagic-7-eat"
    assert (first.anon, first.file, first.shmem) == (65280 << 10, 5376 << 10, 12 << 10)
    assert (last.pid, last.name, last.limit) == (101, "last", "")
    assert (with_it.pid, with_it.name, with_it.anon) == (98, "bash", 5 << 10)
    assert read_victims(group, since=6.0, kmsg=log) == ()
    assert read_victims(group, since=0.0, kmsg=tmp_path / "absent") == ()
