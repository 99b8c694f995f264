"""The readers on directories that look like /proc."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsmagic.linux.discover import discover
from nsmagic.linux.facts import Facts
from nsmagic.linux.namespaces import NamespaceId, nsfs_device, parse_link, read_links
from nsmagic.linux.nsfs import read_bound
from nsmagic.linux.processes import read_command, read_process
from nsmagic.linux.surroundings import Difference, Surroundings, differences, read_surroundings
from nsmagic.linux.targets import read_target
from nsmagic.wish.errors import WishError
from nsmagic.wish.isolation import Enter
from tests.linux.making import FIRST, add_process, link_all

NSFS = "70 29 0:4 {root} {target} rw shared:9 - nsfs nsfs rw\n"
DISK = "29 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"


def id_(number: int) -> NamespaceId:
    return NamespaceId(dev=nsfs_device(), ino=number)


def test_link() -> None:
    assert parse_link("net:[4026531833]") == id_(4026531833)


@pytest.mark.parametrize(
    "text", ["", "net", "net:[]", "net:[12", "net:[-1]", "net:[1_0]", "socket:[12]", "net:[١]"]
)
def test_what_is_no_link(text: str) -> None:
    with pytest.raises(ValueError, match="names no namespace"):
        parse_link(text)


@given(st.text())
def test_no_text_confuses(text: str) -> None:
    with pytest.raises(ValueError, match="names no namespace"):
        parse_link(f"{text}:[1]]")


@pytest.mark.parametrize("name", ["sh", "a) S 7 (b", ") ) )", "", "two\nlines"])
def test_names_of_processes_do_not_confuse(tmp_path: Path, name: str) -> None:
    add_process(tmp_path, 5, ppid=3, name=name)
    process = read_process(5, str(tmp_path))
    assert process is not None
    assert (process.pid, process.ppid) == (5, 3)
    assert process.links == {kind: id_(number) for kind, number in FIRST.items()}


def test_links_of_an_older_linux(tmp_path: Path) -> None:
    links = {"net": 7, "mnt": 8}
    add_process(tmp_path, 5, links=links)
    assert read_links(str(tmp_path / "5")) == {"net": id_(7), "mnt": id_(8)}


@pytest.mark.parametrize(
    ("cmdline", "comm", "expected"),
    [
        (b"sh\0-c\0a b\0", b"sh\n", "sh -c a b"),
        (b"python\0-c\0\nimport os\n\0", b"python\n", "python -c  import os "),
        (b"title without an end", b"x\n", "title without an en"),  # as lsns(8) cuts it
        (b"", b"kthreadd\n", "kthreadd"),
        (b"\xff\0", b"x\n", "\udcff"),
        (b"a" * 9000, b"x\n", "a" * 8191),
        (b"", b"", None),
    ],
)
def test_command(tmp_path: Path, cmdline: bytes, comm: bytes, expected: str | None) -> None:
    directory = add_process(tmp_path, 5, command=cmdline)
    (directory / "comm").write_bytes(comm)
    assert read_command(5, str(tmp_path)) == expected


def test_processes_threads_and_descriptors(tmp_path: Path) -> None:
    other = FIRST | {"net": 99}
    add_process(tmp_path, 1)
    directory = add_process(tmp_path, 12, threads=3, links=other | {"time_for_children": 77})
    link_all(directory / "task" / "12", other)
    link_all(directory / "task" / "13", other | {"uts": 55})
    link_all(directory / "task" / "14", other)
    (directory / "fd" / "0").symlink_to("/dev/null")
    (directory / "fd" / "1").symlink_to("socket:[123]")
    (directory / "fd" / "7").symlink_to("mnt:[33]")
    (tmp_path / "self").symlink_to("12")
    (tmp_path / "uptime").write_text("1 1\n")

    found = discover(str(tmp_path))
    assert list(found.processes) == [1, 12]
    assert found.own["net"] == id_(99)
    table = {each.id.ino: each for each in found.namespaces.values()}
    assert list(table) == sorted({*FIRST.values(), 99, 77, 55, 33})
    assert table[FIRST["mnt"]].pids == (1, 12)
    assert table[FIRST["net"]].pids == (1,)
    held = {
        number: [(holder.by, str(holder)) for holder in each.holders]
        for number, each in table.items()
        if each.holders
    }
    assert held == {
        77: [("children", "the next child of PID 12")],
        55: [("thread", "thread 13 of PID 12")],
        33: [("fd", "open file 7 of PID 12")],
    }


def test_a_child_may_have_a_lower_number_than_its_parent(tmp_path: Path) -> None:
    for pid, ppid in ((1, 0), (5, 40), (12, 1), (40, 12), (50, 1)):
        add_process(tmp_path, pid, ppid=ppid)
    (tmp_path / "self").symlink_to("12")
    assert [each.pid for each in Facts(12, str(tmp_path)).processes()] == [5, 12, 40]


def test_a_process_that_goes_while_it_is_looked_at_is_none(tmp_path: Path) -> None:
    add_process(tmp_path, 5)  # which has no root and no status any more
    (tmp_path / "self").symlink_to("5")
    with pytest.raises(WishError, match="there is no process 5"):
        read_target(Enter(target="5"), {}, str(tmp_path))


def test_bound_files(tmp_path: Path) -> None:
    file = tmp_path / "mountinfo"
    file.write_text(
        DISK
        + NSFS.format(root="net:[99]", target=r"/run/netns/a\040b")
        + NSFS.format(root="net:[99]", target=r"/run/netns/a\040b")
        + NSFS.format(root="new:[98]", target="/run/of/a/later/linux")
        + "71 29 0:4 / /not rw - tmpfs nsfs rw\n"
    )
    found = read_bound(str(file))
    assert [(each.type, each.id.ino, each.target) for each in found] == [
        ("net", 99, "/run/netns/a b")
    ]


def test_bound_files_of_two_mount_namespaces(tmp_path: Path) -> None:
    mine = NSFS.format(root="net:[99]", target="/run/mine")
    theirs = NSFS.format(root="uts:[88]", target="/run/theirs")
    add_process(tmp_path, 5, mounts=mine)
    add_process(tmp_path, 6, links=FIRST | {"mnt": 66}, mounts=theirs)
    add_process(tmp_path, 7, links=FIRST | {"mnt": 66}, mounts=theirs)
    (tmp_path / "self").symlink_to("5")
    table = {each.id.ino: each for each in discover(str(tmp_path)).namespaces.values()}
    assert table[99].files == ("/run/mine",)
    assert [str(holder) for holder in table[99].holders] == ["/run/mine"]
    assert table[88].files == ()
    assert [str(holder) for holder in table[88].holders] == [
        "/run/theirs (in the mount namespace of PID 6)"
    ]


def test_no_proc(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        discover(str(tmp_path / "none"))
    assert discover(str(tmp_path)).namespaces == {}


BEFORE = Surroundings(
    hostname="a", mounts={"1 / (ext4 from /dev/sda1)": "rw", "2 /x (tmpfs from none)": "rw"},
    links={1: "lo", 2: "eth0", 3: "old"}, ipc=frozenset({"semaphores 1"}),
)  # fmt: skip
AFTER = Surroundings(
    hostname="b", mounts={"1 / (ext4 from /dev/sda1)": "ro", "3 /y (tmpfs from none)": "rw"},
    links={1: "lo", 2: "wan", 4: "veth"}, ipc=frozenset({"shared memory 5"}),
)  # fmt: skip


def test_differences() -> None:
    assert differences(BEFORE, BEFORE) == []
    assert [(each.what, each.happened, each.detail) for each in differences(BEFORE, AFTER)] == [
        ("mount", "changed", "/ (ext4 from /dev/sda1): rw → ro"),
        ("mount", "added", "/y (tmpfs from none)"),
        ("mount", "removed", "/x (tmpfs from none)"),
        ("hostname", "changed", "a → b"),
        ("network link", "changed", "eth0 → wan"),
        ("network link", "added", "veth"),
        ("network link", "removed", "old"),
        ("System V IPC", "added", "shared memory 5"),
        ("System V IPC", "removed", "semaphores 1"),
    ]


def test_surroundings_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "mountinfo").write_text(
        DISK + NSFS.format(root="net:[99]", target="/run/netns/web")
    )
    (tmp_path / "sysvipc").mkdir()
    (tmp_path / "sysvipc" / "shm").write_text("key shmid perms\n  0   17 600\n")
    found = read_surroundings(str(tmp_path))
    assert found.mounts == {
        "29 / (ext4 from /dev/sda1)": "rw,relatime rw",
        "70 /run/netns/web (nsfs from net:[99])": "rw shared:9 rw",
    }
    assert found.ipc == {"shared memory 17"}
    added = differences(Surroundings(hostname=found.hostname, mounts={}, links=found.links,
                                     ipc=found.ipc), found)  # fmt: skip
    assert added[1] == Difference(
        what="mount", happened="added", detail="/run/netns/web (nsfs from net:[99])"
    )
