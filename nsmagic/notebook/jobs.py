"""Background cells: `%%unshare --bg`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from nsmagic.notebook.failures import Interrupted, one_message
from nsmagic.run.result import Result
from nsmagic.run.sandbox import Sandbox
from nsmagic.wish.errors import CellFailed


class Job:
    """A cell beside the notebook.  `result` is None until it ended, `log` is its log file."""

    def __init__(
        self, name: str, sandbox: Sandbox, log: Path | None,
        pump: Callable[[], Result], assign: Callable[[Result], None],
    ) -> None:  # fmt: skip
        self.name = name
        self.log = log
        self.result: Result | None = None
        self._sandbox, self._pump, self._assign = sandbox, pump, assign
        self._error: Exception | None = None
        # Before Python 3.13 an interrupt in Thread.join() makes is_alive() lie ever after.
        self._ended = threading.Event()
        threading.Thread(target=self._run, name=f"nsmagic-{name}", daemon=True).start()

    @property
    def pid(self) -> int:
        """The PID of the cell's main process as the notebook sees it; 0 before and after."""
        return self._sandbox.pid

    @property
    def ended(self) -> bool:
        """Whether there is nothing of it to wait for."""
        return self._ended.is_set()

    def wait(self, timeout: float | None = None) -> Result | None:
        """Wait for the end, `timeout` seconds at most; raise what the cell raised.

        Returns the result, or None if the cell still runs.  The variables of `--return`, `--out`
        and `--err` are assigned here, so that they never change under a running cell.
        """
        if not self._ended.wait(timeout):
            return None
        with one_message():
            if self._error is not None:
                raise self._error
            assert self.result is not None
            try:
                self._assign(self.result)
            except Interrupted:  # nobody pressed the stop button
                raise CellFailed(f"{self.name} was ended by kill()", self.result) from None
        return self.result

    def kill(self) -> None:
        """Kill the whole tree of the cell and wait for its end."""
        self._sandbox.interrupt()
        self._sandbox.interrupt()
        self._ended.wait()

    def __repr__(self) -> str:
        log = f", log {self.log}" if self.log else ""
        return f"<job {self.name}: {self._state}{log}>"

    @property
    def _state(self) -> str:
        if not self.ended:
            return "running"
        if self.result is not None and self.result.stopped == "interrupted":
            return "killed"
        return "done" if self.result is not None and self.result.ok else "failed"

    def _run(self) -> None:
        try:
            self.result = self._pump()
        except Exception as error:  # noqa: BLE001 - wait() raises it, in the thread that asks
            self._error = error
        finally:
            self._ended.set()
