"""What all our widgets have in common: messages both ways, who is looking, and a still picture."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import anywidget
import traitlets
from IPython.core.getipython import get_ipython

from nsmagic.widgets import whilebusy
from nsmagic.wish.errors import NsmagicError

VIEW: Final = "application/vnd.jupyter.widget-view+json"
# A view says every 10 s that it is there (static/common.js); a hidden tab says nothing.
FORGOTTEN: Final = 35.0  # s
# Where the kernel hears views only between cells, silence says little.
FORGOTTEN_IF_DEAF: Final = 900.0  # s


class LiveWidget(anywidget.AnyWidget):
    """A widget that is fed from a thread and answers while a cell runs.

    Subclasses set `_esm` and `_css`, and give `line()`, `text()` and `still()`.  The still is an
    output of its own below the widget, because whoever shows the one hides the other: a front end
    without the widget, GitHub and print show the still, and each view hides it by its class.
    """

    still_id = traitlets.Unicode().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._display_id = uuid.uuid4().hex
        super().__init__(still_id=self._display_id, **traits)
        self._kernel = getattr(get_ipython(), "kernel", None)
        self._parents: list[Any] = []
        self._lock = threading.RLock()
        self._heard = time.monotonic()
        self._met = False
        self._awake: Callable[[], None] = lambda: None
        self.while_busy = self.comm is not None and whilebusy.route(self.comm, self._kernel)
        self.on_msg(self._on_message)

    def line(self) -> str:
        """Return what it is, in one line."""
        raise NotImplementedError

    def text(self) -> str:
        """Return what a terminal shows."""
        raise NotImplementedError

    def still(self) -> Mapping[str, str]:
        """Return the picture as MIME types; nothing while there is nothing to draw."""
        raise NotImplementedError

    def asked(self, what: str, content: Mapping[str, Any]) -> None:
        """Do what a person asked for in the view; an NsmagicError or OSError is shown there."""

    def on_wake(self, awake: Callable[[], None]) -> None:
        """Call `awake` when somebody looks again."""
        self._awake = awake

    @property
    def unheard(self) -> bool:
        """Whether it was shown and no view has ever said that it is there."""
        return bool(self._parents) and not self._met

    @property
    def living(self) -> bool:
        """Whether the widget still has a model in the front end."""
        return self.comm is not None

    @property
    def watched(self) -> bool:
        """Whether somebody looks at it, as far as we can know."""
        limit = FORGOTTEN if self.while_busy else FORGOTTEN_IF_DEAF
        return self.living and time.monotonic() - self._heard < limit

    def _on_message(self, _widget: object, content: object, _buffers: object) -> None:
        if not isinstance(content, dict):
            return
        what = content.get("ask")
        was_watched, self._heard, self._met = self.watched, time.monotonic(), True
        if not was_watched:
            self._awake()
        if what == "here" or not isinstance(what, str):
            return
        answer = {"done": content.get("id")}
        try:
            self.asked(what, content)
        except (NsmagicError, OSError, ValueError) as error:
            hint = getattr(error, "hint", "")
            answer["why"] = f"{error}\n{hint}".strip()
        self.tell(answer)

    def tell(self, content: Mapping[str, Any], buffers: list[bytes] | None = None) -> None:
        """Send a small message to all views, from any thread."""
        if self.living:
            self.send(dict(content), buffers)

    def bundle(self) -> dict[str, Any]:
        """Return the widget and one line of text, of which a front end takes what it can show."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {"text/plain": self.line(), VIEW: view}

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.bundle(), {}

    def _ipython_display_(self) -> None:
        """Show it, and below it its picture of now, to which `leave_still` comes back."""
        shell = get_ipython()
        if shell is None:
            return
        if self._kernel is not None:
            self._parents.append(self._kernel.get_parent("shell"))
        shell.display_pub.publish(data=self.bundle())
        shell.display_pub.publish(data=self._picture(), transient=self._transient)

    @property
    def _transient(self) -> dict[str, str]:
        return {"display_id": self._display_id}

    def _picture(self) -> dict[str, str]:
        found = dict(self.still())
        shown = found.pop("text/html", "")
        if not shown:
            return {"text/plain": ""}
        tag = f'<div class="nsm-still-{self._display_id}">{shown}</div>'
        return {"text/plain": self.text(), "text/html": tag, **found}

    def leave_still(self) -> None:
        """Put the picture of now below where the widget was shown: it stays when it is saved."""
        if self._kernel is None:
            return
        content = {"data": self._picture(), "metadata": {}, "transient": self._transient}
        for parent in self._parents[-1:]:  # one message updates every place that shows it
            self._kernel.session.send(
                self._kernel.iopub_socket, "update_display_data", content, parent=parent,
                ident=f"kernel.{self._kernel.ident}.update_display_data".encode(),
            )  # fmt: skip
