"""Any line of any magic is understood or refused in one line, and its plan can be told and sent."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st

from nsmagic.linux.ids import SystemNames
from nsmagic.linux.situation import read_situation
from nsmagic.notebook.boxing import Boxing, read_boxing
from nsmagic.notebook.explain import explain_table
from nsmagic.notebook.request import READERS, read_request
from nsmagic.notebook.transform import cgroup_head, empty_body
from nsmagic.run.boxes import boxes
from nsmagic.wish import steps
from nsmagic.wish.accounts import Account
from nsmagic.wish.box import read_box
from nsmagic.wish.cgplot import read_cgplot
from nsmagic.wish.cgroup import heads_a_cell, read_order
from nsmagic.wish.errors import NsmagicError, WishError
from nsmagic.wish.getopt import split_line
from nsmagic.wish.idmaps import Ids, Range
from nsmagic.wish.lab import read_lab
from nsmagic.wish.lsns import read_lsns
from nsmagic.wish.nsdiff import read_nsdiff
from nsmagic.wish.nsmagic import read_nsmagic
from nsmagic.wish.nsmap import read_nsmap
from nsmagic.wish.plan import Situation, make_plan
from nsmagic.wish.rootfs import read_rootfs
from nsmagic.wish.sxs import read_sxs
from nsmagic.wish.unshare import settle, to_argv, unshare_wish
from tests.fuzz.hostile import hold, sizes, text
from tests.fuzz.lines import BODIES, NAMES, any_line, cells, line_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from nsmagic.wish.isolation import Isolation
    from nsmagic.wish.plan import Plan

NAMES_HERE = SystemNames()
# What reads the line of each magic that is no cell.
LOOKS: dict[str, Callable[[str], object]] = {
    "box": lambda line: read_box(line, NAMES_HERE),
    "cgplot": lambda line: read_cgplot(line, NAMES_HERE),
    "cgroup": read_order,
    "lab": lambda line: read_lab(line, NAMES_HERE),
    "lsns": lambda line: read_lsns(line, NAMES_HERE),
    "nsdiff": lambda line: read_nsdiff(line, NAMES_HERE),
    "nsmagic": read_nsmagic,
    "nsmap": lambda line: read_nsmap(line, NAMES_HERE),
    "rootfs": lambda line: read_rootfs(split_line(line), NAMES_HERE),
    "sxs": lambda line: read_sxs(line, None, NAMES_HERE),
}


def one_line(error: NsmagicError) -> None:
    """What is refused is said in one line that any front end can show and any log can hold."""
    message = str(error)
    assert message
    assert message.splitlines() == [message]
    assert message.isprintable()
    assert len(message) < 1200
    (message + error.hint).encode()


def situations() -> st.SearchStrategy[Situation]:
    """Root and ordinary users, with and without ranges of ids, in groups or without."""
    ranges = st.lists(
        st.builds(Range, start=st.integers(0, 2**32 - 1), count=st.integers(0, 2**32 - 1)),
        max_size=2,
    ).map(tuple)
    ids = [
        st.builds(
            Ids, kind=st.just(kind), own=st.integers(0, 2**32 - 2), granted=ranges, known=ranges
        )
        for kind in ("uid", "gid")
    ]
    return st.builds(
        Situation, uids=ids[0], gids=ids[1], sys_admin=st.booleans(), sys_chroot=st.booleans(),
        old_root=st.booleans(), cgroup=st.sampled_from((None, "/sys/fs/cgroup/x")),
        outside=st.just(Account(groups=())),
    )  # fmt: skip


def tell(plan: Plan, asked: Isolation) -> None:
    """The plan can be shown, in text and HTML, and sent to the spawner and back."""
    table = explain_table(plan, asked=asked, dry_run=True)
    assert set(table.bundle(100)) >= {"text/plain", "text/html"}
    for step in plan.steps:
        assert step.syscalls()
        assert steps.from_json(json.loads(json.dumps(steps.to_json(step)))) == step
    for note in plan.notes:
        assert note.splitlines() == [note]


def check_cell(cell: str, situation: Situation) -> None:
    first, _, body = cell.partition("\n")
    name, _, line = first[2:].partition(" ")
    try:
        request = read_request(name, line, body or None)
        if request.ours.help or request.ours.version:
            return
        here = read_situation(request.wish)
        entering = boxes().entering(request.wish.enter)
        for known in (here, replace(situation, own_paths=here.own_paths)):
            known = replace(known, entering=entering)
            argv = request.argv(other_root=request.wish.root is not None)
            main = steps.Exec(argv=argv) if argv else steps.RunPython()
            ours = request.ours
            plan = make_plan(request.wish, known, main, strict=ours.strict, init=ours.init)
            tell(plan, request.wish)
    except NsmagicError as error:
        one_line(error)


@sizes(40_000)
def test_cells(count: int) -> None:
    hold(count, st.tuples(cells(), situations()), lambda pair: check_cell(*pair))


def check_line(name: str, line: str) -> None:
    readers = [LOOKS[name]] if name in LOOKS else []
    if name in READERS:
        readers.append(READERS[name])
    for read in readers:
        try:
            assert read(line) is not None or name == "cgroup"
        except WishError as error:
            one_line(error)


@sizes(25_000)
def test_lines(count: int) -> None:
    hold(count, any_line(), lambda pair: check_line(*pair))


def test_every_magic_is_read() -> None:
    assert set(NAMES) == set(LOOKS) | set(READERS)


@sizes(4_000)
def test_a_wish_written_back_is_the_same_wish(count: int) -> None:
    def check(line: str) -> None:
        try:
            wish, ours, _ = unshare_wish(line, NAMES_HERE)
        except WishError as error:
            one_line(error)
            return
        if not (ours.help or ours.version):
            assert settle(wish) == wish
            assert unshare_wish(to_argv(wish), NAMES_HERE)[0] == wish

    hold(count, line_of("unshare"), check)


@sizes(4_000)
def test_what_is_done_to_the_text_of_a_cell(count: int) -> None:
    """Any cell: what is no cell of ours stays, and as many lines as before stand in it."""

    def check(cell: str) -> None:
        lines = cell.splitlines(keepends=True) or [""]
        headed = cgroup_head(list(lines))
        assert len(headed) == len(lines)
        emptied = empty_body(list(lines))
        assert emptied == lines or len(emptied) == 1
        if "%" not in cell:
            assert headed == emptied == lines
        heads_a_cell(cell)

    lines = st.one_of(cells(), text, line_of("cgroup").map(lambda line: f"%cgroup {line}"))
    hold(count, st.lists(lines, max_size=3).map("\n".join), check)


@sizes(4_000)
def test_options_of_kernel_isolate(count: int) -> None:
    """Its lines become the argv of a kernelspec, and from there the same box and its plan."""
    unshare = line_of("unshare").filter(lambda line: "\0" not in line)
    given = st.builds(
        Boxing, name=text, unshare=unshare, cgroup=line_of("cgroup"), root=st.none() | text
    )

    def check(boxing: Boxing) -> None:
        command = ["kernel", "-f", "file"]
        try:
            words = boxing.argv("python", command)[4:]
            again, _, kernel = read_boxing(words)
            assert kernel == command
            assert again == boxing or boxing.root == ""
            tell(boxing.plan(command), boxing.wish()[0])
        except NsmagicError as error:
            one_line(error)

    # argparse drops a value that is "--" alone, which says nothing.
    hold(count, given.filter(lambda boxing: "--" not in vars(boxing).values()), check)


@pytest.mark.parametrize("name", sorted(READERS))
def test_bodies_are_left_as_they_are(name: str) -> None:
    for body in filter(None, BODIES):
        line = "/" if name == "chroot" else "-t 1 --uts" if name == "nsenter" else ""
        if body.strip():
            assert read_request(name, line, body).body == body.lstrip("\n") or "\n" in body


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("unshare", "sh -c '\ud800'"), ("unshare", "true \0"),
        ("unshare", f"--map-users {'9' * 5000}:0:1"), ("cgroup", f"mem={'9' * 5000}"),
        ("cgroup", f"net_cls.classid=0x{'f' * 6000}"), ("cgroup", "net_cls.classid=-1"),
        ("cgroup", "devices.allow=\udcff"), ("unshare", "-\x1b"), ("lsns", "x\u2028y z"),
        ("nsdiff", "--\x85"),
    ],
)  # fmt: skip
def test_found_before(name: str, line: str) -> None:
    """Each of these was a traceback once, or a message that no front end could show."""
    with pytest.raises(WishError) as refused:
        (READERS[name] if name in READERS else LOOKS[name])(line)
    one_line(refused.value)


def test_bytes_that_are_no_utf_8_are_written_as_they_are() -> None:
    wish, ours, _ = unshare_wish("--load-interp=:x:E::y::/\udcff:", NAMES_HERE)
    plan = make_plan(wish, read_situation(wish), steps.RunPython(), strict=ours.strict)
    tell(plan, wish)


def test_a_name_of_accounts_as_long_as_it_likes() -> None:
    wish = READERS["chroot"](f"--userspec={'9' * 5000} --groups={'9' * 5000} /tmp")[0]
    assert read_situation(wish).outside.uid is None


def test_nothing_here_has_run() -> None:
    assert not boxes().living()
