"""Text that no one types on purpose, and how often each property is tried with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

T = TypeVar("T")

# Of the 100,000 inputs of `make fuzz` each test has its share, in `make test` a fiftieth of it.
_SMALL: Final = 50
_FACTOR: Final = float(os.environ.get("NSMAGIC_FUZZ", "1"))

NASTY: Final = (
    "", " ", "\t", "\0", "a\0b", "\n", "\r\n", "\x0b", "\x1b[31mred", "\x85", "\u2028",
    "\u202eevil", "\ud800", "\udcff", "\U0010ffff", "é", "日本", "٣", "²", "\u200b", "-", "--",
    "---", "-=", "=",
    "--=", "==", ",", ",,", ":", "::", ":0:", "0:0:0", "0:0:4294967295", "4294967295:0:1", "1,1,1",
    "+", "+0:+0", ":root", "root:", ".", "..", "../..", "/", "//", "~", "~root", "/proc/self/fd/0",
    "/dev/fd/63", "/proc/self/root", "/dev/null/x", "0", "-0", "-1", "+1", "00", "0x10", "1e3",
    "1_000", "nan", "inf", "-inf", "1.5", ".5", "5.", "65535", "65536", "4294967294", "4294967296",
    "9223372036854775807", "9223372036854775808", "-9223372036854775809", "1e309", "9" * 30,
    "9" * 400, "9" * 5000, "0x" + "f" * 5000, "x" * 255, "x" * 5000, "a/" * 2500, "max", "follow",
    "host", "self", "None", "True", "class", "__import__", "{}", "{x}", "{0.__class__}", "%s", "%n",
    "%", "%%", "$HOME", "$(id)", "`id`", ";", "&", "|", ">x", "#", "# no", "!ls", "?", "*",
    "[", "\\", "'", '"', "'\"", "\\'", "–pid", "—", "−1", "%unshare", "%%unshare", "%cgroup",
)  # fmt: skip

text: Final = st.one_of(
    st.sampled_from(NASTY),
    st.text(alphabet="abz-=,:./+0159 _%'\"\\#$", max_size=12),
    st.text(max_size=8),
    st.text(st.characters(categories=("Cs", "Cc", "Cf", "Zl", "Zp")), max_size=4),
    st.integers(-(2**66), 2**66).map(str),
)


def sizes(share: int) -> pytest.MarkDecorator:
    """Run a test with `share` inputs as a slow one, and with a fiftieth of it in `make test`."""
    return pytest.mark.parametrize(
        "count",
        [
            pytest.param(max(10, share // _SMALL), id="some"),
            pytest.param(
                int(share * _FACTOR), id="all", marks=[pytest.mark.slow, pytest.mark.timeout(3000)]
            ),
        ],
    )


def hold(
    count: int, inputs: st.SearchStrategy[T], check: Callable[[T], object], *, shrink: bool = True
) -> None:
    """Check `count` inputs; a failure is shown with the smallest input that fails.

    Not with `shrink=False`: where an input changes what the next one meets.
    """
    phases = set(Phase) if shrink else {Phase.generate}

    @settings(
        max_examples=count, deadline=None, print_blob=True,
        suppress_health_check=list(HealthCheck), phases=phases,
    )  # fmt: skip
    @given(inputs)
    def run(value: T) -> None:
        check(value)

    run()
