"""%lsns as a person in a notebook meets it."""

from __future__ import annotations

import json
import os
import re
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.error import UsageError

from nsmagic.linux.discover import Namespace
from nsmagic.linux.lsns import Line, Row
from nsmagic.linux.namespaces import NamespaceId
from nsmagic.notebook.listing import Listing
from nsmagic.notebook.seeing import SeeingMagics
from nsmagic.notebook.tables import Cell
from nsmagic.wish.errors import NsmagicError, WishError
from nsmagic.wish.lsns import COLUMN_NAMES, LsnsWish
from tests.linux.making import ino, unshared, unsharing
from tests.support.skips import needs, root_only, user_only

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from tests.support.kernel_driver import KernelDriver

pytestmark = pytest.mark.linux


def made(number: int, **facts: Any) -> Row:
    usual: dict[str, Any] = {
        "ns": number, "type": "net", "path": None, "nprocs": 1, "pid": 12, "ppid": 1,
        "command": "sh", "uid": 0, "user": "root", "netnsid": None, "nsfs": (), "pns": 0,
        "ons": 4026531837, "box": (), "held": (),
        "namespace": Namespace(id=NamespaceId(dev=4, ino=number), type="net"),
    }  # fmt: skip
    return Row(**usual | facts)


def listing(*lines: Line, columns: str = "NS COMMAND", **wish: Any) -> Listing:
    return Listing(lines, LsnsWish(columns=tuple(columns.split()), **wish))


def test_tree_is_drawn() -> None:
    tree = listing(
        Line(row=made(1)), Line(row=made(2), parent=0), Line(row=made(3), parent=1),
        Line(row=made(4), parent=0), Line(row=made(5), parent=3), Line(row=made(6)),
        tree="owner",
    )  # fmt: skip
    assert [line.split()[0] for line in tree.text().splitlines()[2:]] == [
        "1", "├─2", "│", "└─4", "└─5", "6",
    ]  # fmt: skip
    assert "│ └─3" in tree.text()
    assert tree.data()["namespaces"][0]["children"][0]["children"][0]["ns"] == 3
    assert json.loads(json.dumps(tree.data())) == tree.data()


def test_a_slice_and_a_choice_are_lists_without_tree() -> None:
    tree = listing(Line(row=made(1)), Line(row=made(2, user="ann"), parent=0), tree="owner")
    assert [row.ns for row in tree[1:]] == [2]
    assert "└" not in tree[1:].text()
    assert [row.ns for row in tree.where(user="ann")] == [2]
    assert [row.ns for row in tree.where(lambda row: row.ns < 2)] == [1]
    assert len(tree.where(user="ann", ns=1)) == 0
    assert tree[-1].user == "ann"


def test_where_takes_one_of_several_words() -> None:
    rows = listing(Line(row=made(1, box=("self", "web"))), Line(row=made(2)))
    assert [row.ns for row in rows.where(box="web")] == [1]


def test_where_knows_its_fields() -> None:
    with pytest.raises(WishError, match=r"no field 'typ' \(nearest: type\)"):
        listing().where(typ="net")


def test_long_commands_are_cut_so_that_lines_fit() -> None:
    long = "word " * 60
    row = Line(row=made(1, command=long))
    cut = listing(row)
    assert max(map(len, cut.text().splitlines())) <= 100
    assert len(cut.text().splitlines()) == 3
    cell = cut.table().rows[0][1]
    assert isinstance(cell, Cell)
    assert (cell.text[-1], cell.tip) == ("…", long)
    assert "…" not in listing(row, notruncate=True).text()
    assert "…" not in listing(row, raw=True).text()
    assert cut.where(ns=1)[0].command == long


def test_what_has_no_process_says_what_keeps_it() -> None:
    row = Line(row=made(1, pid=None, command=None, nprocs=0, held=("/run/netns/web",)))
    assert "kept by /run/netns/web" in listing(row).text()
    assert listing(row, json=True).data() == {"namespaces": [{"ns": 1, "command": None}]}


def test_hostile_names_are_harmless() -> None:
    row = Line(row=made(1, command="\x1b[2J<script>\udcff", box=("<b>",)))
    shown = listing(row, columns="NS BOX COMMAND")._repr_mimebundle_()
    assert "\x1b" not in shown["text/plain"]
    assert "<script>" not in shown["text/html"]
    assert "<b>" not in shown["text/html"]


def test_headings_can_be_left_out() -> None:
    assert listing(Line(row=made(1)), noheadings=True).text() == "1  sh"


def test_pandas_is_wanted_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = listing(Line(row=made(1)))
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(NsmagicError, match="%pip install pandas"):
        rows.to_pandas()


class Frame:
    """As much of pandas.DataFrame as is asked for: pandas is nothing that the tests install."""

    def __init__(self, data: list[list[object]], columns: list[str]) -> None:
        self.data, self.columns = data, columns


