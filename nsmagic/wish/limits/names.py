"""How group directories are called: `nsmagic-<kernel>-<box or cell>`, and nothing that escapes."""

from __future__ import annotations

import re
from typing import Final

from nsmagic.wish.errors import WishError

PREFIX: Final = "nsmagic-"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def group_name(kernel: int, name: str) -> str:
    """Return the name of a directory; WishError for what could name anything but a new directory.

    `kernel` is the PID of the notebook's kernel, `name` a box or `cell-N`.
    """
    if _NAME.fullmatch(name) is None:
        raise WishError(
            f"{name!r} cannot name a group: a letter or digit, and then up to 63 letters, digits, "
            "'_', '.' or '-'"
        )
    return f"{PREFIX}{kernel}-{name}"
