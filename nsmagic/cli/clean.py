"""`nsmagic clean`: removes what kernels that died left, as their ledgers name it."""

from __future__ import annotations

import argparse

from nsmagic.run.sweep import sweep
from nsmagic.wish.errors import NsmagicError


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = (
        "Remove the cgroups, mounts, sockets and temporary files of your kernels that died without "
        "removing them. Only what their ledgers name is touched; a kernel that runs loses nothing."
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what there is")


def run(arguments: argparse.Namespace) -> int:
    """Sweep and tell; 1 if something would not go."""
    try:
        found = sweep(dry_run=arguments.dry_run)
    except OSError as error:
        raise NsmagicError(f"the ledgers in {error.filename}: {error.strerror}") from None
    for each in found:
        print(each.sentence)
    if not found:
        print("Nothing is left of kernels that died.")
    return int(any(each.outcome == "failed" for each in found))
