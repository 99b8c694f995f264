"""The learner notebooks, run as they are and checked against the state of Linux."""

from __future__ import annotations

import calendar
import itertools
import os
import re
import select
import shutil
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

from tests.support.notebooks import Executed, code_cells, execute, may_fail, read
from tests.support.skips import NEEDS_ROOT

if TYPE_CHECKING:
    from tests.support.kernel_driver import KernelDriver
    from tests.support.user import Account

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
ALL = sorted(NOTEBOOKS.glob("*.ipynb"))
NAMESPACES = NOTEBOOKS / "03-namespaces.ipynb"
KINDS = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"]
TEN_MEBIBYTES = 10 * 2**20
DATE = "%a %b %d %H:%M:%S UTC %Y"  # what date(1) prints in the C locale


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
class TestAsCommitted:
    def test_it_is_valid_and_for_a_kernel_that_everybody_has(self, path: Path) -> None:
        node = read(path)
        nbformat.validate(node)
        assert node.metadata.kernelspec.name == "python3"  # any other may open "Select Kernel"

    def test_it_holds_no_outputs(self, path: Path) -> None:
        for cell in code_cells(path):
            assert cell.outputs == [], cell.id
            assert cell.execution_count is None, cell.id

    def test_a_cell_that_fails_is_announced(self, path: Path) -> None:
        cells = read(path).cells
        for above, cell in itertools.pairwise(cells):
            if cell.cell_type == "code" and may_fail(cell):
                assert "This cell fails" in above.source, cell.id


@pytest.fixture(params=["root", "user"])
def account(request: pytest.FixtureRequest) -> Account | None:
    """Who runs the notebook: None for ourselves."""
    if request.param == "root":
        return None
    if os.geteuid():
        pytest.skip(NEEDS_ROOT)
    user: Account = request.getfixturevalue("user_alone")
    return user


@pytest.mark.linux
def test_run_all(account: Account | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")  # what programs print is compared below
    monkeypatch.setenv("TZ", "UTC")
    path = tmp_path / NAMESPACES.name
    shutil.copy(NAMESPACES, path)
    folder = tmp_path / "executed"
    folder.mkdir()
    if account:  # it runs beside the notebook in a folder that it cannot write to
        path, folder = account.project / "notebooks" / NAMESPACES.name, account.home
    beside = sorted(path.parent.iterdir())
    run = execute(path, folder, account)
    assert run.failed == {cell.id for cell in code_cells(NAMESPACES) if may_fail(cell)}
    check_names(run)
    check_mounts(run)
    check_processes(run)
    check_network(run)
    check_users(run)
    check_time(run)
    assert "not done yet" in run.text("island-check")
    assert "playground /" in run.text("clean-up")
    assert sorted(path.parent.iterdir()) == beside
    if account:
        assert list((account.home / "tmp").iterdir()) == []


def check_names(run: Executed) -> None:
    here = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS}
    links = dict(re.findall(r"(\w+) -> '(.+)'", run.text("proc-self-ns")))
    assert {kind: links[kind] for kind in KINDS} == here
    assert run.text("kinds") == f"8 types: {' '.join(KINDS)}\n"
    assert run.lines("uts-inside") == ["island"]
    assert run.lines("uts-outside") == [socket.gethostname()]
    rows = [line.split() for line in run.lines("compare")]
    new = {kind for kind, word, _ in rows if word == "new"}
    assert new == {"uts", "ipc"} | ({"user"} if run.uid else set())
    assert all((link == here[kind]) == (word == "shared") for kind, word, link in rows)
    assert run.lines("x-inside") + run.lines("x-outside") == ["inside: 42", "outside: 41"]
    machine = socket.gethostname()
    back = f"brought back: island | this machine is still called: {machine}"
    assert run.lines("return-outside") == [back]


def check_mounts(run: Executed) -> None:
    lines = run.lines("tmpfs-inside")
    assert lines[1].split()[:4] == ["tmpfs", "10240", "0", "10240"]
    assert lines[2:] == ["0", "1", "2", f"d/big has {TEN_MEBIBYTES} bytes"]
    assert "No space left on device" in run.text("tmpfs-inside", "stderr")
    assert run.lines("tmpfs-outside") == ["files in d: 0", "mounts in our playground: 0"]
    mount, files = run.lines("mountinfo")
    assert re.search(r"/d rw,relatime - tmpfs tmpfs rw,size=10240k", mount)
    assert files.split() == ["0", "1", "2"]


