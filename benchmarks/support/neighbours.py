"""What people would take instead to isolate a program: each is tried here before it is timed.

All get the same six namespaces (user, pid, net, mount, uts, ipc) and the same root directory, which
`%rootfs` makes of this machine's own programs.  What they do beyond that is theirs: runc,
systemd-nspawn and podman also make cgroups, devices, and a record of the container.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nsmagic.linux.cgroups.hierarchies import read_hierarchies
from nsmagic.linux.copies import build_rootfs
from nsmagic.linux.ids import SystemNames
from nsmagic.linux.rootfs import plan_rootfs
from nsmagic.wish.rootfs import read_rootfs

# The interpreter itself and not the link of a virtual environment, which is not in the root.
PYTHON: Final = os.path.realpath(sys.executable)
WORK: Final = {"true": ("true",), "python -c pass": (PYTHON, "-c", "pass")}
TRY: Final = 60  # s
# Cgroups that systemd-nspawn and podman make and leave, and the directory of podman's runtimes.
_LEFT_CGROUPS: Final = frozenset({"payload", "supervisor", "libpod_parent", "conmon"})
_LEFT_FOLDERS: Final = tuple(map(Path, ("/run/runc", "/run/crun", "/run/libpod")))


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A program and how it runs each kind of WORK; or why it does not on this machine."""

    name: str
    argv: dict[str, list[str]]
    missing: str = ""


@contextmanager
def neighbours() -> Generator[list[Neighbour]]:
    """Make a root, and yield all that there are; remove whatever they left afterwards."""
    with _clean(), tempfile.TemporaryDirectory(prefix="nsmagic-bench-") as folder:
        top = Path(folder)
        top.chmod(0o755)  # the root of a container has to be reached by its users
        root = top / "root"
        words = [str(root), "true", PYTHON, "--with", sysconfig.get_path("stdlib")]
        build_rootfs(plan_rootfs(read_rootfs(words, SystemNames())))
        yield [_tried(name, argv, top) for name, argv in _NEIGHBOURS.items()]


def _tried(name: str, argv: Callable[[Path, Sequence[str]], list[str]], top: Path) -> Neighbour:
    """Run each kind of work once."""
    if shutil.which(name) is None:
        return Neighbour(name=name, argv={}, missing="not installed")
    found: dict[str, list[str]] = {}
    for work, program in WORK.items():
        try:
            found[work] = argv(top, program)
            subprocess.run(
                found[work], stdin=subprocess.DEVNULL, capture_output=True, timeout=TRY, check=True
            )
        except subprocess.TimeoutExpired:
            return Neighbour(name=name, argv={}, missing=f"does not end here in {TRY} s")
        except subprocess.CalledProcessError as error:
            why = _reason(error.stderr.decode(errors="replace")) or f"status {error.returncode}"
            return Neighbour(name=name, argv={}, missing=f"does not run here: {why}")
    return Neighbour(name=name, argv=found)


def _reason(text: str) -> str:
    """Return the last line of what it said, without where our directory is."""
    line = (text.strip().splitlines() or [""])[-1]
    return line.replace(tempfile.gettempdir(), "").strip()


def _bwrap(top: Path, program: Sequence[str]) -> list[str]:
    namespaces = [f"--unshare-{name}" for name in ("user", "pid", "net", "uts", "ipc")]
    return ["bwrap", *namespaces, "--bind", str(top / "root"), "/", "--proc", "/proc", *program]


def _bundle(top: Path, name: str, program: Sequence[str]) -> Path:
    """Make a bundle as `runc spec --rootless` does, with a network of its own and this program."""
    bundle = top / f"bundle-{name}-{len(program)}"
    if bundle.exists():
        return bundle
    bundle.mkdir()
    subprocess.run([name, "spec", "--rootless"], cwd=bundle, check=True, capture_output=True)
    file = bundle / "config.json"
    spec: dict[str, Any] = json.loads(file.read_text())
    spec["process"] |= {"terminal": False, "args": list(program)}
    spec["root"] = {"path": str(top / "root"), "readonly": False}
    spec["linux"]["namespaces"].append({"type": "network"})
    file.write_text(json.dumps(spec))
    return bundle


def _oci(name: str) -> Callable[[Path, Sequence[str]], list[str]]:
    """Return how a runtime with runc's command line runs a program."""

    def argv(top: Path, program: Sequence[str]) -> list[str]:
        state, bundle = top / f"state-{name}", _bundle(top, name, program)
        return [name, "--root", str(state), "run", "--bundle", str(bundle), f"nsmb-{os.getpid()}"]

    return argv


def _nspawn(top: Path, program: Sequence[str]) -> list[str]:
    # --keep-unit, --register=no: without systemd as PID 1 there is no unit and no machined.
    options = ["--quiet", "--private-users=identity", "--private-network", "--register=no"]
    options += ["--keep-unit", "--console=pipe", f"--directory={top / 'root'}"]
    return ["systemd-nspawn", *options, *program]


def _podman(top: Path, program: Sequence[str]) -> list[str]:
    places = [f"--{name}={top / f'podman-{name}'}" for name in ("root", "runroot", "tmpdir")]
    how = ["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=none"]
    run = ["run", "--rm", "--network=none", "--uidmap=0:0:65536", "--log-driver=none"]
    return ["podman", *places, *how, *run, "--rootfs", str(top / "root"), *program]


_NEIGHBOURS: Final[dict[str, Callable[[Path, Sequence[str]], list[str]]]] = {
    "bwrap": _bwrap, "runc": _oci("runc"), "crun": _oci("crun"), "systemd-nspawn": _nspawn,
    "podman": _podman,
}  # fmt: skip


@contextmanager
def _clean() -> Generator[None]:
    """Remove the cgroups and directories that they leave, by name and only those made since."""
    before, folders = _cgroups(), [each for each in _LEFT_FOLDERS if not each.exists()]
    try:
        yield
    finally:
        for path in sorted(_cgroups() - before, key=lambda each: len(each.parts), reverse=True):
            with suppress(FileNotFoundError):
                path.rmdir()
        for folder in folders:
            with suppress(FileNotFoundError):
                folder.rmdir()


def _cgroups() -> set[Path]:
    found = read_hierarchies()
    points = [each.point for each in (*found.v1, found.v2) if each is not None]
    return {
        Path(folder, name)
        for point in points
        for folder, names, _ in os.walk(point)
        for name in _LEFT_CGROUPS.intersection(names)
    }
