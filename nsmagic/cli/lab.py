"""`nsmagic lab [DIR]`: a working copy of the notebooks, and JupyterLab on it."""

from __future__ import annotations

import argparse
import filecmp
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nsmagic.labs import solutions
from nsmagic.labs.bundled import bundled
from nsmagic.wish.errors import NsmagicError, WishError

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
    copied, kept = copy_notebooks(bundled(), folder)
    _tell(folder, copied, kept)
    if arguments.solutions:
        solved, differ = solutions.write_all(folder / solutions.FOLDER)
        _tell(folder / solutions.FOLDER, solved, differ)
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


def copy_notebooks(source: Path, folder: Path) -> tuple[list[str], list[str]]:
    """Copy what `folder` lacks; return what was copied, and what differs there and was kept.

    Raises WishError where `folder` cannot be one.
    """
    copied, kept = [], []
    try:
        for name in sorted(_files(source)):
            target = folder / name
            if not os.path.lexists(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / name, target)
                copied.append(name)
            elif not target.is_file() or not filecmp.cmp(source / name, target, shallow=False):
                kept.append(name)
    except OSError as error:
        raise WishError(
            f"cannot copy to {error.filename2 or error.filename}: {error.strerror}",
            hint="Name a directory of yours: nsmagic lab DIR",
        ) from None
    return copied, kept


def _files(source: Path) -> Iterator[str]:
    for path in source.rglob("*"):
        hidden = any(part.startswith((".", "__")) for part in path.relative_to(source).parts)
        if path.is_file() and not hidden:
            yield path.relative_to(source).as_posix()


def _tell(folder: Path, copied: list[str], kept: list[str]) -> None:
    if copied:
        print(f"Copied {len(copied)} files to {folder}.")
    if kept:
        print(f"Kept yours, which differ from the bundled ones: {', '.join(kept)}")
        print("A fresh copy beside them: nsmagic lab OTHER-DIR")
    if not copied and not kept:
        print(f"{folder} has all notebooks, unchanged.")
