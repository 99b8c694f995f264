"""The line of `%rootfs`, and the refusals of its plan."""

from __future__ import annotations

import pytest

from nsmagic.linux.ids import SystemNames
from nsmagic.wish.errors import WishError
from nsmagic.wish.missing import Missing, missing_text
from nsmagic.wish.rootfs import ROOTFS, Entry, RootfsPlan, RootfsWish, State, read_rootfs
from nsmagic.wish.usage import help_text


def read(*words: str) -> RootfsWish:
    return read_rootfs(words, SystemNames())


def test_options_stand_anywhere() -> None:
    wish = RootfsWish(
        directory="d", programs=("bash", "ls"), extra=("/a", "/b"), force=True, dry_run=True
    )
    assert read("-fn", "--with", "/a", "--with=/b", "d", "bash", "ls") == wish
    assert read("d", "bash", "--with=/a", "-f", "ls", "--with", "/b", "--dry-run") == wish
    assert read("--", "d", "-f") == RootfsWish(directory="d", programs=("-f",))
    assert read("d", "--with", "/a") == RootfsWish(directory="d", extra=("/a",))
    assert read("d", "--help").help


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "which directory"),
        (("d",), "which directory"),
        (("", "ls"), "name of the directory is empty"),
        (("a\nb", "ls"), r"'a\\nb' has characters"),
        (("a\x1b[31m", "ls"), "has characters"),
        (("a\0", "ls"), "has characters"),
        (("~/d", "ls"), "~ of ~/d is not expanded"),
        (("d", ""), "'' cannot be the name"),
        (("d", "l\0s"), "cannot be the name"),
        (("d", "ls", "--with"), "--with needs a value"),
        (("d", "ls", "--with="), "is empty"),
        (("d", "ls", "--forse"), "nearest is --force"),
    ],
)
def test_nonsense(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(WishError, match=message) as caught:
        read(*words)
    assert len(str(caught.value).splitlines()) == 1


def plan(state: State, *words: str) -> RootfsPlan:
    entry = Entry(path="/bin/l s", kind="file", source="/bin/ls", state=state)
    return RootfsPlan(wish=read("my dir", "ls", *words), entries=(entry,))


def test_conflicts() -> None:
    with pytest.raises(WishError, match="my dir/bin/l s differs") as caught:
        plan("differs", "--with=/etc/a b").refuse_conflicts()
    assert caught.value.hint.startswith("%rootfs --force 'my dir' ls --with '/etc/a b' ")
    with pytest.raises(WishError, match="cannot become"):
        plan("blocked", "--force").refuse_conflicts()
    plan("differs", "--force").refuse_conflicts()
    plan("same").refuse_conflicts()
    assert plan("same").work == ()


def test_help_is_of_the_table() -> None:
    text = help_text(ROOTFS)
    assert text.startswith("rootfs [options] <dir> <program>...\n")
    assert all(f"--{option.name}" in text for option in ROOTFS.rows)


@pytest.mark.parametrize(
    ("lack", "root", "words"),
    [
        (Missing(kind="loader", name="/lib/ld.so", needed_by="/bin/a"), "box", "its loader /lib"),
        (Missing(kind="library", name="libx.so", needed_by="/bin/a"), "box", "finds no libx.so in"),
        (Missing(kind="interpreter", name="/bin/x", needed_by="/a"), "box", "first line, /bin/x,"),
        (Missing(kind="interpreter", name="/bin/x\r", needed_by="/a"), "", "Windows"),
        (Missing(kind="interpreter", name="/bin/x", needed_by="/a b"), "", "head -1 '/a b'"),
        (Missing(kind="library", name="l", needed_by="/a", damaged="/l"), "box", "/l is cut off"),
        (Missing(kind="program", name="/bin/\x1b[3m", needed_by="/a"), "box", r"no /bin/\x1b[3m"),
    ],
)  # fmt: skip
def test_what_is_missing_in_words(lack: Missing, root: str, words: str) -> None:
    text = missing_text([lack], root, "/bin/a b")
    assert words in text
    assert text.isascii()
    assert len(text.splitlines()) <= 2
    assert ("%rootfs" in text) == (root != "")
    assert root == "" or " box '/bin/a b' " in text


def test_nothing_missing() -> None:
    assert missing_text([], "box", "ls") == ""
