"""How answers are got from Linux: a small program in a child, and nothing that stays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from nsmagic.linux import rights

_WITHIN: Final = 10.0  # s


def run(argv: Sequence[str]) -> str:
    """Run a program and return what it prints; OSError with what it complains about."""
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=_WITHIN,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        raise OSError(done.stderr.strip() or f"{argv[0]} exited with {done.returncode}")
    return done.stdout.strip()


def python(code: str) -> str:
    """Run Python code in a fresh interpreter, which has one thread, and return what it prints."""
    return run([sys.executable, "-I", "-S", "-c", code])


def unshare(*words: str) -> str:
    """Run unshare(1); an ordinary user gets a user namespace with it, as nsmagic does."""
    root = bool(rights.effective_capabilities() >> rights.CAP_SYS_ADMIN & 1)
    mapped = () if root else ("--user", "--map-root-user")
    return run(["unshare", *mapped, *words])
