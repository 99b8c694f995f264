"""Starts the programs of this folder, several at once, and collects what they tell."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from tests.support.user import PROJECT
from tests.torture.kills import BAD

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.torture.places import Place


def options(place: Place, seed: str) -> list[str]:
    """What names a place and a seed on the command line of such a program."""
    words = ["--place", place.name, "--home", str(place.home), "--seed", seed]
    return words + (["--uid", str(place.account.uid)] if place.account else [])


def run(module: str, command_lines: Iterable[Sequence[str]], *, seconds: float) -> list[Any]:
    """Run a module with each of the command lines at once; return the lines of JSON of all.

    AssertionError, with what they said, if one fails otherwise than by telling what is bad.
    """
    told: list[Any] = []
    with ExitStack() as stack:
        started = []
        for words in command_lines:
            out, err = (stack.enter_context(tempfile.TemporaryFile("w+")) for _ in "oe")
            argv = [sys.executable, "-W", "ignore", "-m", f"tests.torture.{module}", *words]
            process = subprocess.Popen(argv, cwd=PROJECT, stdout=out, stderr=err)
            stack.callback(_end, process)
            started.append((process, out, err))
        bad = []
        for process, out, err in started:
            process.wait(seconds)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read())
            lines = texts[0].splitlines()
            told += [json.loads(line) for line in lines]
            if process.returncode not in (0, BAD):
                bad.append(
                    f"{process.args!r} exited with {process.returncode}:\n{texts[1][-5000:]}"
                )
    assert not bad, "\n".join(bad)
    return told


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
