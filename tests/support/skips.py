"""When a test may be skipped.  With NSMAGIC_MUST_WORK=1 every other skip is a failure."""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

MUST_WORK = os.environ.get("NSMAGIC_MUST_WORK") == "1"
NEEDS_ROOT = "needs root"
NEEDS_USER = "is about an ordinary user"

# Reasons that are fine even then, each with why.
ALLOWED: dict[str, str] = {
    NEEDS_ROOT: "the suite also runs as root",
    NEEDS_USER: "the suite also runs as an ordinary user",
    r"Python 3\.\d+ is not installed": "`make test-all` says so too; one Python is enough",
    r"(?:.* )?came with Python 3\.\d+": "`make test-all` runs that Python too",
    r"no cgroup can be made here": "no delegated group; the guests have one",
    r"no cgroup v1 here": "the guests and most machines have pure v2",
    r"no cgroup v2 controllers here": "hybrid machines keep them on v1; the guest has them",
    r"systemd and dbus-daemon are not installed": "without a user manager nobody can ask it",
    r"(?:unshare|nsenter) here has no --": "an option newer than the util-linux of this machine",
    r"memory\.high, which slows down": "hybrid machines have memory on v1; the guest has it",
    r"no cgroup.pressure here": "Linux 6.1 with PSI has it; the guest of User Mode Linux has none",
    r"not x86-64 or aarch64": "the filter's table has these two",
}


def allowed(reason: str) -> bool:
    """Is a skip for this reason acceptable when everything must work?"""
    reason = reason.removeprefix("Skipped: ")
    return any(re.match(pattern, reason) for pattern in ALLOWED)


def probe(try_it: Callable[[], str | None]) -> Callable[[], str]:
    """Make a probe of a function that tries the real thing once: empty, or why it is impossible.

    OSError counts as an answer; anything else is a bug in the probe.
    """

    @functools.cache
    def answer() -> str:
        try:
            return try_it() or ""
        except OSError as error:
            return f"{try_it.__name__.replace('_', ' ')}: {error}"

    return answer


def needs(*probes: Callable[[], str]) -> pytest.MarkDecorator:
    """Skip a test with the first probe's reason; asked when the test runs, not when collected."""
    return pytest.mark.needs.with_args(*probes)


root_only = needs(lambda: "" if os.geteuid() == 0 else NEEDS_ROOT)
user_only = needs(lambda: "" if os.geteuid() else NEEDS_USER)
