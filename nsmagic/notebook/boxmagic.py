"""`%box`: the boxes of this notebook."""

from __future__ import annotations

import codecs
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

from nsmagic.linux.ids import SystemNames
from nsmagic.notebook.failures import one_message
from nsmagic.wish.box import BoxWish, box_help, read_box
from nsmagic.wish.errors import WishError

if TYPE_CHECKING:
    from nsmagic.notebook.boxviews import BoxList, BoxView
    from nsmagic.widgets.terminal import Terminal

_LOOK_SECONDS: Final = 0.1
_PIECE: Final = 1 << 16


@magics_class
class BoxMagics(Magics):
    """`%box`."""

    @no_var_expand
    @line_magic
    def box(self, line: str) -> BoxList | BoxView | Terminal | None:
        """List the boxes of this notebook, look into one, open a terminal in it, remove them."""
        with one_message():
            wish = read_box(line, SystemNames())
            if wish.help:
                sys.stdout.write(box_help())
                return None
            if wish.verb == "term":
                return self._terminal(wish.names[0])
            return _obey(wish)

    def _terminal(self, name: str) -> Terminal:
        if getattr(self.shell, "kernel", None) is None:
            raise WishError(
                "%box term needs a notebook to show the terminal in",
                hint=f"Here: %nsenter -t {name} --tty sh",
            )
        from nsmagic.notebook.boxterm import open_terminal

        return open_terminal(name)


def _obey(wish: BoxWish) -> BoxList | BoxView | None:
    # Imported now: loading nsmagic does not wait for what one may never ask for.
    from nsmagic.notebook.boxviews import BoxList, BoxView
    from nsmagic.run.boxes import boxes

    known = boxes()
    if wish.verb == "show":
        return BoxView.of(known.find(wish.names[0]))
    if wish.verb == "logs":
        _show_log(known.find(wish.names[0]).log, follow=wish.follow)
        return None
    if wish.verb == "rm":
        names = list(known.living()) if wish.all else list(dict.fromkeys(wish.names))
        for name in names:
            known.find(name)  # all are there, or nothing is touched
        for name in names:
            known.remove(name)
    return BoxList(tuple(known.living().values()))


def _show_log(log: Path | None, *, follow: bool) -> None:
    """Print a log; with `follow` go on until the stop button, which then is no error."""
    if log is None and not follow:
        sys.stdout.write("(nothing was written after its cells had ended)\n")
    if log is None:
        return
    text = codecs.getincrementaldecoder("utf-8")(errors="replace")  # a piece may part a character
    with log.open("rb") as file:
        try:
            while (piece := file.read(_PIECE)) or follow:
                sys.stdout.write(text.decode(piece))
                sys.stdout.flush()
                if not piece:
                    time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            return


BoxMagics.box.__doc__ = f"{BoxMagics.box.__doc__}\n\n{box_help()}"
