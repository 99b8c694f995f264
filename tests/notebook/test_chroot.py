"""`%%chroot` through a real kernel, as root and as an ordinary user."""

from __future__ import annotations

import ast
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nsmagic.linux import needs as elf
from tests.notebook.refusing import refused
from tests.support import sandboxes
from tests.support.kernel_driver import KernelDriver
from tests.support.skips import needs, root_only

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.linux

BASH = "/bin/bash"
LOADER = elf.needs(BASH).loaders[0]
ADDED = "added --user --map-root-user: this needs CAP_SYS_CHROOT, which you lack here"
IN_CELL = """\
import os
os.stat('/').st_ino, os.getcwd(), sorted(os.listdir('/')), os.getuid()"""
# Descriptors that lead to a directory: a way out of the root.
WAYS_OUT = """\
found = []
for fd in range(256):
    try:
        os.fchdir(fd)
        found.append(fd)
    except OSError:
        pass
found"""


@pytest.fixture(scope="module", params=["kernel", "user_kernel"])
def notebook(request: pytest.FixtureRequest) -> Iterator[KernelDriver]:
    """A notebook of root's and one of an ordinary user's, in a folder with a root `appdir`."""
    driver: KernelDriver = request.getfixturevalue(request.param)
    driver.run("import os, tempfile\nos.chdir(tempfile.mkdtemp())", raise_error=True)
    driver.run("%rootfs appdir bash sh ls id", raise_error=True)
    first = driver.run("%chroot appdir /bin/ls", raise_error=True)
    told = [shown["text/plain"] for shown in first.displays]
    ordinary = request.param == "user_kernel" or os.geteuid() != 0
    assert told == ([ADDED] if ordinary else [])
    yield driver
    folder = value(driver, "os.getcwd()")
    driver.run("os.chdir('/')", raise_error=True)
    shutil.rmtree(folder)


def value(notebook: KernelDriver, code: str) -> Any:  # noqa: ANN401 - whatever it is
    run = notebook.run(code, raise_error=True)
    assert run.result is not None, run
    return ast.literal_eval(run.result["text/plain"])


def appdir(notebook: KernelDriver) -> Path:
    return Path(value(notebook, "os.getcwd()")) / "appdir"


def usage_error(notebook: KernelDriver, cell: str) -> str:
    run = notebook.run(cell)
    assert run.status == "error"
    assert run.stderr.startswith("UsageError: "), run
    return run.stderr


def test_the_recipe_of_the_notes(notebook: KernelDriver) -> None:
    run = notebook.run("%%chroot appdir /bin/bash\npwd\ncd ..\ncd ../..\npwd\nls /\n")
    run.raise_error()
    assert run.stdout.split() == ["/", "/", *sorted(os.listdir(appdir(notebook)))]
    assert run.stderr == ""


def test_a_python_body_lives_in_the_root(notebook: KernelDriver) -> None:
    root = appdir(notebook)
    inode, cwd, names, uid = value(notebook, f"%%chroot appdir\n{IN_CELL}")
    assert (inode, cwd, names) == (root.stat().st_ino, "/", sorted(os.listdir(root)))
    assert uid == 0  # an ordinary user is root of the user namespace that was added
    assert value(notebook, "os.getcwd()") == str(root.parent)


def test_no_descriptor_of_the_notebook_leads_out(notebook: KernelDriver) -> None:
    assert value(notebook, f"%%chroot appdir\n{WAYS_OUT}") == []


def test_line_magic_and_stack(notebook: KernelDriver) -> None:
    run = notebook.run("%chroot appdir ls /usr", raise_error=True)
    assert run.stdout.split() == sorted(os.listdir(appdir(notebook) / "usr"))
    stacked = "%%unshare --pid --uts\n%%chroot appdir /bin/bash\necho $$ $PWD"
    assert notebook.run(stacked, raise_error=True).stdout == "1 /\n"
    (appdir(notebook) / "proc").mkdir(exist_ok=True)
    run = notebook.run("%%chroot appdir\n%%unshare -p --mount-proc\nprint(os.listdir('/proc'))")
    run.raise_error()
    listed = ast.literal_eval(run.stdout)
    assert [int(name) for name in listed if name.isdecimal()] == [1]
    (appdir(notebook) / "proc").rmdir()


