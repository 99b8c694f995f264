"""Our reading of a line against the installed unshare(1), which is the judge.

A line is judged by putting --version after it: the program reads every option and value before,
then prints its version and has unshared nothing.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nsmagic.linux.ids import SystemNames
from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Table, scan
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.namespaces import NAMESPACES
from nsmagic.wish.options import UNSHARE
from nsmagic.wish.ours import parse
from nsmagic.wish.unshare import to_argv, unshare_wish
from tests.support.programs import as_installed
from tests.support.skips import needs, probe

NAMES = SystemNames()
pytestmark = [
    pytest.mark.linux,
    pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare(1) is not installed"),
]


def unshare(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C", "SHELL": "/bin/true"}
    return subprocess.run(
        ["unshare", *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=20, check=False,
    )  # fmt: skip


@functools.cache
def installed() -> Table:
    return as_installed(UNSHARE, unshare)


def need(*options: str) -> None:
    missing = set(options) - {row.name for row in installed().options}
    if missing:
        pytest.skip(f"unshare here has no --{', --'.join(sorted(missing))}")


VERDICTS = (  # ours, the program's
    (r"is ambiguous: it could be (?P<fits>.*)", r"is ambiguous; possibilities: (?P<fits>.*)"),
    (r"has no option --[^;]", r"unrecognized option"),
    (r"has no option -", r"invalid option"),
    (r"needs a value", r"requires an argument"),
    (r"takes no value", r"doesn't allow an argument"),
)


def verdict(message: str, column: int) -> str:
    """Return why a line was refused, in one wording for both, and what an ambiguous name fits."""
    for row in VERDICTS:
        if found := re.search(row[column], message):
            fits = found.groupdict().get("fits", "")
            return f"{row[0][:14]} {sorted(re.findall(r'--[a-z-]+', fits))}"
    return "value"


def ours_says(words: tuple[str, ...]) -> str:
    try:
        parse(installed(), words, NAMES)
    except WishError as refusal:
        return verdict(str(refusal), 0)
    return "fine"


def program_says(words: tuple[str, ...]) -> str:
    done = unshare(*words)
    return verdict(done.stderr, 1) if done.returncode else "fine"


def judged(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the line with --version, except where that word would become an option's value."""
    return words if ours_says(words).startswith("needs a value") else (*words, "--version")


LINES = """
-m | -u | -i | -n | -p | -U | -C | -T | -f | -r | -c | -pf | -Urpfn | -muinpCTU | -fS1000 | -S 1000
-S1000 -G1000 | -G 5 -S 6 | -rR/srv | -w/tmp | -w /tmp | -R /srv -w / | -S0x10 | -Sroot | -pfx
-x | -mq | -m/file | -m=/file | -pid | -net | -S -p | -prS | -pt | -a | -t | -F | --mount
--mount=/f | --mount-proc | --mount-proc=/p | --mount-p | --mount-p=/x | --moun=/x | --mou | --m
--map-r | --map-root | --map-c | --map-user 0 | --map-user=root | --map-user=nobody-here
--map-user=99999999999999999999999 | --map-group=root | --map-group no-such-group
--map-users | --map-u=1 | --map-user | --map | --map-users=1,2,3 --map-users=4,5,6
--map-users=1,2 | --map-users=1,2,3,4 | --map-users=a,b,c | --map-groups=1,2,3 --map-a=1
--map-root-user=1 | --fork=1 | --fork= | --for=x | --frok | --forks | --kill-child | --kill-c=TERM
--kill-child=SIGTERM | --kill-child=sigterm | --kill-child=RTMIN+1 | --kill-child=SIGRTMAX-2
--kill-child=RT5 | --kill-child=RTMIN | --kill-child=RTMIN+31 | --kill-child=FOO | --kill-child=
--kill-child=IOT | --kill-child=CLD | --kill-child=POLL | --kill-child=0 | --propagation slave
--propagation=shared | --prop=private | --propagation unchanged | --propagation=rslave
--propagation | --setgroups=allow | --setgroups deny | --setgroups=no | --setg | --setgi 5 | --set
--setu=7 | --setuid=7x | --setuid=+7 | --setgid= | --keep-caps | --keep-caps=1 | --keep | --root
--root=/srv | --ro /srv | --wd=/ | --monotonic 5 | --monotonic -5 | --monotonic=+5
--monotonic=9223372036854775807 | --monotonic=1.5 | --mono=x
--boottime=-9223372036854775808 | --boot 1 | --boottime
--boottime= | --u | --us | --ut | --user=/f | --uts=/f | --cg | --ti=/f | --ne | --i | --p
--pi | --pid=/a --pid=/b | --net=/a -n | --v | --V | --version | --help | -h | -V | -pV | -phx
--help=1 | --vers --bogus | -h --bogus | --bogus -h
""".replace("\n", "|").split("|")

NEWER = (
    ("owner", "--owner=1:2"), ("owner", "--owner 1"), ("owner", "--owner=1:2:3"),
    ("owner", "--o=a:b"), ("forward-signals", "--forward-signals"), ("forward-signals", "--fo"),
    ("forward-signals", "--forward=1"), ("clear-env", "--clear-env"), ("clear-env", "--c"),
    ("whitelist-env", "--whitelist-env=A,B"), ("whitelist-env", "--w A"),
    ("mount-binfmt", "--mount-binfmt"), ("mount-binfmt", "--mount-b=/b"), ("load-interp", "-l x"),
    ("load-interp", "--load-interp"), ("map-subids", "--map-users=1:2:3"),
    ("map-subids", "--map-users=1:2"), ("map-subids", "--map-s=1"),
    ("map-subids", "--map-users=all"),
)  # fmt: skip


