"""The four classic ways out of a chroot: each works in a plain one, none after pivot_root(2)."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.skips import root_only

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kernel_driver import KernelDriver

pytestmark = pytest.mark.linux

# Earlier cells of a lesson: isolated cells know these functions.  Each way tells which directory
# it can read: the inode of the outermost one that it reaches.
WAYS = '''
import os
from nsmagic.linux import syscalls

def by_chroot(jail):
    os.chroot(jail)
    os.chdir("/")

def by_pivot_root(jail):
    """As pivot_root(2) says under "pivot_root(".", ".")"."""
    syscalls.mount(jail, jail, None, syscalls.MS_BIND | syscalls.MS_REC)
    os.chdir(jail)
    syscalls.pivot_root(".", ".")
    syscalls.umount2(".", syscalls.MNT_DETACH)
    os.chdir("/")

def up():
    for _ in range(64):
        os.chdir("..")
    return os.stat(".").st_ino

def way_1():
    """A second root below, and the working directory stays above it."""
    os.makedirs("below", exist_ok=True)
    os.chroot("below")
    return up()

def way_2():
    """The same, and then the outermost directory becomes the root."""
    way_1()
    os.chroot(".")
    return os.stat("/").st_ino

def way_3():
    """A directory is held open; the root goes below it, and fchdir(2) goes back."""
    held = os.open("/", os.O_RDONLY)
    os.makedirs("below", exist_ok=True)
    by_chroot("below")
    os.fchdir(held)
    up()
    os.chroot(".")
    return os.stat("/").st_ino

def way_4():
    """proc shows the root of a process that is outside."""
    if not os.path.exists("/proc/self"):
        return os.stat("/").st_ino
    parent = os.getppid()
    os.chroot(f"/proc/{parent}/root")
    return os.stat("/").st_ino

def with_parent_outside(enter, jail, way):
    """Fork: the parent stays outside, the child goes in and tries."""
    read, write = os.pipe()
    if os.fork() == 0:
        enter(jail)
        os.write(write, repr(way()).encode())
        os._exit(0)
    os.close(write)
    found = os.read(read, 100).decode()
    os.wait()
    return found
'''


@pytest.fixture(scope="module", params=["kernel", "user_kernel"])
def notebook(request: pytest.FixtureRequest) -> Iterator[KernelDriver]:
    """A notebook of root's and one of an ordinary user's, with a root `jail` in its folder."""
    driver: KernelDriver = request.getfixturevalue(request.param)
    driver.run("import os, tempfile\nos.chdir(tempfile.mkdtemp())", raise_error=True)
    driver.run("os.makedirs('jail/proc')\njail = os.path.abspath('jail')", raise_error=True)
    driver.run(WAYS, raise_error=True)
    driver.run("%unshare --user true", raise_error=True)
    yield driver
    folder = value(driver, "os.getcwd()")
    driver.run("os.chdir('/')\n%reset -f", raise_error=True)
    shutil.rmtree(folder)


def value(notebook: KernelDriver, code: str) -> Any:  # noqa: ANN401 - whatever it is
    run = notebook.run(code, raise_error=True)
    assert run.result is not None, run
    return ast.literal_eval(run.result["text/plain"])


def inodes(notebook: KernelDriver) -> tuple[int, int]:
    jail = Path(value(notebook, "jail"))
    return Path("/").stat().st_ino, jail.stat().st_ino


@pytest.mark.parametrize("way", ["way_1", "way_2", "way_3"])
def test_out_of_a_plain_chroot(notebook: KernelDriver, way: str) -> None:
    outside, inside = inodes(notebook)
    assert value(notebook, "%%chroot jail\nos.stat('/').st_ino") == inside
    assert value(notebook, f"%%chroot jail\n{way}()") == outside
    unshared = f"%%unshare --user -r --mount\nby_chroot(jail)\n{way}()"
    assert value(notebook, unshared) == outside


@pytest.mark.parametrize("way", ["way_1", "way_2", "way_3"])
def test_not_out_after_pivot_root(notebook: KernelDriver, way: str) -> None:
    _, inside = inodes(notebook)
    cell = f"%%unshare --user -r --mount\nby_pivot_root(jail)\n{way}()"
    assert value(notebook, cell) == inside


def test_way_4_needs_a_process_outside_that_proc_shows(notebook: KernelDriver) -> None:
    outside, inside = inodes(notebook)
    head = "%%unshare --user -r --mount --pid --mount-proc=jail/proc\n"
    try_it = "int(with_parent_outside({}, jail, way_4))"
    assert value(notebook, head + try_it.format("by_chroot")) == outside
    # pivot_root(2) also moves every process of the mount namespace that has the old root.
    assert value(notebook, head + try_it.format("by_pivot_root")) == inside


def test_all_four_as_cells_of_a_box(notebook: KernelDriver) -> None:
    outside, inside = inodes(notebook)
    notebook.run("%unshare --replace --name lab -r --mount --pid --mount-proc", raise_error=True)
    notebook.run(
        "%%nsenter -t lab\nsyscalls.mount('proc', f'{jail}/proc', 'proc', 0)", raise_error=True
    )
    value(notebook, "jail")
    ways = ["way_1()", "way_2()", "way_3()", "by_chroot('/proc/1/root') or os.stat('/').st_ino"]
    for way in ways:
        assert value(notebook, f"%%nsenter -t lab\n%%chroot {{}}\n{way}".format("jail")) == outside
    notebook.run("%%nsenter -t lab\nby_pivot_root(jail)", raise_error=True)
    for way in ways:  # the init's root has moved too
        assert value(notebook, f"%%nsenter -t lab\n{way}") == inside
        assert value(notebook, f"%%nsenter -t lab\n%%chroot /\n{way}") == inside
    notebook.run("%box rm lab", raise_error=True)


def test_the_program_pivot_root(notebook: KernelDriver) -> None:
    notebook.run("%rootfs full bash mkdir mount umount pivot_root", raise_error=True)
    cell = """%%unshare --user -r --mount bash -e
mount --bind full full
cd full
mkdir -p proc; mount --rbind /proc proc   # umount(8) reads it
pivot_root . .
umount -l .
cd /
echo *
cd ..; cd ..; echo *
"""
    folder = Path(value(notebook, "os.getcwd()"))
    shown = notebook.run(cell, raise_error=True).stdout
    listed = " ".join(sorted(entry.name for entry in (folder / "full").iterdir()))
    assert shown == f"{listed}\n" * 2


def test_no_second_root_for_another_user(notebook: KernelDriver) -> None:
    run = notebook.run("%%unshare --map-user 5\nos.chroot('/')")
    assert run.error is not None
    assert run.error["ename"] == "PermissionError"


@root_only
def test_another_user_still_goes_where_a_descriptor_leads(
    kernel: KernelDriver, tmp_path: Path
) -> None:
    kernel.run(f"{WAYS}\njail = {str(tmp_path)!r}", raise_error=True)
    code = "held = os.open('/', os.O_RDONLY)\nby_chroot(jail)\nos.setuid(65534)\nos.fchdir(held)"
    assert value(kernel, f"%%unshare --mount\n{code}\nup()") == Path("/").stat().st_ino
    run = kernel.run(f"%%unshare --mount\n{code}\nos.chroot('.')")
    assert run.error is not None
    assert run.error["ename"] == "PermissionError"
