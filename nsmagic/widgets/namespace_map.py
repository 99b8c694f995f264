"""The namespace map as a widget: groups of processes against namespaces, following what happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import traitlets

from nsmagic.linux.namespaces import TYPES
from nsmagic.widgets.assets import script, style
from nsmagic.widgets.colours import PALETTE
from nsmagic.widgets.live import LiveWidget
from nsmagic.widgets.map_facts import MOST_GONE, Picture, Space, difference
from nsmagic.widgets.map_still import svg
from nsmagic.wish.namespaces import BY_NAME


def _now(_: object, widget: NamespaceMap) -> dict[str, Any]:
    return widget.shown


class NamespaceMap(LiveWidget):
    """Who is in which namespace; `push` a new Picture and the views follow.

    `base` is the picture that new and gone are told from, `words` turns a picture into the text of
    a terminal.
    """

    _esm = traitlets.Unicode(
        script("common.js", "map_rows.js", "map_picture.js", "map_details.js", "namespace_map.js")
    ).tag(sync=True)
    _css = traitlets.Unicode(style("common.css", "namespace_map.css")).tag(sync=True)
    # Made when a view asks, so that a late one or a reloaded page sees what is now.
    facts = traitlets.Any(None).tag(sync=True, to_json=_now)
    types = traitlets.List(list(TYPES)).tag(sync=True)
    about = traitlets.Dict({name: BY_NAME[name].isolates for name in TYPES}).tag(sync=True)
    palette = traitlets.Dict(PALETTE).tag(sync=True)

    def __init__(
        self, picture: Picture, *, base: Picture | None, words: Callable[[Picture], str]
    ) -> None:
        self.picture = picture
        self.base = base or picture
        self._words = words
        self._gone: dict[str, Space] = self._vanished({}, self.base, picture)
        self.shown = picture.facts(self.base, self._gone.values())
        super().__init__()

    @staticmethod
    def _vanished(known: Mapping[str, Space], old: Picture, new: Picture) -> dict[str, Space]:
        now = {(each.type, each.ino, each.serial) for each in new.spaces.values()}
        gone = {**known} | {
            key: each
            for key, each in old.spaces.items()
            if (each.type, each.ino, each.serial) not in now
        }
        return dict(list(gone.items())[-MOST_GONE:])

    def push(self, picture: Picture) -> None:
        """Show `picture`: what changed travels to the views, nothing if nothing did."""
        with self._lock:
            self._gone = self._vanished(self._gone, self.picture, picture)
            self._show(picture)

    def _show(self, picture: Picture) -> None:
        facts = picture.facts(self.base, self._gone.values())
        change = difference(self.shown, facts)
        self.picture, self.shown = picture, facts
        if change:
            self.tell({"change": change})

    def asked(self, what: str, _content: Mapping[str, Any]) -> None:
        """Take what is shown now as seen."""
        if what == "seen":
            with self._lock:
                self.base = self.picture
                self._gone.clear()
                self._show(self.picture)

    def line(self) -> str:
        """Return what it is."""
        return f"namespace map: {len(self.picture.spaces)} namespaces"

    def text(self) -> str:
        """Return the map as a table of characters."""
        return self._words(self.picture)

    def still(self) -> dict[str, str]:
        """Return the map as an SVG picture."""
        picture = svg(self.picture, self.base)
        return {"image/svg+xml": picture, "text/html": picture}
