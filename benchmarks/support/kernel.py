"""A real kernel, timed from the request to its idle message."""

from __future__ import annotations

import re
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Kernel:
    """Runs cells; `seconds` is the wall time from sending a cell to the kernel being idle again."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client
        self.messages: list[dict[str, Any]] = []

    def seconds(self, cell: str, *, timeout: float = 120) -> float:
        """Run `cell` and return how long it took; RuntimeError, in one line, if it failed."""
        self.messages = []
        start = time.perf_counter()
        reply = self._client.execute_interactive(
            cell, timeout=timeout, allow_stdin=False, output_hook=self.messages.append
        )
        taken = time.perf_counter() - start
        content = reply["content"]
        if content["status"] != "ok":
            why = f"{content.get('ename', '')}: {content.get('evalue', content['status'])}"
            raise RuntimeError(f"{cell.splitlines()[0]!r} failed: {_COLOURS.sub('', why)}")
        return taken

    def task(self, cell: str, *, after: str = "") -> partial[float]:
        """Return what runs `cell` twice and times the second run; the cell `after` follows each.

        Twice, so that none pays for the one before it: after a fork the kernel takes a page fault
        for every page that it writes to.
        """
        return partial(self._twice, cell, after)

    def _twice(self, cell: str, after: str) -> float:
        taken = 0.0
        for _ in range(2):
            taken = self.seconds(cell)
            if after:
                self.seconds(after)
        return taken

    def text(self, cell: str, *, timeout: float = 120) -> str:
        """Run `cell` and return what it wrote to stdout."""
        self.seconds(cell, timeout=timeout)
        return self.stdout

    @property
    def stdout(self) -> str:
        """What the last cell wrote to stdout, as far as it reached the client."""
        return "".join(
            message["content"]["text"]
            for message in self.messages
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout"
        )


@contextmanager
def kernel(extension: str = "nsmagic", *, imports: str = "matplotlib.pyplot") -> Generator[Kernel]:
    """Start a kernel with the extension loaded and what cells need imported; end it afterwards."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(Path.cwd()))
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        running = Kernel(client)
        if extension:
            running.seconds(f"%load_ext {extension}")
        running.seconds(f"import os, subprocess, sys, time\nimport {imports}")
        yield running
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