@pytest.mark.parametrize("line", [line.strip() for line in LINES if line.strip()])
def test_line_is_taken_or_refused_as_the_program_does(line: str) -> None:
    words = judged(tuple(line.split()))
    assert ours_says(words) == program_says(words)


@pytest.mark.parametrize(("option", "line"), NEWER)
def test_newer_line_is_taken_or_refused_as_the_program_does(option: str, line: str) -> None:
    need(option)
    test_line_is_taken_or_refused_as_the_program_does(line)


def _words_of_the_program() -> st.SearchStrategy[str]:
    # Not "5", which --kill-child takes here and not there, nor -5, which was an id before 2.39.
    name = st.sampled_from([row.name for row in UNSHARE.options])
    value = st.sampled_from(["+5", "root", "1,2,3", "TERM", "deny", "slave", "1.5", "x", "/no"])
    letters = st.text("".join(row.short or "" for row in UNSHARE.options) + "qz", min_size=1)
    cut = st.builds(lambda text, end: text[:end], name, st.integers(1, 20))
    long = st.builds("--{}".format, name | cut)
    return st.one_of(long, st.builds("{}={}".format, long, value), letters.map("-{}".format), value)


@settings(max_examples=150, deadline=None)
@given(st.lists(_words_of_the_program(), min_size=1, max_size=4).map(tuple))
def test_any_line_is_taken_or_refused_as_the_program_does(words: tuple[str, ...]) -> None:
    line = judged(words)
    found = parse(installed(), line, NAMES) if ours_says(line) == "fine" else None
    assume(found is None or not found.program)  # what runs is tested below
    # These are refused where /etc/subuid has no line for us.
    read = {each.option.name for each in scan(installed(), line).given}
    assume(not read & {"map-auto", "map-subids"})
    assert ours_says(line) == program_says(line)


@probe
def user_namespaces() -> str | None:
    """Ask the program for all that the lines below ask it for."""
    return unshare("-rfpmuinCT", "--mount-proc", "true").stderr.strip() or None


def outcome(line: str, *program: str) -> list[str]:
    """Run the program in what `line` asks for and return its lines."""
    done = unshare(*line.split(), *program)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


LINKS = [f"/proc/self/ns/{row.for_children or row.name}" for row in NAMESPACES]


@needs(user_namespaces)
@pytest.mark.parametrize(
    "line",
    ["-U", "-r", "-c", "-rn", "-rmuinpfC", "-rpf --mount-proc", "-r --mount-p=/proc -fp", "-rT",
     "-rT --monot 5 --boott 7", "-r --kill-child=TERM", "-U --map-user 5", "--map-user 5",
     "--map-group=6", "-rf", "-U --setgroups deny", "-r --prop slave",
     "-rm --propagation unchanged", "-rS 0", "-r --wd=/tmp", "-r -R /", "-rp --fork", "-ruw /"],
)  # fmt: skip
def test_wish_names_the_namespaces_that_the_program_makes(line: str) -> None:
    wish = unshare_wish(line, NAMES)[0]
    outside = [os.readlink(link) for link in LINKS]
    for same in (line, " ".join(to_argv(wish))):
        pairs = zip(NAMESPACES, outcome(same, "readlink", *LINKS), outside, strict=True)
        assert wish.namespaces == {row.name for row, new, old in pairs if new != old}


def own_ids_inside(wish: Isolation) -> tuple[int | None, int | None]:
    """Return the ids that ours become, as the docstring of Isolation tells it."""
    user, group = wish.map_user, wish.map_group
    if wish.map_root_user or wish.map_current_user:
        own = (0, 0) if wish.map_root_user else (os.geteuid(), os.getegid())
        return own[0] if user is None else user, own[1] if group is None else group
    return user, group


@needs(user_namespaces)
@pytest.mark.parametrize(
    "line",
    ["-U", "-r", "-c", "-rc", "-cr", "--map-user 5", "--map-group 6", "--map-user=5 --map-user=7",
     "-r --map-user=5", "--map-user=5 -r", "-r --map-group=5", "--map-group=5 -r",
     "-c --map-group 7 --map-user 9 -U", "--map-user 9 -c --map-group 7", "-U --setgroups deny"],
)  # fmt: skip
def test_wish_maps_the_ids_that_the_program_maps(line: str) -> None:
    wish = unshare_wish(line, NAMES)[0]
    expected = [
        "" if inside is None else f"{inside} {outside} 1"
        for inside, outside in zip(own_ids_inside(wish), (os.geteuid(), os.getegid()), strict=True)
    ]
    script = "for f in uid_map gid_map setgroups; do read a b c </proc/self/$f; echo $a $b $c; done"
    for same in (line, " ".join(to_argv(wish))):
        assert outcome(same, "sh", "-c", script) == [*expected, wish.setgroups or "allow"]


@needs(user_namespaces)
@pytest.mark.parametrize(
    "line",
    ["-r echo -p --net", "-r -- echo -- x", "-U --map-root echo --fork",
     "-U --setgroups=deny echo a", "-rS 0 echo -h", "-r --kill-child echo TERM",
     "--map-user 5 echo --map-user", "-rw / echo -w"],
)  # fmt: skip
def test_program_begins_where_the_program_says(line: str) -> None:
    command, *arguments = unshare_wish(line, NAMES)[2]
    assert (command, outcome(line)) == ("echo", [" ".join(arguments)])


@needs(user_namespaces)
@pytest.mark.parametrize("line", ["-U --monotonic 5", "-r --boottime=1", "-r --setgroups allow"])
def test_contradiction_is_one_for_the_program_too(line: str) -> None:
    done = unshare(*line.split(), "true")
    assert done.returncode != 0
    assert "option" in done.stderr
    with pytest.raises(WishError):
        unshare_wish(line, NAMES)
