"""Our reading of chroot(1) against the installed program: its lines, and who one becomes."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsmagic.linux.ids import SystemNames
from nsmagic.wish.accounts import NOBODY, Account, UnknownAccountError, find_inside, find_outside
from nsmagic.wish.chroot import CHROOT, read_chroot, to_words
from nsmagic.wish.errors import WishError
from nsmagic.wish.isolation import Isolation
from tests.support.skips import needs, probe, root_only

NAMES = SystemNames()
pytestmark = pytest.mark.linux


@probe
def coreutils() -> str | None:
    """Whether chroot(1) is that of GNU coreutils; Debian has it in /usr/sbin."""
    found = shutil.which("chroot", path="/usr/sbin:/usr/bin")
    if found is None:
        return "chroot(1) is not installed"
    done = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    return None if "coreutils" in done.stdout else "chroot(1) is not that of coreutils"


def chroot(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["chroot", *words], capture_output=True, text=True, check=False, timeout=20,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "SHELL": "/bin/true"},
    )  # fmt: skip


VERDICTS = (  # ours, the program's
    (r"is ambiguous", r"is ambiguous"),
    (r"has no option --", r"unrecognized option"),
    (r"has no option -", r"invalid option"),
    (r"needs a value", r"requires an argument"),
    (r"takes no value", r"doesn't allow an argument"),
    (r"which directory", r"missing operand"),
)


def verdict(message: str, column: int) -> str:
    return next((row[0] for row in VERDICTS if re.search(row[column], message)), "fine")


def ours_says(words: tuple[str, ...]) -> str:
    try:
        read_chroot(words, NAMES)
    except WishError as refusal:
        return verdict(str(refusal), 0)
    return "fine"


LINES = """
| / | /nowhere true | --groups=1 / true | --groups 1 / true | --gr=1 / true | --g / true | --groups
--userspec | --userspec=1 | --u=1:1 / true | --userspec= / true | --skip-chdir / true | --s / true
--skip=1 / true | -x | -h | --help | --h | --version | --v | --help=1 | -- / true | -- | --bogus
--groups= / true | / -- true | -g 1 / | --skip-chdir --userspec=0:0 --groups=0 / true
""".replace("\n", "|").split("|")


@needs(coreutils)
@pytest.mark.parametrize("line", [line.strip() for line in LINES])
def test_line_is_taken_or_refused_as_the_program_does(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "nsmagic.wish.chroot.CHROOT", dataclasses.replace(CHROOT, extra=())
    )  # abbreviations of ours are no business of the program's
    words = tuple(line.split())
    assert ours_says(words) == verdict(chroot(*words).stderr, 1)


def test_what_a_line_asks_for() -> None:
    wish, ours, program = read_chroot(
        "--explain --groups=a,b --userspec=x root ls --groups=c", NAMES
    )
    assert ours.explain
    assert wish == Isolation(root="root", chroot=True, groups="a,b", userspec="x")
    assert program == ("ls", "--groups=c")
    assert to_words(wish) == ("--groups=a,b", "--userspec=x")
    assert read_chroot("--skip-chdir /", NAMES)[0].skip_chdir
    with pytest.raises(WishError, match="empty name"):
        read_chroot("''", NAMES)
    with pytest.raises(WishError, match="after the new root"):
        read_chroot("root --time=5", NAMES)


PASSWD = """\
root:x:0:0::/:/bin/sh
games:x:1005:1060::/:/bin/sh
inner:x:1500:1501::/:/bin/sh
7:x:1700:1701::/:/bin/sh
dotted.name:x:1800:1801::/:/bin/sh
"""
# "games" is in no group here: for a user whom only the old root has, the program takes the name
# from memory that getpwuid(3) has since written over.
GROUP = "root:x:0:\nadm:x:1004:inner\nin:x:1600:inner\n8:x:1808:\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with users of its own, some of whom have other numbers outside."""
    folder = tmp_path_factory.mktemp("jail") / "root"
    linked = subprocess.run(["ldd", "/usr/bin/id"], check=True, capture_output=True, text=True)
    for file in ["/usr/bin/id", *re.findall(r"/\S+", linked.stdout)]:
        copy = folder / file.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    (folder / "etc").mkdir()
    (folder / "etc/passwd").write_text(PASSWD)
    (folder / "etc/group").write_text(GROUP)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    return folder


