"""Our reading of a line against the installed nsenter(1), which is the judge.

As for unshare(1), `--version` after the line makes the program read all of it and enter nothing.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsmagic.linux.ids import SystemNames
from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Table
from nsmagic.wish.isolation import Enter
from nsmagic.wish.nsenter import NSENTER, nsenter_words, read_nsenter
from nsmagic.wish.ours import parse
from tests.support.programs import as_installed
from tests.wish.test_unshare_program import verdict

NAMES = SystemNames()
pytestmark = [
    pytest.mark.linux,
    pytest.mark.skipif(shutil.which("nsenter") is None, reason="nsenter(1) is not installed"),
]


def nsenter(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["nsenter", *words], env={**os.environ, "LC_ALL": "C"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip


@functools.cache
def installed() -> Table:
    return as_installed(NSENTER, nsenter)


def ours_says(words: tuple[str, ...]) -> str:
    try:
        parse(installed(), words, NAMES)
    except WishError as refusal:
        return "fine" if "not among what nsmagic does" in str(refusal) else verdict(str(refusal), 0)
    return "fine"


def program_says(words: tuple[str, ...]) -> str:
    done = nsenter(*words)
    if done.returncode and "cannot open" in done.stderr:  # the words were understood
        return "fine"
    return verdict(done.stderr, 1) if done.returncode else "fine"


LINES = """
-a | -t1 | -t 1 | --target=1 -m | -muinpCUT | -F | -r | -w | --all | --all=1 | --al | --a | -ax
-x | -S | -S 5 | -S5 | -G 5 -S 6 | --setuid=5 | --setu 5 | --set 5 | --setg | -Sx | --setuid=
--preserve-credentials | --pres | --p | --pi | --mount=/proc/1/ns/mnt | --m | --mo | --n=/f | --ne
-n/proc/self/ns/net | -n=/proc/self/ns/net | --no-fork | --no | --no-fork=1 | --root | --root=/
--ro=/ | -r/ | --wd=/ | -w/ | -w=/ | --wdns=/ | -W/ | --w | --frok | --fork | --user
--us | --ut | -T | --time | --ti=/f | --cgroup | --cg | --t | --ta=5 | --target | -t | --target=
-h | -V | -aV | -ahx | --help=1 | --version | --v | --bogus | -V --bogus | --bogus -V | -1
""".replace("\n", "|").split("|")


@pytest.mark.parametrize("line", [line.strip() for line in LINES if line.strip()])
def test_a_line_is_refused_as_the_program_refuses_it(line: str) -> None:
    words = tuple(line.split())
    if not ours_says(words).startswith("needs a value"):
        words = (*words, "--version")
    assert ours_says(words) == program_says(words)


LETTERS = "".join(
    row.short or "" for row in NSENTER.options if row.short not in {"t", "Z", "N", "W"}
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(LETTERS + "q", min_size=1, max_size=4), max_size=3))
def test_bundles_are_read_as_the_program_reads_them(bundles: list[str]) -> None:
    known = {row.short for row in installed().options} | {"q"}
    words = tuple(f"-{''.join(letter for letter in each if letter in known)}" for each in bundles)
    words = tuple(word for word in words if len(word) > 1)
    if "cannot open" in nsenter(*words, "--version").stderr:
        return  # a file that it takes a letter for, before it read on
    assert ours_says((*words, "--version")) == program_says((*words, "--version"))


READ = {
    "-t web": Enter(target="web"),
    "-t 0012 -a": Enter(target="12", all=True),
    "-t web -n -p": Enter(target="web", types=frozenset({"net", "pid"})),
    "-t web -np": Enter(target="web", files=(("net", "p"),)),  # as nsenter(1) reads it
    "-n=/run/a -u/run/b": Enter(files=(("net", "/run/a"), ("uts", "/run/b"))),
    "--net=/a --net=/b": Enter(files=(("net", "/b"),)),
    "-t 1 -a -r -w": Enter(target="1", all=True, root="", wd=""),
    "-t 1 -a --root=/x -W=/y": Enter(target="1", all=True, root="/x", wdns="/y"),
    "-t 1 -a -r=/x": Enter(target="1", all=True, root="=/x"),
    "-t 1 -a -S follow -G 7": Enter(target="1", all=True, setuid="follow", setgid=7),
    "-t 1 -aFec --preserve-credentials --keep-caps": Enter(
        target="1", all=True, no_fork=True, env=True, join_cgroup=True, preserve_credentials=True,
        keep_caps=True,
    ),
    "--strict -t 7": Enter(target="7"),
}  # fmt: skip


@pytest.mark.parametrize("line", READ)
def test_what_a_line_means(line: str) -> None:
    wish, _, program = read_nsenter(line + " ls -l", NAMES)
    assert wish.enter == READ[line]
    assert program == ("ls", "-l")
    if line != "--strict -t 7":
        enter = READ[line]
        again = nsenter_words(enter, enter.target or "", sorted(enter.types))
        assert read_nsenter(again, NAMES)[0].enter == enter


REFUSED = {
    "-t 7": "nsenter -t 7 names no namespace",
    "": "whose namespaces?",
    "-n -p": "whose namespaces for --net --pid?",
    "-a": "whose namespaces for --all?",
    "-r --net=/f": "whose namespaces for --root?",
    "-e --net=/f": "whose namespaces for --env?",
    "-t a -t b": "--target may be given only once",
    "-t 0 -a": "is no PID",
    "-t ../x -a": "is neither a PID nor a name that a box can have",
    "-t 1 -w/ -W/": "--wd and --wdns exclude each other",
    "-t 1 --net=:5": "which only nsenter(1) itself enters",
    "-t 1 --user-parent": "--user-parent is not among what nsmagic does",
    "-t 1 -N 5": "--net-socket is not among what nsmagic does",
    "-t 1 -a -S -1": "is not an id",
}


@pytest.mark.parametrize("line", REFUSED)
def test_lines_that_make_no_sense(line: str) -> None:
    with pytest.raises(WishError) as refusal:
        read_nsenter(line, NAMES)
    assert REFUSED[line] in str(refusal.value)


def test_one_cell_is_in_one_place_only() -> None:
    one, two = (read_nsenter(f"-t {name}", NAMES)[0] for name in ("a", "b"))
    with pytest.raises(WishError, match="stands twice"):
        one.united_with(two)
