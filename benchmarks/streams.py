"""How fast output arrives, beside IPython's `%%bash` and `!` and ipyparallel's `%%px`.

A flood: ours shows the first megabyte and the last lines and keeps every byte in a log, which is
compared by its hash; the others send everything to the front end.  And lines that all show whole:
of ours the client must have every one.  Of the others half: many small messages are more than a
busy client takes, and ZeroMQ drops what is beyond its high-water mark.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.support.kernel import Kernel, kernel
from benchmarks.support.report import Figure, Table, interleaved

UNSHARE = "%%unshare -Ur --uts"
BASH, BANG, PX = "%%bash", "!command", "%%px, one local engine"
PROGRAM, PYTHON, PLAIN = "program cell", "Python cell", "the same in a plain cell"
# A controller and one engine of ipyparallel's own, for this kernel alone.
ENGINE = """
import ipyparallel
cluster = ipyparallel.Cluster(n=1, log_level=40)
engines = cluster.start_and_connect_sync()[:]
engines.block = True
engines.activate()
"""
END_ENGINE = "cluster.stop_cluster_sync(); engines.client.close()"
ENOUGH = 0.5  # of what the others write
LINE = "x" * 79  # and a newline
PRINT = f"for _ in range({{count}}):\n    print('{LINE}')"
YES = f"yes {LINE} | head -n {{count}}"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A cell that writes `size` MB or thousand lines, what it is compared with, and a check."""

    cell: str
    size: float
    check: Callable[[Kernel], None]
    anchor: str = ""
    bar: float | None = None

    def seconds(self, running: Kernel) -> float:
        """Run it; return the seconds for each MB or thousand lines."""
        taken = running.seconds(self.cell, timeout=200)
        self.check(running)
        return taken / self.size


def measure(*, quick: bool) -> Iterator[Table]:
    """Run all in one kernel, in turn."""
    with kernel() as running:
        missing = _start_engine(running)
        try:
            rounds = 1 if quick else 7
            yield _table(
                running, _floods(3 if quick else 20), missing, rounds=rounds, name="streams",
                title="A flood of output", unit="MB/s",
            )  # fmt: skip
            yield _table(
                running, _lines(500 if quick else 12_000), missing, rounds=rounds, name="lines",
                title="Lines that are all shown", unit="thousand lines/s",
            )  # fmt: skip
        finally:
            if not missing:
                running.seconds(END_ENGINE)


def _start_engine(running: Kernel) -> str:
    """Start ipyparallel's engine; return why there is none."""
    try:
        running.seconds(ENGINE, timeout=60)
    except RuntimeError as error:
        return str(error).partition("failed: ")[2] or str(error)
    return ""


