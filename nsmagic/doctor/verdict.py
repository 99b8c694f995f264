"""What came out of one check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

State = Literal["works", "refused", "untried"]
# `root`: without a user namespace.  `rootless`: in one of one's own, as an ordinary user.
# `plain`: in no namespace at all.
Way = Literal["root", "rootless", "plain"]
WAYS: Final[dict[Way, str]] = {"root": "as root", "rootless": "rootless", "plain": ""}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`refused` has the `errno`'s name, what failed (`call`), `why` here and the `fix` to type.

    `untried` has `why`; `works` may have a `detail`.
    """

    name: str
    group: str
    way: Way
    tries: str
    state: State
    errno: str = ""
    call: str = ""
    why: str = ""
    fix: str = ""
    detail: str = ""
    milliseconds: float = 0.0
