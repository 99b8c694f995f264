"""%nsdiff: who shares what, and what the last cell left."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from IPython.core.error import UsageError

from nsmagic.linux.namespaces import NamespaceId
from nsmagic.notebook.footprint import Footprint
from nsmagic.notebook.nsdiff import Comparison, Whom, compare
from nsmagic.notebook.seeing import SeeingMagics
from nsmagic.wish.errors import WishError
from tests.linux.making import AS_ROOT, ino, unshared, unsharing
from tests.support.skips import needs
from tests.support.user import PROJECT

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from tests.support.kernel_driver import KernelDriver

pytestmark = pytest.mark.linux
TYPES = ("mnt", "uts", "ipc", "net", "pid", "user", "cgroup", "time")


def whom(label: str, net: int, *, known: bool = True) -> Whom:
    links = {kind: NamespaceId(dev=4, ino=1) for kind in TYPES}
    links["net"] = NamespaceId(dev=4, ino=net)
    return Whom(label=label, pid=12, links=links if known else None)


def net_row(*columns: Whom) -> list[str]:
    row = Comparison(whom=columns).table().rows[TYPES.index("net")]
    return [cell if isinstance(cell, str) else cell.text for cell in row]


def test_the_same_mark_is_the_same_namespace() -> None:
    row = net_row(whom("self", 1), whom("a", 2), whom("b", 2), whom("c", 1))
    assert row == ["net", "● 1", "○ 2", "○ 2", "● 1", "self = c; a = b"]


def test_marks_do_not_run_out() -> None:
    row = net_row(*(whom(f"p{number}", number) for number in range(12)))
    assert len(set(row)) == len(row)
    assert row[-1] == "no"


@pytest.mark.parametrize(
    ("columns", "word", "answer"),
    [
        ([whom("a", 1), whom("b", 1)], "yes", True),
        ([whom("a", 1), whom("b", 2)], "no", False),
        ([whom("a", 1), whom("b", 1), whom("c", 1)], "by all", True),
        ([whom("a", 1), whom("b", 1, known=False)], "not known", None),
        ([whom("a", 1), whom("b", 1, known=False), whom("c", 1)], "a = c; b: not known", None),
        ([whom("a", 1), whom("b", 1, known=False), whom("c", 2)], "no; b: not known", None),
    ],
)
def test_verdicts(columns: list[Whom], word: str, answer: bool | None) -> None:
    assert net_row(*columns)[-1] == word
    assert Comparison(whom=tuple(columns)).shared("net") is answer


def test_a_type_that_does_not_exist() -> None:
    with pytest.raises(WishError, match=r"'nte' is not a type of namespace \(nearest: net\)"):
        Comparison(whom=(whom("a", 1),)).shared("nte")


@needs(unsharing)
def test_processes_and_boxes() -> None:
    with unshared("--net", "--uts") as pid:
        found = compare(["self", str(pid), "web"], {pid: "web"})
        assert [each.title for each in found.whom] == [
            f"self ({os.getpid()})", f"web ({pid})", f"web ({pid})",
        ]  # fmt: skip
        for kind in TYPES:
            numbers = [each.ino for each in found.namespaces(kind) if each is not None]
            there = ino(f"/proc/{pid}/ns/{kind}")
            assert numbers == [ino(f"/proc/self/ns/{kind}"), there, there]
        assert found.shared("net") is False
        assert found.shared("ipc") is True


def test_the_magic_compares_one_with_the_kernel(ip: InteractiveShell) -> None:
    found = ip.run_line_magic("nsdiff", str(os.getpid()))
    assert [each.label for each in found.whom] == ["self", str(os.getpid())]
    assert all(found.shared(kind) for kind in TYPES)
    assert set(found._repr_mimebundle_()) == {"text/plain", "text/html"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("4194304", "there is no process 4194304"),
        ("slef", r"'slef' is neither a PID nor the name of a box here \(nearest: self\)"),
        ("--last", "no isolated cell has run in this notebook yet"),
    ],
)
def test_refusals(ip: InteractiveShell, line: str, message: str) -> None:
    ip.register_magics(SeeingMagics(ip))
    with pytest.raises(UsageError, match=message):
        ip.run_line_magic("nsdiff", line)


def test_who_may_not_be_looked_at_is_a_question_mark(user_kernel: KernelDriver) -> None:
    shown = user_kernel.run("%nsdiff self host").result
    assert shown is not None
    assert "cannot be read by this user" in shown["text/plain"]
    assert shown["text/plain"].count("not known") == len(TYPES)


@needs(unsharing)
def test_last_cell_that_left_nothing(ip: InteractiveShell) -> None:
    footprint = Footprint.begin("%%unshare --net", frozenset({"net"}))
    footprint.begun()
    with unshared("--net", "--uts") as pid:
        footprint.entered(pid)
        number = ino(f"/proc/{pid}/ns/net")
        during = footprint.report()
        assert during.running
        assert [each.text for each in during.still_here] == [f"still here, kept by PID {pid}"]
    footprint.ended()
    ip.register_magics(SeeingMagics(ip, last=lambda: footprint))
    report = ip.run_line_magic("nsdiff", "--last")
    told = {each.type: (each.created, each.id and each.id.ino, each.text) for each in
            report.namespaces}  # fmt: skip
    assert told["net"] == (True, number, "gone")
    assert told["uts"][0] is False  # not among what the plan unshares, so it was joined
    assert report.still_here == ()
    assert "ipc" in report.shared
    assert report.outside == ()
    assert "nothing outside of it changed meanwhile" in report.table().text()


def test_what_a_cell_in_a_box_cannot_change_is_not_looked_at() -> None:
    """Its mounts may be shared with ours, so those are."""
    joined = frozenset({"mnt", "net", "ipc"})
    before = Footprint.begin("%nsenter -t web true", frozenset(), joined=joined).before
    whole = Footprint.begin("%nsenter -t 1 true", frozenset()).before
    assert whole.links
    assert (before.links, before.ipc, before.mounts) == ({}, frozenset(), whole.mounts)


@needs(unsharing)
def test_last_cell_that_left_a_namespace() -> None:
    footprint = Footprint.begin("%%unshare --net", frozenset({"net"}))
    footprint.begun()
    with unshared("--net") as pid:
        footprint.entered(pid)
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    footprint.ended(left=2)
    report = footprint.report()
    os.close(fd)
    assert [each.text for each in report.still_here] == [
        f"still here, kept by open file {fd} of PID {os.getpid()}"
    ]
    assert "2 outlived the cell's main process" in report.table().text()
    assert footprint.report().still_here == ()


@needs(unsharing)
def test_a_number_given_to_another_namespace_is_not_mistaken() -> None:
    footprint = Footprint.begin("%%unshare --net", frozenset({"net"}))
    footprint.begun()
    with unshared("--net") as pid:
        footprint.entered(pid)
        footprint.serials = {"net": 1}  # as if that one had ended and the number come back
        footprint.ended()
        assert footprint.report().still_here == ()


@pytest.mark.parametrize("reaped", [True, False])
def test_a_cell_that_ended_before_it_was_seen(reaped: bool) -> None:
    footprint = Footprint.begin("%unshare --net true", frozenset({"net"}))
    footprint.begun()
    child = os.posix_spawn("/bin/true", ["true"], os.environ)
    os.waitid(os.P_PID, child, os.WEXITED | (0 if reaped else os.WNOWAIT))
    footprint.entered(child)
    footprint.ended()
    report = footprint.report()
    assert [each.text for each in report.namespaces] == [
        "not seen: the cell has only just begun, or ended at once"
    ]
    assert "uts" not in report.shared  # nobody knows
    if not reaped:
        assert "user" in report.shared
        os.waitpid(child, 0)


MOVED = """
import subprocess
from nsmagic.notebook.footprint import Footprint
footprint = Footprint.begin("%%unshare --ipc", frozenset({"ipc"}))
subprocess.run(["hostname", "changed"], check=True)
subprocess.run(["ip", "link", "add", "left0", "type", "bridge"], check=True)
subprocess.run(["mount", "-t", "tmpfs", "left", "/mnt"], check=True)
footprint.ended()
subprocess.run(["ip", "link", "del", "left0"], check=True)
for change, still in footprint.report().outside:
    print(change.what, change.happened, change.detail.split(" → ")[-1], still, sep="|")
"""


@needs(unsharing)
def test_what_changed_outside_of_the_cell() -> None:
    done = subprocess.run(
        ["unshare", *AS_ROOT, "--net", "--uts", "--mount", sys.executable, "-c", MOVED],
        env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "mount|added|/mnt (tmpfs from left)|True",
        "hostname|changed|changed|True",
        "network link|added|left0|False",
    ], done.stderr
