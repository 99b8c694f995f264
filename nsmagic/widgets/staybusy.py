"""Keeps the kernel's status right while a cell runs and clicks are answered beside it.

ipykernel says "idle" after each message that a subshell has handled.  JupyterLab and Notebook show
the status that was said last, and a server that ends idle kernels goes by it too, although the
cell still runs: https://github.com/jupyterlab/jupyterlab/issues/10701.
"""

from __future__ import annotations

import threading
from typing import Any


class StayBusy:
    """Says "busy" again after anybody but the main shell said "idle" while that runs something.

    Private names of ipykernel 7.
    """

    def __init__(self, kernel: Any) -> None:  # noqa: ANN401 - no annotations
        self._kernel = kernel
        self._main = kernel.shell_channel_thread.parent_thread
        self._lock = threading.Lock()
        self._running = False

    @staticmethod
    def possible(kernel: Any) -> bool:  # noqa: ANN401
        """Whether this ipykernel has what is needed."""
        names = ("_publish_status", "_topic", "_main_asyncio_lock", "session", "iopub_socket")
        return all(hasattr(kernel, name) for name in names)

    def begin(self) -> None:
        """Hear each status from now on; a cell may be running."""
        self._running = self._kernel._main_asyncio_lock.locked()
        self._kernel._publish_status = self._publish

    def end(self) -> None:
        """Leave the status to ipykernel again."""
        vars(self._kernel).pop("_publish_status", None)

    def _publish(self, status: str, channel: str, parent: Any = None) -> None:  # noqa: ANN401
        # Under the lock, so that the main shell's "idle" is never followed by our "busy".
        with self._lock:
            type(self._kernel)._publish_status(self._kernel, status, channel, parent)
            if threading.current_thread() is self._main:
                self._running = status == "busy"
            elif status == "idle" and self._running:
                self._say_busy()

    def _say_busy(self) -> None:
        """Say it without a parent: when the running request began has been said."""
        self._kernel.session.send(
            self._kernel.iopub_socket, "status", {"execution_state": "busy"}, parent={},
            ident=self._kernel._topic("status"),
        )  # fmt: skip