def test_without_the_loader(notebook: KernelDriver) -> None:
    notebook.run("%rootfs bare bash", raise_error=True)
    bare = appdir(notebook).with_name("bare")
    (bare / LOADER.lstrip("/")).parent.resolve().joinpath(Path(LOADER).name).unlink()
    text = refused(notebook, "%%chroot bare /bin/bash\ntrue")
    assert f"/bin/bash is there, but its loader {LOADER}" in text
    assert "%rootfs bare /bin/bash" in text
    assert "in the new root bare" in refused(notebook, "%chroot bare nothing-such")


def test_shell_commands_of_a_python_body(notebook: KernelDriver) -> None:
    cell = "%%chroot appdir\nprint('a')\n!echo b; ls /usr\nprint('c')\nx = !echo d\nprint(x[0])"
    run = notebook.run(cell, raise_error=True)
    below = sorted(os.listdir(appdir(notebook) / "usr"))
    assert run.stdout.replace("\r", "").split() == ["a", "b", *below, "c", "d"]
    assert notebook.run("%%chroot appdir\n%%bash\necho $PWD", raise_error=True).stdout == "/\n"
    notebook.run("%rootfs only ls", raise_error=True)
    error = notebook.run("%%chroot only\n!ls").error
    assert error is not None
    assert "this root does not have: %rootfs DIR" in "".join(error["traceback"])


def test_what_this_machine_has_can_be_copied(notebook: KernelDriver) -> None:
    text = refused(notebook, "%%chroot appdir cat\nx")
    assert text.endswith("%rootfs appdir cat   copies it there.")
    text = refused(notebook, "%%chroot --fresh appdir\n1")
    assert "%rootfs appdir python3   copies it there." in text
    assert len(text) < 500
    assert "Programs with such a name: bash" in refused(notebook, "%%chroot appdir bsh\nls")


def test_refusals_of_the_root(notebook: KernelDriver) -> None:
    folder = appdir(notebook).parent
    assert f"{folder}/nowhere does not exist" in refused(notebook, "%%chroot nowhere\n1")
    for path in ("$HOME", "~", "~/x"):
        assert "~ and $NAME are not expanded" in refused(notebook, f"%%chroot {path}\n1")
    assert "appdir/bin/bash is not a directory" in refused(notebook, "%%chroot appdir/bin/bash\n1")


def test_bad_lines(notebook: KernelDriver) -> None:
    assert "which directory" in usage_error(notebook, "%%chroot\n1")
    assert "which directory" in usage_error(notebook, "%chroot --userspec=5")
    text = usage_error(notebook, "%%chroot appdir")
    assert "%chroot appdir /bin/ls /" in text
    text = usage_error(notebook, "%%unshare --root appdir\n%%chroot appdir\n1")
    assert "--root and %%chroot both change the root" in text
    assert "twice" in usage_error(notebook, "%%chroot /\n%%chroot appdir\n1")
    text = usage_error(notebook, "%%chroot appdir --explain\n1")
    assert "Options go before it" in text
    assert "takes no value" in usage_error(notebook, "%%chroot --skip-chdir=1 /\n1")
    text = usage_error(notebook, "%%unshare -S 5\n%%chroot --userspec=5:5 appdir\n1")
    assert "--userspec of chroot excludes --setuid" in text
    assert "userspec" in notebook.run("%%chroot --help", raise_error=True).stdout


