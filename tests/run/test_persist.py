"""`--uts=FILE` and its kin: the namespace stays in the file, for nsenter(1), after the cell."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nsmagic.linux import syscalls
from nsmagic.run.spawning import close_spawner, spawner
from nsmagic.wish.errors import StepError
from nsmagic.wish.namespaces import NAMESPACES
from tests.run.direct import Cell
from tests.support.skips import root_only

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.linux, root_only]

NS_KINDS = [row.name for row in NAMESPACES]
OPTION = {row.name: row.option for row in NAMESPACES}
IN_CELL = 'for n in "$@"; do readlink /proc/self/ns/$n; done'


@pytest.fixture(scope="module", autouse=True)
def one_spawner() -> Iterator[None]:
    spawner()
    yield
    close_spawner()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A mount of its own, private, on which a mount namespace can be kept, unshare(1)."""
    syscalls.mount(str(tmp_path), str(tmp_path), None, syscalls.MS_BIND)
    syscalls.mount("none", str(tmp_path), None, syscalls.MS_PRIVATE)
    yield tmp_path
    for point in mounted(tmp_path):
        syscalls.umount2(point)
    syscalls.umount2(str(tmp_path))


def mounted(folder: Path) -> list[str]:
    """Mount points below the folder, the last one first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in lines]
    return [point for point in reversed(points) if point.startswith(f"{folder}/")]


def links(kind: str, options: list[str], names: list[str]) -> list[str]:
    """What the cell saw: the links of its namespaces."""
    if kind == "program":
        ran = Cell().program([*options, "sh", "-c", IN_CELL, "sh", *names])
    else:
        ran = Cell().python(
            options, lambda: "\n".join(os.readlink(f"/proc/self/ns/{name}") for name in names)
        )
    assert ran.result.ok, ran.err
    return ran.out.split()


def inode(link: str) -> int:
    return int(link.partition("[")[2].rstrip("]"))


@pytest.mark.parametrize("kind", ["program", "python"])
@pytest.mark.parametrize("name", NS_KINDS)
@pytest.mark.parametrize("exists", [True, False])
def test_each_kind_of_namespace_stays(folder: Path, name: str, kind: str, exists: bool) -> None:
    file = folder / "kept"
    if exists:
        file.touch()
    (link,) = links(kind, [f"--{OPTION[name]}={file}"], [name])
    assert mounted(folder) == [str(file)]
    assert file.stat().st_ino == inode(link) != Path(f"/proc/self/ns/{name}").stat().st_ino
    done = subprocess.run(
        ["nsenter", f"--{OPTION[name]}={file}", *(["--preserve-credentials"] * (name == "user")),
         "readlink", f"/proc/self/ns/{name}"],
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    if name == "pid":  # it is kept, but its init has ended: pid_namespaces(7)
        assert "Cannot allocate memory" in done.stderr
    else:
        assert done.stdout.strip() == link, done.stderr


@pytest.mark.parametrize("kind", ["program", "python"])
def test_several_at_once(folder: Path, kind: str) -> None:
    names = ["mnt", "uts", "ipc", "net", "pid"]
    options = [f"--{OPTION[name]}={folder / name}" for name in names]
    found = links(kind, [*options, "--mount-proc"], names)
    assert sorted(mounted(folder)) == sorted(str(folder / name) for name in names)
    assert [(folder / name).stat().st_ino for name in names] == list(map(inode, found))


@pytest.mark.parametrize("kind", ["program", "python"])
def test_a_relative_path_starts_where_the_notebook_is(
    folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    links(kind, ["--uts=kept", "--wd=/"], ["uts"])
    assert mounted(folder) == [str(folder / "kept")]


@pytest.mark.parametrize("kind", ["program", "python"])
def test_a_descriptor_is_the_notebooks(folder: Path, kind: str) -> None:
    file = folder / "kept"
    file.touch()
    descriptor = os.open(file, os.O_RDONLY)
    try:
        links(kind, [f"--uts=/proc/self/fd/{descriptor}"], ["uts"])
    finally:
        os.close(descriptor)
    assert mounted(folder) == [str(file)]


# Why it fails: a target of the wrong kind, a later file, a later step, and the program itself.
FAILURES = [
    ["--uts={}/folder"],
    ["--mount={}/first", "--uts={}/folder"],
    ["--uts={}/first", "--root=/nowhere"],
    ["--uts={}/first", "--net={}/nowhere/second"],
]


@pytest.mark.parametrize("kind", ["program", "python"])
@pytest.mark.parametrize("options", FAILURES)
def test_a_failure_leaves_nothing(folder: Path, kind: str, options: list[str]) -> None:
    (folder / "folder").mkdir()
    with pytest.raises(StepError):
        links(kind, [option.format(folder) for option in options], ["uts"])
    assert mounted(folder) == []
    assert [entry.name for entry in folder.iterdir()] == ["folder"]


def test_a_missing_program_leaves_nothing(folder: Path) -> None:
    with pytest.raises(StepError):
        Cell().program([f"--uts={folder}/first", "/nowhere/program"])
    assert mounted(folder) == []
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["program", "python"])
def test_a_file_that_was_there_stays_as_it_was(folder: Path, kind: str) -> None:
    file = folder / "mine"
    file.write_text("text")
    with pytest.raises(StepError):
        links(kind, [f"--uts={file}", "--root=/nowhere"], ["uts"])
    assert mounted(folder) == []
    assert file.read_text() == "text"


def without_a_process(kind: str) -> str:
    """What /proc says of a namespace that no process has entered; empty if it has no link."""
    look = f"readlink /proc/$$/ns/{kind}_for_children"
    # `exec` keeps sh from forking, which would make the first process.
    done = subprocess.run(
        ["unshare", "-r", f"--{kind}", "sh", "-c", f"exec {look}"],
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip()


def test_without_a_fork_the_namespace_of_the_children_is_kept(folder: Path) -> None:
    for name in ("pid", "time"):
        with suppress(StepError):
            Cell().python([f"--{name}={folder / name}", "--strict"], lambda: "")
    # Before Linux 7 a PID namespace has no link until it has a first process.
    kinds = ["time"] if without_a_process("pid") == "" else ["pid", "time"]
    assert sorted(mounted(folder)) == [str(folder / kind) for kind in kinds]
