"""Tab in a real bash and a real zsh, each on a terminal of its own."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest

from tests.support.skips import needs, probe

if TYPE_CHECKING:
    from collections.abc import Iterator

PROMPT = "ready> "
START = {
    "bash": ["--norc", "--noprofile", "-i"],
    "zsh": ["-f", "-i"],  # without start-up files
}
BEFORE = {
    "bash": f"PS1='{PROMPT}'; bind 'set enable-bracketed-paste off'",
    "zsh": f"PS1='{PROMPT}'; unset zle_bracketed_paste; autoload -U compinit; compinit -u -D",
}


@probe
def zsh_is_there() -> str | None:
    """Debian's zsh is optional; bash is not."""
    return None if shutil.which("zsh") else "zsh is not installed: apt-get install zsh"


@pytest.fixture(
    scope="module", params=["bash", pytest.param("zsh", marks=needs(zsh_is_there))]
)  # fmt: skip
def shell(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pexpect.spawn]:
    """A shell in which the two lines of `nsmagic completion --help` were typed."""
    name = request.param
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    child = pexpect.spawn(
        name, START[name], encoding="utf-8", timeout=30, dimensions=(40, 200),
        cwd=str(tmp_path_factory.mktemp("shell")), env={**os.environ, "PATH": path, "TERM": "dumb"},
    )  # fmt: skip
    child.sendline(BEFORE[name])
    child.sendline(f'eval "$(nsmagic completion {name})"; echo "on"e')
    child.expect("\none")
    yield child
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.close()


def completed(shell: pexpect.spawn, typed: str) -> str:
    """What the line is after Tab: the shell itself says it, when it is made an echo."""
    shell.send(f"{typed}\t")  # what follows waits in the terminal until Tab has been answered
    shell.send("\x01echo 'LINE=\x05'\n")
    shell.expect("\nLINE=([^\r\n]*)")
    assert shell.match is not None
    return str(shell.match[1])


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("nsmagic doc", "nsmagic doctor"),
        ("nsmagic lab --no-b", "nsmagic lab --no-browser"),
        ("nsmagic kernel iso", "nsmagic kernel isolate"),
        ("nsmagic kernel isolate pyth", "nsmagic kernel isolate python3"),
        ("nsmagic kernel isolate python3 --prof", "nsmagic kernel isolate python3 --profile"),
        ("nsmagic unshare --mount-p", "nsmagic unshare --mount-proc"),
        ("nsmagic unshare --propagation=sl", "nsmagic unshare --propagation=slave"),
        ("nsmagic cgroup mem=64M memh", "nsmagic cgroup mem=64M memhigh="),
        ("nsmagic completion z", "nsmagic completion zsh"),
        ("nsmagic nosuch", "nsmagic nosuch"),
    ],
)
def test_tab_completes(shell: pexpect.spawn, typed: str, line: str) -> None:
    found = completed(shell, typed)
    # A space follows a whole word, which zsh takes back when one goes on; never a key's "=".
    assert (found if line.endswith("=") else found.removesuffix(" ")) == line


def test_tab_lists_what_there_is(shell: pexpect.spawn) -> None:
    shell.send("nsmagic kernel \t\t")
    for word in ("install", "isolate", "remove"):
        shell.expect(word)
    shell.send("\x15\n")  # away with the line