def test_skip_chdir_only_where_the_root_stays(notebook: KernelDriver) -> None:
    text = usage_error(notebook, "%%chroot --skip-chdir appdir\n1")
    assert "--skip-chdir is permitted only where the new root is the old /" in text
    here = value(notebook, "os.getcwd()")
    assert value(notebook, "%%chroot --skip-chdir /usr/..\nos.getcwd()") == here
    assert value(notebook, "%%chroot /usr/..\nos.getcwd()") == "/"


@pytest.mark.parametrize("notebook", ["user_kernel"], indirect=True)
def test_ids_in_a_user_namespace_with_one_id(notebook: KernelDriver) -> None:
    notebook.run("import os", raise_error=True)
    text = refused(notebook, "%%chroot --userspec=+5:+5 /\n1")
    assert "denies setgroups(2)" in text
    assert "--map-auto" in text
    text = refused(notebook, "%%chroot --userspec=:+5 /\n1")
    assert "That id does not exist in the new user namespace" in text


@root_only
def test_who_the_cell_is(kernel: KernelDriver, tmp_path: Path) -> None:
    kernel.run(f"import os\n%rootfs {tmp_path}/root bash id", raise_error=True)
    for path in (tmp_path.parent, tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)
    (tmp_path / "root/etc").mkdir()
    (tmp_path / "root/etc/passwd").write_text("kim:x:1500:1600::/:/bin/sh\n")
    (tmp_path / "root/etc/group").write_text("lab:x:1700:kim\nkim:x:1600:\n")
    root = tmp_path / "root"
    who = "\n(os.getresuid(), os.getresgid(), sorted(os.getgroups()))"
    kim = ((1500,) * 3, (1600,) * 3, [1600, 1700])
    assert value(kernel, f"%%chroot --userspec=kim {root}{who}") == kim
    got = value(kernel, f"%%chroot --userspec=+7:lab --groups=kim,+9 {root}{who}")
    assert got == ((7,) * 3, (1700,) * 3, [9, 1600])
    run = kernel.run(f"%%chroot --userspec=kim: {root} /bin/bash\nid", raise_error=True)
    assert run.stdout == "uid=1500(kim) gid=1600(kim) groups=1600(kim),1700(lab)\n"
    text = refused(kernel, f"%%chroot --userspec=kimm {root}\n1")
    assert "there is no user 'kimm' (ENOENT)" in text
    assert "/etc/passwd" in text
    assert "--userspec=+1000:+1000" in text
    text = refused(kernel, f"%%chroot --userspec=+99 {root}\n1")
    assert "no group is given, and there is no user 99 to take it from" in text
    # What chroot(1) warns of: not root any more, a second chroot(2) is refused.
    run = kernel.run(f"%%chroot --userspec=kim {root}\nos.chroot('/')")
    assert run.error is not None
    assert run.error["ename"] == "PermissionError"


def test_explained(notebook: KernelDriver) -> None:
    run = notebook.run("%%chroot --dry-run --userspec=5:6 --groups=7,8 appdir /bin/ls")
    run.raise_error()
    (shown,) = (display["text/plain"] for display in run.displays)
    shown = re.sub(r"\s+", " ", shown)
    assert "chroot --groups=7,8 --userspec=5:6 appdir /bin/ls # all of it at once" in shown
    for text in ("setgroups(2, [7, 8])", "setgid(6)", "setuid(5)", "# on the line"):
        assert text in shown


@root_only
@needs(sandboxes.sandboxes_work)
def test_root_in_docker_has_the_capability_and_needs_no_user_namespace(tmp_path: Path) -> None:
    with KernelDriver(prefix=sandboxes.docker_default([]), cwd=tmp_path) as docker:
        docker.run("import os\n%rootfs appdir bash id", raise_error=True)
        run = docker.run("%%chroot --userspec=+5:+6 --groups= appdir bash\nid", raise_error=True)
        assert run.stdout == "uid=5 gid=6 groups=6\n"
        assert run.displays == []
        assert value(docker, "%%chroot appdir\nos.listdir('/')").count("usr") == 1
