"""Measure, keep the figures as JSON, draw the plots and write the page of the documentation."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.support.machine import machine
from benchmarks.support.page import write_page
from benchmarks.support.report import Figure, Table

PROJECT: Final = Path(__file__).resolve().parents[1]
# In this order, each with the tables that it measures.
BENCHMARKS: Final = {
    "cells": ("cells", "pythons"),
    "parts": ("parts-python", "parts-program"),
    "memory": ("memory",),
    "boxes": ("boxes", "box-memory"),
    "lsns": ("lsns",),
    "streams": ("streams", "lines"),
    "cgroups": ("sampling",),
    "graph": ("graph", "graph-cpu"),
    "load": ("load",),
}
LONGEST: Final = 360  # s for one of them
PATIENCE: Final = 60  # s for its clean-up when it is stopped
# Neither the settings nor the history of who measures: each is a directory of its own.
PRIVATE: Final = (
    "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR",
    "NSMAGIC_STATE_DIR",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 if everything was measured, whether or not it keeps to its bars."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="tiny sizes: whether it works at all")
    parser.add_argument("--to", type=Path, metavar="DIR", help="where figures and plots go")
    parser.add_argument("--page", action="store_true", help="measure nothing: plots and page")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(argv)
    if unknown := set(asked.names) - set(BENCHMARKS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    if asked.alone:
        measure(asked.names[0], asked.to, quick=asked.quick)
        return 0
    if asked.to is None and asked.quick:
        parser.error("--quick needs --to: its figures are none to keep")
    folder = asked.to or PROJECT / "docs" / "benchmarks"
    chosen = [] if asked.page else asked.names or list(BENCHMARKS)
    broken = [name for name in chosen if not start(name, folder, quick=asked.quick)]
    tables = list(read(folder))
    write_page(tables, folder)
    print(summary(tables))
    if broken:
        print(f"could not be measured: {', '.join(broken)}")
    return 1 if broken else 0


def start(name: str, folder: Path, *, quick: bool) -> bool:
    """Measure in a process of its own; where that fails, keep the reason instead of figures."""
    print(f"== {name}", flush=True)
    began = time.monotonic()
    for each in BENCHMARKS[name]:
        (folder / f"{each}.json").unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks", name, "--alone", "--to", str(folder.resolve())]
    with tempfile.TemporaryDirectory(prefix="nsmb-") as home:
        private = {each: f"{home}/{each.lower()}" for each in PRIVATE}
        why = _run(command + ["--quick"] * quick, os.environ | private)
    print(f"   {time.monotonic() - began:.0f} s\n", flush=True)
    if why:
        print(f"   FAILED: {why}\n", flush=True)
        for each in BENCHMARKS[name]:
            if not (folder / f"{each}.json").exists():
                _missing(each, f"not measured: {why}").save(folder)
    return not why


def _run(command: Sequence[str], env: Mapping[str, str]) -> str:
    """Run it to its end; return why it failed, or nothing."""
    with subprocess.Popen(  # in a group of its own: of Ctrl-C it hears once, by us
        command, cwd=PROJECT, env=env, stderr=subprocess.PIPE, text=True, process_group=0
    ) as running:
        try:
            _, said = running.communicate(timeout=LONGEST)
        except BaseException as stopped:
            running.send_signal(signal.SIGINT)  # it removes what it made
            running.communicate(timeout=PATIENCE)
            if not isinstance(stopped, subprocess.TimeoutExpired):
                raise
            return f"it took more than {LONGEST} s"
    if running.returncode == 0:
        return ""
    sys.stderr.write(said)
    return (said.strip() or f"status {running.returncode}").splitlines()[-1]


def measure(name: str, folder: Path, *, quick: bool) -> None:
    """Measure in this process; print and keep the tables."""
    facts = machine()
    module = importlib.import_module(f"benchmarks.{name}")
    for table in module.measure(quick=quick):
        table = replace(table, machine=facts)
        print(table.text(), flush=True)
        table.save(folder)


def read(folder: Path) -> Iterator[Table]:
    """Yield what is kept in a folder, in the order of the benchmarks."""
    for name in (each for tables in BENCHMARKS.values() for each in tables):
        file = folder / f"{name}.json"
        yield Table.read(file.read_text()) if file.exists() else _missing(name, "not measured")


def _missing(name: str, why: str) -> Table:
    return Table(name=name, title=name, how="", figures=(Figure(name=name, missing=why),))


def summary(tables: Sequence[Table]) -> str:
    """Return the bars that are met, and those that are not."""
    barred = [(t, f) for t in tables for f in t.figures if f.bar is not None]
    lines = []
    for met, title in ((True, "bars met"), (False, "bars NOT MET"), (None, "bars not measured")):
        found = [(t, f) for t, f in barred if f.met is met]
        lines.append(f"{title}: {len(found)}")
        for table, figure in found:
            value = figure.ratio if figure.judged == "ratio" else figure.value
            place = "" if figure.at is None else f", {figure.at:g} {table.axis}"
            shown = figure.missing if value is None else f"{value:.2f}"
            sign = ">=" if figure.at_least else "<="
            lines.append(f"   {table.name}: {figure.name}{place}: {shown} ({sign} {figure.bar:g})")
    return "\n".join(lines)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # and clean up
    sys.exit(main())
