"""A real kernel, timed from the request to its idle message."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager


class Kernel:
    """Runs cells; `seconds` is the wall time from sending a cell to the kernel being idle again."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client
        self.messages: list[dict[str, Any]] = []

    def seconds(self, cell: str, *, timeout: float = 120) -> float:
        """Run `cell` and return how long it took; RuntimeError if it failed."""
        self.messages = []
        start = time.perf_counter()
        reply = self._client.execute_interactive(
            cell, timeout=timeout, allow_stdin=False, output_hook=self.messages.append
        )
        taken = time.perf_counter() - start
        if reply["content"]["status"] != "ok":
            raise RuntimeError(f"{cell!r} failed: {reply['content']}")
        return taken

    def text(self, cell: str) -> str:
        """Run `cell` and return what it wrote to stdout."""
        self.seconds(cell)
        return "".join(
            message["content"]["text"]
            for message in self.messages
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout"
        )


@contextmanager
def kernel() -> Generator[Kernel]:
    """Start a kernel with nsmagic loaded and what the cells need imported; end it afterwards."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(Path.cwd()))
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        running = Kernel(client)
        running.seconds("%load_ext nsmagic\nimport os, subprocess, sys\nimport matplotlib.pyplot")
        yield running
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
