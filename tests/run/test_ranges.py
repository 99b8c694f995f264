"""Ranges of ids for an ordinary user: newuidmap(1) writes them, from /etc/subuid.

The real files are not touched: in a mount namespace of the test another one lies over them.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.skips import needs, probe, root_only

if TYPE_CHECKING:
    from tests.support.user import Account

pytestmark = [pytest.mark.linux, root_only]

ENTER = """
mount --bind "$1" /etc/subuid && mount --bind "$1" /etc/subgid &&
exec setpriv --reuid="$2" --regid="$3" --clear-groups -- "${@:4}"
"""
# One map per line of words: by unshare(1), as a program cell, as a Python cell.
ASK = """
import json, os, subprocess, sys
from pathlib import Path
from nsmagic.run.spawning import close_spawner
from nsmagic.wish.errors import NsmagicError
from tests.run.direct import Cell

FILES = [f"/proc/self/{name}" for name in ("uid_map", "gid_map", "setgroups")]

def ask(way):
    try:
        return way().split()
    except NsmagicError as error:
        return [str(error), error.hint]

def ask_all(words):
    program = ["unshare", *words, "cat", *FILES]
    yield subprocess.run(program, capture_output=True, text=True).stdout.split()
    yield ask(lambda: Cell().program([*words, "cat", *FILES]).out)
    yield ask(lambda: Cell().python(words, lambda: "".join(Path(f).read_text() for f in FILES)).out)

print(json.dumps([list(ask_all(line.split())) for line in sys.argv[1:]]))
close_spawner()
"""


@probe
def newuidmap() -> str | None:
    """newuidmap(1) and newgidmap(1) are there, and so are the files to cover."""
    subprocess.run(["newuidmap"], capture_output=True, check=False)
    subprocess.run(["newgidmap"], capture_output=True, check=False)
    missing = [name for name in ("/etc/subuid", "/etc/subgid") if not Path(name).exists()]
    return f"no {', '.join(missing)}" if missing else None


def ask(account: Account, folder: Path, grants: str, *lines: str) -> list[list[list[str]]]:
    file = folder / "grants"
    file.write_text(grants)
    file.chmod(0o644)
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", ENTER, "bash", str(file), str(account.uid),
         str(account.gid), account.python, "-c", ASK, *lines],
        capture_output=True, text=True, check=False, timeout=60, cwd="/",
        env=os.environ | account.env,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[list[list[str]]] = json.loads(done.stdout)
    return found


@needs(newuidmap)
def test_as_the_program_does(as_user: Account, tmp_path: Path) -> None:
    uid, gid = as_user.uid, as_user.gid
    lines = ["--map-auto", "--map-auto -r", "--map-auto -c", "--map-users=auto -r"]
    grants = f"# a remark\nsomebody:500000:9\n{uid}:200000:65536\n{uid}:1:1\n"
    alone, as_root, itself, users = ask(as_user, tmp_path, grants, *lines)
    whole = "0 200000 65536"
    behind_root = "1 200000 65536"
    around = f"0 200000 {uid} {uid + 1} {200000 + uid} {65536 - uid}"
    assert alone[1:] == [f"{whole} {whole} allow".split()] * 2
    assert as_root[1:] == [f"0 {uid} 1 {behind_root} 0 {gid} 1 {behind_root} allow".split()] * 2
    assert itself[1:] == [f"{uid} {uid} 1 {around} {gid} {gid} 1 {around} allow".split()] * 2
    assert users[1:] == [f"0 {uid} 1 {behind_root} 0 {gid} 1 deny".split()] * 2
    assert alone[0] == alone[1], "the program's own, which before 2.40 lost an id beside -r"


@needs(newuidmap)
def test_given_by_name_and_to_themselves(as_user: Account, tmp_path: Path) -> None:
    grants = f"{as_user.env['USER']}:200000:10\n"
    lines = ["--map-subids", "--map-users=0:200002:3 --map-groups=7:200000:1"]
    whole, some = ask(as_user, tmp_path, grants, *lines)
    assert whole[1:] == [["200000", "200000", "10", "200000", "200000", "10", "allow"]] * 2
    assert some[1:] == [["0", "200002", "3", "7", "200000", "1", "allow"]] * 2


@needs(newuidmap)
def test_what_is_not_granted_is_refused(as_user: Account, tmp_path: Path) -> None:
    grants = f"{as_user.uid}:200000:10\n"
    (ours, *_), (nothing, *_) = (
        [answers[1:] for answers in ask(as_user, tmp_path, text, line)]
        for text, line in ((grants, "--map-users=0:300000:1"), ("", "--map-auto"))
    )
    for text, hint in ours:
        assert "uid range [0-1) -> [300000-300001) not allowed" in text
        assert hint
    for text, hint in nothing:
        assert "you have no line in /etc/subuid" in text
        assert "/etc/subuid" in hint
