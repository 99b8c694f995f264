"""What of a wish is the box's, and what is its first cell's: pure."""

from __future__ import annotations

import posixpath
from dataclasses import replace

from nsmagic.wish.isolation import Enter, Isolation

# Who a process is and what it has in its environment: of the cell, as of every later one.
_CELLS = ("setuid", "setgid", "userspec", "groups", "clear_env", "whitelist_env")


def box_part(wish: Isolation) -> Isolation:
    """Return the wish without what is the cell's."""
    return replace(wish, keep_caps=False, **{name: getattr(Isolation(), name) for name in _CELLS})


def cell_part(wish: Isolation, name: str, wd: str) -> Isolation:
    """Return the wish of the cell that made the box `name`: to enter it, and what is the cell's.

    `wd` is the notebook's directory, from which a --wd counts where the box has no --root.
    """
    wdns = None if wish.wd is None else posixpath.join("/" if wish.root else wd, wish.wd)
    enter = Enter(target=name, wdns=wdns, keep_caps=wish.keep_caps)
    return Isolation(enter=enter, **{name: getattr(wish, name) for name in _CELLS})
