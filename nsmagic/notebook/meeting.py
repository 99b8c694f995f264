"""Where a boxed kernel is met: private directories for the sockets of both sides of the relay."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nsmagic.notebook.connection import SOCKET_PATH_BYTES, Connection
from nsmagic.run.ledger import check_private, ledger
from nsmagic.wish.errors import NsmagicError

_NAME: Final = "nsmagic-"  # and 8 hexadecimal digits
_INSIDE: Final = "s"
_FILE: Final = "kernel.json"
_LONGEST: Final = SOCKET_PATH_BYTES - len(f"/{_NAME}12345678/{_INSIDE}/k-9")  # of what is above
_SECONDS: Final = 2.0  # for the spawner of a kernel that was killed to remove what was its


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """`file` is the connection file as the kernel sees it, `kernel` how we reach its sockets."""

    file: str
    kernel: Connection


@contextmanager
def meeting(front: Connection, root: str | None, owner: tuple[int, int]) -> Generator[Meeting]:
    """Make a directory, with a connection file like `front`, for a kernel that runs as `owner`.

    In another root it is below that root.  OSError or NsmagicError where none can be made.
    """
    with ExitStack() as stack:
        folder = new_directory(root)
        stack.enter_context(directory(folder))
        folder.chmod(0o711)  # to be passed through by `owner`, whose directory is in it
        place = folder / _INSIDE
        place.mkdir(mode=0o700)
        fd = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        stack.callback(os.close, fd)
        # By the descriptor: whoever owns the other root could put another directory in the way.
        # And the path is short, however deep that root lies.
        here = Path(f"/proc/self/fd/{fd}")
        seen = _seen(place, root)
        front.at(f"{seen}/k").write(here / _FILE)
        os.chown(_FILE, *owner, dir_fd=fd, follow_symlinks=False)
        os.chown(here, *owner)
        yield Meeting(file=f"{seen}/{_FILE}", kernel=front.at(f"{here}/k"))


@contextmanager
def front_place(front: Connection) -> Generator[None]:
    """Make the directory that the provisioner chose for the sockets of `front`, if it did."""
    folder = Path(front.data["ip"]).parent
    if front.data["transport"] != "ipc" or not folder.name.startswith(_NAME):
        yield
        return
    # Of the kernel before us it is left only if that was killed: its spawner is at work now.
    end = time.monotonic() + _SECONDS
    while folder.exists() and time.monotonic() < end:
        time.sleep(0.02)
    with directory(folder):
        yield


@contextmanager
def directory(folder: Path) -> Generator[None]:
    """Have the directory, known to the ledger; it is gone afterwards with all that is in it."""
    with ExitStack() as stack:
        ledger().note("directory", str(folder))
        stack.callback(ledger().forget, "directory", str(folder))  # also one that is not taken
        folder.mkdir(mode=0o700, exist_ok=True)
        check_private(folder)  # between two kernels anybody may make one of that name in /tmp
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield


def example_file(root: str | None) -> str:
    """Return a path such as a boxed kernel finds its connection file at."""
    return str(_seen(new_directory(root) / _INSIDE, root) / _FILE)


def _seen(place: Path, root: str | None) -> Path:
    """Return the path of a place in another root as it is from there."""
    return place if root is None else Path("/", place.relative_to(Path(root).resolve()))


def new_directory(root: str | None = None) -> Path:
    """Return the path of a directory to be made, short enough for sockets; NsmagicError if none."""
    places = _places(root)
    for place in places:
        if os.access(place, os.W_OK | os.X_OK) and (root or len(os.fsencode(place)) <= _LONGEST):
            return place.resolve() / f"{_NAME}{secrets.token_hex(4)}"
    raise NsmagicError(
        f"no directory for the kernel's sockets can be made in {', '.join(map(str, places))}",
        hint="One of them must be there, have a short path, and be yours to write to.",
    )


def _places(root: str | None) -> Sequence[Path]:
    if root is not None:
        inside = [Path(root, name) for name in ("run", "tmp", "")]
        return [place for place in inside if not place.is_symlink()]  # which would lead out of it
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return [*([Path(runtime)] if runtime else []), Path(tempfile.gettempdir()), Path("/tmp")]
