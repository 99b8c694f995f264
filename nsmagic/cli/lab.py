"""`nsmagic lab [DIR]`: a working copy of the notebooks, and JupyterLab on it."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nsmagic.labs import solutions
from nsmagic.labs.bundled import bundled
from nsmagic.labs.copying import add_files
from nsmagic.wish.errors import NsmagicError

FOLDER: Final = "nsmagic-labs"


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = (
        "Copy the notebooks to DIR and open JupyterLab there. What is there already is yours and "
        "stays as it is."
    )
    parser.add_argument(
        "dir", metavar="DIR", nargs="?", default=FOLDER, help=f"where to; ./{FOLDER} unless given"
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    parser.add_argument("--port", type=int, help="listen on this port: 8888 unless given")
    parser.add_argument("--ip", help="listen on this address: 127.0.0.1 unless given")
    parser.add_argument(
        "--solutions", action="store_true", help="write them solved into DIR/solutions as well"
    )
    parser.add_argument("--copy-only", action="store_true", help="copy, and open nothing")


def run(arguments: argparse.Namespace) -> int:
    """Copy, then become JupyterLab."""
    folder = Path(arguments.dir)
    hint = "Name a directory of yours: nsmagic lab DIR"
    _tell(folder, *add_files(folder, _files(bundled()), hint=hint))
    if arguments.solutions:
        solved = folder / solutions.FOLDER
        _tell(solved, *solutions.write_all(solved))
    if arguments.copy_only:
        return 0
    if importlib.util.find_spec("jupyterlab") is None:
        raise NsmagicError(
            f"JupyterLab is not installed beside {sys.executable}",
            hint=f"{sys.executable} -m pip install 'jupyterlab>=4.2'   "
            f"or open {folder} in the Jupyter that you have.",
        )
    argv = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder.resolve()}"]
    argv += ["--no-browser"] if arguments.no_browser else []
    argv += [] if arguments.port is None else [f"--port={arguments.port}"]
    argv += [] if arguments.ip is None else [f"--ip={arguments.ip}"]
    argv += ["--allow-root"] if os.geteuid() == 0 else []
    sys.stdout.flush()
    os.execv(argv[0], argv)
    raise AssertionError("execv(2) returned")


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(source.rglob("*")):
        below = path.relative_to(source)
        hidden = any(part.startswith((".", "__")) for part in below.parts)
        if path.is_file() and not hidden:
            yield below.as_posix(), path.read_bytes()


def _tell(folder: Path, copied: list[str], kept: list[str]) -> None:
    if copied:
        print(f"Copied {len(copied)} files to {folder}.")
    if kept:
        print(f"Kept yours, which differ from the bundled ones: {', '.join(kept)}")
        print("A fresh copy beside them: nsmagic lab OTHER-DIR")
    if not copied and not kept:
        print(f"{folder} has all notebooks, unchanged.")