def check_processes(run: Executed) -> None:
    for cell in ("ps-inside", "explain"):
        rows = [line.split() for line in run.lines(cell)[1:]]
        assert [row[:3] for row in rows] == [["1", "0", "/bin/bash"], ["2", "1", "ps"]]
    first, seen = run.lines("ps-without")
    assert first == "I am process 1"
    assert int(seen.split()[2]) > 3  # at least Jupyter's two, the shell and ps
    shown = run.text("explain")
    assert 'mount("proc", "/proc", "proc"' in shown
    assert "status 0" in shown
    inside, numbers = run.lines("nspid-inside")
    assert inside == "getpid() says 1"
    assert numbers.split()[2:] == ["1"]
    assert int(numbers.split()[1]) > 1
    assert "fork: Cannot allocate memory" in run.text("no-fork", "stderr")
    assert run.lines("no-fork") == ["/"]


def check_network(run: Executed) -> None:
    port = run.lines("listen")[-1].split()[-1]
    address = f"127.0.0.1:{port}"
    assert [line.split()[3] for line in run.lines("ss-outside")[1:]] == [address]
    header, lo, said, *again = run.lines("ss-inside")
    assert header.split()[0] == "State"
    assert lo.split()[:2] == ["lo", "DOWN"]
    assert said == f"listening on port {port} as well"
    assert [line.split()[3] for line in again[1:]] == [address]
    assert "Address already in use" in run.text("port-taken")


def check_users(run: Executed) -> None:
    who, uid_map, file = run.lines("user-inside")
    assert who.startswith("uid=0(root) gid=0(root)")
    assert uid_map.split() == ["0", str(run.uid), "1"]
    assert file.split()[2] == "0"
    file, number = run.lines("user-outside")
    assert file.split()[2] == number == str(run.uid)
    who, capabilities, allowed = run.lines("user-ordinary")
    assert who.startswith("uid=12345")
    assert int(capabilities.split()[1], 16) == 0
    assert allowed == "with a user namespace: allowed"
    assert "Operation not permitted" in run.text("user-ordinary", "stderr")


def check_time(run: Executed) -> None:
    (up_inside, *wall_inside), (up, *wall) = run.lines("time-inside"), run.lines("time-outside")
    assert "year" in up_inside
    assert up_inside != up
    inside, outside = (time.strptime(date, DATE) for (date,) in (wall_inside, wall))
    assert 0 <= calendar.timegm(outside) - calendar.timegm(inside) < 60


@pytest.fixture(scope="module", params=["kernel", "user_kernel"])
def any_kernel(request: pytest.FixtureRequest) -> KernelDriver:
    """A kernel of our own, then one of an ordinary user."""
    driver: KernelDriver = request.getfixturevalue(request.param)
    return driver


@pytest.mark.linux
def test_what_the_lab_shows_is_so(any_kernel: KernelDriver) -> None:
    kernel = any_kernel
    cells = {cell.id: cell.source for cell in code_cells(NAMESPACES)}

    def value(expression: str) -> str:
        result = kernel.run(expression, raise_error=True).result
        assert result is not None
        return str(result["text/plain"]).strip("'")

    for cell in (
        "load",
        "start",
        "setup",
        "kinds",
        "mkdir",
        "mkfifo",
        "tmpfs-background",
        "mountinfo",
    ):
        kernel.run(cells[cell], raise_error=True)
    folder, box = value("str(playground)"), Path("/proc", value("pid"))
    assert (box / "ns/mnt").readlink() != Path("/proc/self/ns/mnt").readlink()
    assert folder not in Path("/proc/self/mountinfo").read_text()
    assert folder in (box / "mountinfo").read_text()
    inside = os.statvfs(f"{box}/root{folder}/d")
    assert inside.f_blocks * inside.f_frsize == TEN_MEBIBYTES
    ended = os.pidfd_open(int(box.name))
    kernel.run(cells["kill-box"], raise_error=True)
    assert select.select([ended], [], [], 5)[0]
    os.close(ended)

    kernel.run(cells["listen"], raise_error=True)
    with socket.create_connection(("127.0.0.1", int(value("port")))):
        kernel.run(cells["listen-close"], raise_error=True)

    kernel.run(cells["clean-up"] + "\n%reset -f", raise_error=True)
    assert not Path(folder).exists()
