"""How fast output arrives: MB/s of `yes | head -c 20M`, beside IPython's %%bash and !.

It counts only if the log holds every byte (by hash), and head, tail and count reached the client.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.support.kernel import Kernel, kernel
from benchmarks.support.report import Figure, publish

MEGABYTES = 20
EXPECTED = hashlib.sha256(b"y\n" * (MEGABYTES << 19)).hexdigest()


def ours(running: Kernel) -> float:
    """Return MB/s of the isolated cell; RuntimeError if a byte is missing."""
    seconds = running.seconds(f"%%unshare -Ur --uts bash\nyes | head -c {MEGABYTES}M")
    shown = "".join(str(message["content"]) for message in running.messages)
    named = re.search(r"/[^ '\"<>]*\.log", shown)
    streamed = "".join(m["content"]["text"] for m in running.messages if m["msg_type"] == "stream")
    if named is None or "MB" not in shown or not streamed.startswith("y\ny\n"):
        raise RuntimeError("head, count or log did not reach the client")
    if hashlib.sha256(Path(named[0]).read_bytes()).hexdigest() != EXPECTED:
        raise RuntimeError("the log does not hold every byte")
    return MEGABYTES / seconds


def bash(running: Kernel) -> float:
    """Return MB/s of IPython's own %%bash, measured on 1 MB: it is that slow."""
    return 1 / running.seconds("%%bash\nyes | head -c 1M", timeout=600)


def main() -> None:
    """Measure in turn, three times each."""
    with tempfile.TemporaryDirectory(prefix="nsmagic-bench-") as state:
        os.environ["NSMAGIC_STATE_DIR"] = state
        with kernel() as running:
            pairs = [(ours(running), bash(running)) for _ in range(3)]
    ratio = sorted(a / b for a, b in pairs)[1]
    figures = [
        Figure(name="isolated program cell", unit="MB/s", median=sorted(p[0] for p in pairs)[1],
               least=min(p[0] for p in pairs), ratio=ratio, bar=300, at_least=True),
        Figure(name="%%bash", unit="MB/s", median=sorted(p[1] for p in pairs)[1],
               least=min(p[1] for p in pairs), ratio=1),
    ]  # fmt: skip
    publish("streams", f"stream throughput, yes | head -c {MEGABYTES}M", figures)


if __name__ == "__main__":
    main()
