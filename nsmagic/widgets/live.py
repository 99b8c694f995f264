"""What all our widgets have in common: messages both ways, who is looking, and a still picture."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import anywidget
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

    Subclasses set `_esm` and `_css`, and give `text()` and `still()`.
    """

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._display_id = uuid.uuid4().hex
        self._kernel = getattr(get_ipython(), "kernel", None)
        self._parents: list[Any] = []
        self._lock = threading.RLock()
        self._heard = time.monotonic()
        self._awake: Callable[[], None] = lambda: None
        self.while_busy = self.comm is not None and whilebusy.route(self.comm, self._kernel)
        self.on_msg(self._on_message)

    def text(self) -> str:
        """Return what a terminal shows."""
        raise NotImplementedError

    def still(self) -> Mapping[str, str]:
        """Return the picture as a MIME bundle, for where no widget can be shown."""
        raise NotImplementedError

    def asked(self, what: str, content: Mapping[str, Any]) -> None:
        """Do what a person asked for in the view; an NsmagicError or OSError is shown there."""

    def on_wake(self, awake: Callable[[], None]) -> None:
        """Call `awake` when somebody looks again."""
        self._awake = awake

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
        was_watched, self._heard = self.watched, time.monotonic()
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
        """Return the widget, its picture and its text, of which a front end takes the best."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {"text/plain": self.text(), **self.still(), VIEW: view}

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.bundle(), {}

    def _ipython_display_(self) -> None:
        """Show it under an identifier of its own, so that `leave_still` can come back to it."""
        shell = get_ipython()
        if shell is None:
            return
        if self._kernel is not None:
            self._parents.append(self._kernel.get_parent("shell"))
        transient = {"display_id": self._display_id}
        shell.display_pub.publish(data=self.bundle(), transient=transient)

    def leave_still(self) -> None:
        """Put the picture of now where the widget was shown: it stays in the saved notebook."""
        if self._kernel is None:
            return
        data = self.bundle()
        content = {"data": data, "metadata": {}, "transient": {"display_id": self._display_id}}
        for parent in self._parents[-1:]:  # one message updates every place that shows it
            self._kernel.session.send(
                self._kernel.iopub_socket, "update_display_data", content, parent=parent,
                ident=f"kernel.{self._kernel.ident}.update_display_data".encode(),
            )  # fmt: skip