def becomes(found: Account) -> tuple[str, str, str]:
    """Return what /proc/self/status would say; what is left alone is root's."""
    groups = () if found.groups is None else found.groups
    listed = " ".join(map(str, sorted(set(groups)))) if found.groups is not None else "unchanged"
    return str(found.uid or 0), str(found.gid or 0), listed


def ours_becomes(root: Path | None, userspec: str | None, groups: str | None) -> object:
    """Return who our code finds, in a child that really is in that root; "refused" for nobody."""
    read, write = os.pipe()
    before = NOBODY if root is None else find_outside(userspec, groups, NAMES)
    pid = os.fork()
    if pid == 0:
        try:
            os.chroot(root or "/")
            os.chdir("/")
            answer = repr(becomes(find_inside(userspec, groups, NAMES, before)))
        except UnknownAccountError:
            answer = "'refused'"
        finally:
            os.write(write, answer.encode())
            os._exit(0)
    os.close(write)
    with open(read) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return eval(text)


def program_becomes(root: Path | None, userspec: str | None, groups: str | None) -> object:
    words = [f"--userspec={userspec}"] if userspec is not None else []
    words += [f"--groups={groups}"] if groups is not None else []
    numbers = []
    for option in ("-u", "-g", "-G"):
        done = chroot(*words, str(root or "/"), "/usr/bin/id", option)
        if done.returncode:
            return "refused"
        numbers.append(done.stdout.strip())
    uid, gid, listed = numbers
    # id -G adds the group itself, so it is taken out on both sides where it was not asked for.
    return uid, gid, {*listed.split(), gid}


def same_shape(found: object) -> object:
    if not isinstance(found, tuple):
        return found
    uid, gid, listed = found
    if listed == "unchanged":
        return uid, gid, {*map(str, os.getgroups()), gid}
    return uid, gid, {*listed.split(), gid}


SPECS = [
    None, "", ":", "::", "0", "5", "+5", "7", "+7", "7:8", "+7:+8", "5:6", "games", "games:",
    "games::", "games:adm", "inner", "inner:in", ":adm", ":+9", "nobody", "nobody:in", "bin:root",
    "no-such", "no-such:adm", "5:no-such", " 5", "5 ", "-5", "5x", "4294967295", "4294967294:1",
    "dotted.name", "inner.in", "inner.", "5.6", "5.", "1500", "1234567", "1234567:1", "+",
]  # fmt: skip
GROUPS = [None, "", "8", "+8", "adm", "adm,in", ",,adm,", ",", "no-such", "adm,no-such", "audio",
          "audio,in", "+1, +2", "4294967295"]  # fmt: skip


@root_only
@needs(coreutils)
@pytest.mark.parametrize("userspec", SPECS)
def test_one_becomes_whom_the_program_makes_one(root: Path, userspec: str | None) -> None:
    for place in (root, None):
        ours = same_shape(ours_becomes(place, userspec, None))
        assert ours == program_becomes(place, userspec, None), place


@root_only
@needs(coreutils)
@pytest.mark.parametrize("groups", GROUPS)
def test_one_gets_the_groups_that_the_program_gives(root: Path, groups: str | None) -> None:
    for userspec in (None, "games", "1500:1", "inner:in"):
        ours = same_shape(ours_becomes(root, userspec, groups))
        if groups == "4294967295":  # setgroups(2) refuses it: our next step
            assert program_becomes(root, userspec, groups) == "refused"
        else:
            assert ours == program_becomes(root, userspec, groups), userspec


_NAME = st.sampled_from(["games", "inner", "7", "8", "+7", "adm", "in", "x", "0", "1500", ""])


@root_only
@needs(coreutils)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(_NAME, min_size=1, max_size=3),
    st.sampled_from([":", "."]),
    st.none() | st.lists(_NAME, max_size=3).map(",".join),
)
def test_any_spec(root: Path, parts: list[str], separator: str, groups: str | None) -> None:
    userspec = separator.join(parts)
    ours = same_shape(ours_becomes(root, userspec, groups))
    assert ours == program_becomes(root, userspec, groups)
