"""What `%load_ext nsmagic` costs on top of a running IPython, in fresh kernels."""

from __future__ import annotations

import os
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from jupyter_client.manager import start_new_kernel

from benchmarks.support.kernel import Kernel
from benchmarks.support.report import Figure, publish

BAR = 80.0


def once() -> float:
    """Return the milliseconds of loading, less those of loading an extension that does nothing."""
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        running = Kernel(client)
        running.seconds("import sys, types; m = sys.modules['empty_ext'] = types.ModuleType('m')")
        running.seconds("m.load_ipython_extension = lambda shell: None")
        nothing = running.seconds("%load_ext empty_ext")
        return (running.seconds("%load_ext nsmagic") - nothing) * 1e3
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled
    once()
    taken = [once() for _ in range(7)]
    median = statistics.median(taken)
    figure = Figure(
        name="%load_ext nsmagic", median=median, least=min(taken), ratio=median, bar=BAR
    )
    publish("load", "extension load, milliseconds on top of IPython (ratio = the same)", [figure])