def test_to_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=Frame))
    frame = listing(Line(row=made(1)), Line(row=made(2))).to_pandas()
    assert frame.columns == [name.lower() for name in COLUMN_NAMES]
    assert [row[0] for row in frame.data] == [1, 2]
    assert {len(row) for row in frame.data} == {len(COLUMN_NAMES)}


@needs(unsharing)
def test_rows_in_the_shell(ip: InteractiveShell) -> None:
    with unshared("--net") as pid:
        found = ip.run_line_magic("lsns", "-t net")
        row = found.where(pid=pid)[0]
        assert (row.ns, row.type, row.nprocs) == (ino(f"/proc/{pid}/ns/net"), "net", 1)
        assert (row.ppid, row.netnsid, row.box) == (os.getpid(), "unassigned", ())
        assert [each.ns for each in found.where(box="self")] == [ino("/proc/self/ns/net")]
        assert {each.type for each in found} == {"net"}


@needs(unsharing)
def test_one_process_by_pid_name_and_namespace(ip: InteractiveShell) -> None:
    with unshared("--net") as pid:
        ip.register_magics(SeeingMagics(ip, boxes=lambda: {pid: "web"}))
        by_pid = ip.run_line_magic("lsns", str(pid))
        assert [row.ns for row in ip.run_line_magic("lsns", "web")] == [row.ns for row in by_pid]
        assert [row.type for row in by_pid.where(box="web")] == [row.type for row in by_pid]
        row = by_pid.where(type="net")[0]
        assert row.box == ("web",)
        for whom in (str(row.ns), f"/proc/{pid}/ns/net"):
            inside = ip.run_line_magic("lsns", whom)
            assert [(each.pid, each.ppid) for each in inside] == [(pid, os.getpid())]
        assert "web" in by_pid.text()
        with pytest.raises(UsageError, match=r"'wbe' is neither .* \(nearest: web\)"):
            ip.run_line_magic("lsns", "wbe")


@needs(unsharing)
def test_persistent_ones_only(ip: InteractiveShell) -> None:
    with unshared("--net") as pid:
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    found = ip.run_line_magic("lsns", "-P -o NS,HELD")
    os.close(fd)
    assert {row.nprocs for row in found} == {0}
    assert f"open file {fd} of PID {os.getpid()}" in found.text()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("99999999", "no namespace 99999999 is in sight"),
        ("4194304", "there is no process 4194304"),
        ("/nosuch/file", "/nosuch/file: No such file or directory"),
        ("/dev/null", "/dev/null is not the file of a namespace"),
        ("-t nte", "nearest: net"),
    ],
)
def test_refusals_are_one_message(ip: InteractiveShell, line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ip.run_line_magic("lsns", line)


def test_help_and_columns(ip: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    assert ip.run_line_magic("lsns", "--help") is None
    assert "--persistent" in capsys.readouterr().out
    assert "HELD" in ip.run_line_magic("lsns", "-H").text()
    assert "--persistent" in str(SeeingMagics.lsns.__doc__)


def test_unloading_takes_them_away(ip: InteractiveShell) -> None:
    names = ("lsns", "nsdiff")
    assert all(name in ip.magics_manager.magics["line"] for name in names)
    ip.run_line_magic("unload_ext", "nsmagic")
    assert not any(name in ip.magics_manager.magics["line"] for name in names)
    ip.run_line_magic("load_ext", "nsmagic")


def test_the_list_is_shown_once_and_is_the_value(kernel: KernelDriver) -> None:
    shown = kernel.run("%lsns -t net")
    assert shown.displays == []
    assert shown.stdout == ""
    assert shown.result is not None
    assert set(shown.result) == {"text/plain", "text/html"}
    assert "self" in shown.result["text/plain"]
    quiet = kernel.run("found = %lsns -t net -J\nprint(len(found), found[0].type)")
    assert quiet.result is None
    assert re.fullmatch(r"\d+ net\n", quiet.stdout)
    assert "application/json" in (kernel.run("found").result or {})
    kernel.run("del found")


@user_only
def test_an_ordinary_user_is_told_what_is_missing(ip: InteractiveShell) -> None:
    assert re.search(r"not counted: \d+ process", ip.run_line_magic("lsns", "").text())
    with pytest.raises(NsmagicError, match=r"PID 1 .*cannot be read by this user"):
        ip.run_line_magic("lsns", "host")


@root_only
def test_an_ordinary_users_notebook_is_told_what_is_missing(user_kernel: KernelDriver) -> None:
    shown = user_kernel.run("%lsns")
    assert shown.result is not None
    assert re.search(r"not counted: \d+ process", shown.result["text/plain"])
    assert "self" in shown.result["text/plain"]
    refused = user_kernel.run("%lsns host")
    assert refused.error is not None
    assert len("\n".join(refused.error["traceback"]).splitlines()) <= 3
    assert "cannot be read by this user" in refused.error["evalue"]
