"""What the namespace map is told: groups, colours, and how two pictures differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsmagic.linux.discover import discover
from nsmagic.linux.processes import read_command
from nsmagic.notebook.nsmap import words
from nsmagic.widgets.colours import DARK, LIGHT, MARKS, colour, mark
from nsmagic.widgets.map_facts import Colours, Picture, difference, take_picture
from nsmagic.widgets.map_still import svg
from tests.linux.making import FIRST, add_process

if TYPE_CHECKING:
    from pathlib import Path


def look(proc: Path, boxes: dict[int, str] | None = None) -> Picture:
    found = discover(str(proc))
    return take_picture(
        found, boxes or {}, lambda pid: read_command(pid, str(proc)), Colours(own=found.own)
    )


def machine(proc: Path) -> Path:
    for pid in (1, 2, 3):
        add_process(proc, pid)
    (proc / "self").symlink_to("2")
    add_process(proc, 8, name="<web>", command=b"<web>\0--x\0", links=FIRST | {"net": 77})
    add_process(proc, 9, links=FIRST | {"net": 77, "pid": 78})
    return proc


def test_processes_in_the_same_namespaces_are_one_group(tmp_path: Path) -> None:
    picture = look(machine(tmp_path), {8: "web"})
    found = {group.name: (group.kind, list(group.commands)) for group in picture.groups.values()}
    assert found == {"this notebook": ("self", [1, 2, 3]), "web": ("box", [8]), "sh": ("", [9])}
    net = picture.spaces["net:77"]
    assert (net.own, net.colour, net.processes) == (False, 1, 2)
    assert net.enter == "%%nsenter -t web --net"
    assert picture.spaces["pid:78"].enter == "%%nsenter -t 9 --pid"
    ours = picture.spaces[f"net:{FIRST['net']}"]
    assert (ours.own, ours.enter) == (True, "")  # we are in it


def test_a_namespace_kept_by_a_file_has_a_row(tmp_path: Path) -> None:
    machine(tmp_path)
    mounts = "1 0 0:4 net:[99] /run/netns/lab rw - nsfs nsfs rw\n"
    (tmp_path / "2" / "mountinfo").write_text(mounts)
    held = [group for group in look(tmp_path).groups.values() if group.kind == "held"]
    assert [(group.name, dict(group.links)) for group in held] == [("/run/netns/lab", {"net": 99})]


def test_only_what_changed_travels(tmp_path: Path) -> None:
    before = look(machine(tmp_path))
    assert difference(before.facts(), look(tmp_path).facts(before)) == {}
    add_process(tmp_path, 11, command=b"sleep\x009\0")
    change = difference(before.facts(), look(tmp_path).facts(before))
    (group,) = change["groups"].values()
    assert (group["came"], group["went"], group["was"]) == ({"11": "sleep 9"}, [], 3)
    assert {key: (s["processes"], s["state"]) for key, s in change["spaces"].items()} == {
        f"{kind}:{ino}": (6 if kind not in {"net", "pid"} else 5 if kind == "pid" else 4, "")
        for kind, ino in FIRST.items()
    }
    add_process(tmp_path, 12, links=FIRST | {"uts": 500})
    new = difference(before.facts(), look(tmp_path).facts(before))["spaces"]["uts:500"]
    assert (new["state"], new["colour"]) == ("new", 1)


def test_text_and_picture_name_all_and_escape(tmp_path: Path) -> None:
    picture = look(machine(tmp_path))
    text = words(picture)
    assert "this notebook" in text
    assert "◆ net:[77]" in text
    drawn = svg(picture, picture)
    assert "&lt;web&gt;" in drawn
    assert "<web>" not in drawn
    assert "◆ 77" in drawn


def test_two_namespaces_look_alike_only_after_all_pairs_are_used_up() -> None:
    pairs = (len(LIGHT) - 1) * (len(MARKS) - 1)
    looks = [(colour(number), mark(number)) for number in range(1, pairs // 2)]
    assert len(set(looks)) == len(looks)
    assert len(LIGHT) == len(DARK)
    assert (colour(0), mark(0)) == (LIGHT[0], "●")