def _floods(megabytes: int) -> dict[str, Source]:
    """Return what writes `megabytes`; %%bash is so slow that it writes a fortieth."""
    size = megabytes * 2**20
    some, few = size // 4, size // 40
    written = "for _ in range({blocks}):\n    print('y\\n' * 32768, end='')"  # 64 KiB each
    plain = written.format(blocks=size // 65536)
    return {
        BASH: Source(cell=f"%%bash\nyes | head -c {few}", size=few / 1e6, check=_shown(few)),
        BANG: Source(cell=f"!yes | head -c {some}", size=some / 1e6, check=_shown(some),
                     anchor=BASH),
        PROGRAM: Source(cell=f"{UNSHARE} bash\nyes | head -c {size}", size=size / 1e6,
                        check=_logged(size), anchor=BASH, bar=300),
        PLAIN: Source(cell=plain, size=size / 1e6, check=_shown(size)),
        PX: Source(cell=f"%%px\n{written.format(blocks=some // 65536)}", size=some / 1e6,
                   check=_shown(some), anchor=PLAIN),
        PYTHON: Source(cell=f"{UNSHARE}\n{plain}", size=size / 1e6, check=_logged(size),
                       anchor=PLAIN, bar=1.0),
    }  # fmt: skip


def _lines(count: int) -> dict[str, Source]:
    """Return what writes `count` lines, %%bash a tenth of them."""
    few, thousands = count // 10, count / 1e3
    check, told = _told(count), PRINT.format(count=count)
    most = _told(count, ENOUGH)
    return {
        BASH: Source(cell=f"%%bash\n{YES.format(count=few)}", size=few / 1e3,
                     check=_told(few, ENOUGH)),
        BANG: Source(cell=f"!{YES.format(count=count)}", size=thousands, check=most, anchor=BASH),
        PROGRAM: Source(cell=f"{UNSHARE} bash\n{YES.format(count=count)}", size=thousands,
                        check=check, anchor=BANG, bar=1.0),
        PLAIN: Source(cell=told, size=thousands, check=most),
        PX: Source(cell=f"%%px\n{told}", size=thousands, check=most, anchor=PLAIN),
        PYTHON: Source(cell=f"{UNSHARE}\n{told}", size=thousands, check=check, anchor=PLAIN,
                       bar=1.0),
    }  # fmt: skip


def _table(
    running: Kernel, sources: Mapping[str, Source], no_engine: str, *, rounds: int, unit: str,
    name: str, title: str,
) -> Table:  # fmt: skip
    wanted = {each: source for each, source in sources.items() if each != PX or not no_engine}
    tasks = {each: lambda source=source: source.seconds(running) for each, source in wanted.items()}
    taken = interleaved(tasks, runs=rounds, optional={PX})
    taken.missing.update({PX: no_engine} if no_engine else {})
    figures = []
    for each, source in sources.items():
        if each in taken.missing:
            figures.append(Figure(name=each, missing=taken.missing[each]))
            continue
        rates = [1 / seconds for seconds in taken.runs[each]]
        figure = Figure.of(
            each, rates, unit=unit, at_least=True, bar=source.bar, ours=source.bar is not None
        )
        if source.anchor:
            ratio = taken.ratio(source.anchor, each)
            figure = replace(figure, anchor=source.anchor, ratio=ratio)
        figures.append(figure)
    how = f"{rounds} rounds, request to idle, in one kernel; the ratio says how many times as fast"
    return Table(name=name, title=title, how=how, figures=tuple(figures))


def _text(running: Kernel) -> str:
    """Return what reached the client as text: of streams, and what %%px displays."""
    contents = [message["content"] for message in running.messages]
    return "".join(
        str(content.get("text") or content.get("data", {}).get("text/plain", ""))
        for content in contents
    )


def _shown(size: int) -> Callable[[Kernel], None]:
    """Return a check that the client has most of so many y, each with its end of line."""

    def check(running: Kernel) -> None:
        if (found := _text(running).count("y")) < size // 2 * ENOUGH:
            raise RuntimeError(f"the client has {found} of {size // 2} lines")

    return check


def _told(count: int, least: float = 1) -> Callable[[Kernel], None]:
    """Return a check that the client has so many lines, or at least that part of them."""

    def check(running: Kernel) -> None:
        if not count * least <= (found := _text(running).count(LINE)) <= count:
            raise RuntimeError(f"the client has {found} of {count} lines")

    return check


def _logged(size: int) -> Callable[[Kernel], None]:
    """Return a check that head and count reached the client, and that the log has every byte."""
    expected = hashlib.sha256(b"y\n" * (size // 2)).hexdigest()

    def check(running: Kernel) -> None:
        shown = "".join(str(message["content"]) for message in running.messages)
        named = re.search(r"/[^ '\"<>]*\.log", shown)
        if named is None or "MB" not in shown or not running.stdout.startswith("y\ny\n"):
            raise RuntimeError("head, count or log did not reach the client")
        if hashlib.sha256(Path(named[0]).read_bytes()).hexdigest() != expected:
            raise RuntimeError("the log does not hold every byte")

    return check
