"""`%rootfs` and the famous ENOENT, through a real kernel, as root and as an ordinary user."""

from __future__ import annotations

import ast
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nsmagic.linux.needs import missing_hint, needs
from tests.notebook.refusing import refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kernel_driver import KernelDriver

pytestmark = pytest.mark.linux

REGISTER = """\
from nsmagic.notebook.rootfs import RootfsMagics
get_ipython().register_magics(RootfsMagics)"""
BASH = "/bin/bash"
LOADER = needs(BASH).loaders[0]
TINFO = next(Path(path).name for path in needs(BASH).libraries if "tinfo" in path)


@pytest.fixture(scope="module", params=["kernel", "user_kernel"])
def notebook(request: pytest.FixtureRequest) -> KernelDriver:
    """A notebook of root's, and one of an ordinary user's."""
    driver: KernelDriver = request.getfixturevalue(request.param)
    driver.run(REGISTER, raise_error=True)
    driver.run("%unshare --user true", raise_error=True)
    return driver


@pytest.fixture
def folder(notebook: KernelDriver) -> Iterator[Path]:
    """An empty directory, the notebook's current one for a test."""
    code = "import os, tempfile\nbefore = os.getcwd()\nos.chdir(tempfile.mkdtemp())\nos.getcwd()"
    found = value(notebook, code)
    yield Path(found)
    notebook.run("os.chdir(before)\ndel before", raise_error=True)
    shutil.rmtree(found)


def value(notebook: KernelDriver, code: str) -> Any:  # noqa: ANN401 - whatever it is
    run = notebook.run(code, raise_error=True)
    assert run.result is not None
    return ast.literal_eval(run.result["text/plain"])


def build(notebook: KernelDriver, line: str) -> str:
    run = notebook.run(f"%rootfs {line}", raise_error=True)
    assert run.result is not None
    assert run.stdout == run.stderr == ""
    assert "<table>" in run.result["text/html"]
    return str(run.result["text/plain"])


def complaint(notebook: KernelDriver, line: str) -> str:
    """Run a line that must be refused with a UsageError; return that."""
    run = notebook.run(f"get_ipython().run_line_magic('rootfs', {line!r})")
    assert run.status == "error"
    assert run.stderr.startswith("UsageError: rootfs")
    return run.stderr


def below(folder: Path, path: str) -> Path:
    return folder / "appdir" / path.lstrip("/")


def hand_over(folder: Path) -> None:
    """Give what the test made below a directory to the directory's owner."""
    for path in folder.rglob("*"):
        os.chown(path, folder.stat().st_uid, folder.stat().st_gid, follow_symlinks=False)


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything in a directory, with its inode and the time of its last change."""
    found = [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
    return {str(path): (path.lstat().st_ino, path.lstat().st_ctime_ns) for path in found}


def test_the_recipe_of_the_notes(notebook: KernelDriver, folder: Path) -> None:
    shown = build(notebook, "appdir bash ls cat")
    assert all(name in shown for name in ("bash", "ls", "cat", Path(LOADER).name, TINFO))
    run = notebook.run("%%unshare --root appdir /bin/bash\nls / && echo hi | cat", raise_error=True)
    assert sorted(run.stdout.split()) == sorted([*os.listdir(folder / "appdir"), "hi"])
    for name in ("bin", "lib", "lib64"):
        assert below(folder, name).is_symlink() == Path("/", name).is_symlink()


def test_a_second_run_touches_nothing(notebook: KernelDriver, folder: Path) -> None:
    build(notebook, "appdir bash")
    before = tree(folder)
    shown = build(notebook, "appdir bash")
    assert "copied: 0 files" in shown
    assert tree(folder) == before


def test_a_dry_run_makes_nothing(notebook: KernelDriver, folder: Path) -> None:
    assert "would be copied" in build(notebook, "appdir bash --dry-run")
    assert os.listdir(folder) == []
    notebook.run("root = %rootfs -n appdir bash", raise_error=True)
    paths = value(notebook, "[entry.path for entry in root.entries]")
    assert any(path.endswith("/bash") for path in paths)
    for at, path in enumerate(paths):
        assert str(Path(path).parent) in ("/", *paths[:at])
    size, missing = value(notebook, "root.size, root.missing")
    assert size > Path(BASH).stat().st_size
    assert missing == ()
    notebook.run("del root", raise_error=True)


def test_a_notebook_that_is_killed_leaves_nothing_half_copied(
    notebook: KernelDriver, folder: Path
) -> None:
    run = notebook.run(
        "if not (pid := os.fork()):\n"
        "    import signal\n"
        "    os.sendfile = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    get_ipython().run_line_magic('rootfs', 'appdir bash')\n"
        "os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])",
        raise_error=True,
    )
    assert run.text == "-9"
    assert (folder / "appdir").is_dir()
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_without_the_loader(notebook: KernelDriver, folder: Path) -> None:
    build(notebook, "appdir bash")
    (below(folder, LOADER).parent.resolve() / Path(LOADER).name).unlink()
    text = refused(notebook, f"%unshare --root appdir {BASH} -c true")
    assert f"{BASH} is there, but its loader {LOADER}" in text
    fix = next(line for line in text.splitlines() if line.startswith("%rootfs"))
    build(notebook, fix.removeprefix("%rootfs ").partition("   ")[0])
    notebook.run(f"%unshare --root appdir {BASH} -c true", raise_error=True)


def test_without_a_library(notebook: KernelDriver, folder: Path) -> None:
    build(notebook, "appdir bash")
    (library,) = (path for path in folder.rglob(TINFO) if path.is_symlink() or path.is_file())
    library.unlink()
    run = notebook.run(f"%unshare --root appdir {BASH} -c true")
    assert run.error is not None
    assert "status 127" in run.error["evalue"]
    assert TINFO in run.stderr
    hint = missing_hint(str(folder / "appdir"), BASH)
    assert f"{BASH} is there, but its loader finds no {TINFO} in the new root" in hint
    build(notebook, f"appdir {BASH}")
    assert missing_hint(str(folder / "appdir"), BASH) == ""


def test_without_the_interpreter_of_a_script(notebook: KernelDriver, folder: Path) -> None:
    (folder / "appdir").mkdir()
    script = folder / "appdir/hello"
    script.write_text(f"#!{BASH}\necho hello\n")
    script.chmod(0o755)
    hand_over(folder)
    text = refused(notebook, "%unshare --root appdir /hello")
    assert f"/hello is there, but the interpreter in its first line, {BASH}, is not" in text
    assert "%rootfs appdir /hello" in text
    assert "hello" in build(notebook, "appdir /hello")  # which is no program outside
    run = notebook.run("%unshare --root appdir /hello", raise_error=True)
    assert run.stdout == "hello\n"
    (below(folder, LOADER).parent.resolve() / Path(LOADER).name).unlink()
    text = refused(notebook, "%unshare --root appdir /hello")
    assert f"{BASH} is there, but its loader {LOADER}" in text


def test_a_tree_begun_by_hand_is_completed(notebook: KernelDriver, folder: Path) -> None:
    (folder / "appdir/bin").mkdir(parents=True)
    (folder / "appdir/lib64").mkdir()
    shutil.copy(BASH, folder / "appdir/bin")
    hand_over(folder)
    build(notebook, "appdir bash ls")
    run = notebook.run("%unshare --root appdir /bin/bash -c 'ls /bin'", raise_error=True)
    assert run.stdout.split() == ["bash", "ls"]
    assert not (folder / "appdir/bin").is_symlink()


def test_what_differs_is_replaced_only_by_force(notebook: KernelDriver, folder: Path) -> None:
    build(notebook, "appdir cat")
    (copy,) = (folder / "appdir").rglob("cat")
    copy.write_text("mine")
    before = tree(folder)
    text = complaint(notebook, "appdir bash cat")
    assert "cat differs from this machine's; nothing was copied" in text
    assert "%rootfs --force appdir bash cat " in text
    assert tree(folder) == before
    build(notebook, "--force appdir bash cat")
    assert copy.read_bytes() == Path("/bin/cat").read_bytes()


def test_no_link_leads_out(notebook: KernelDriver, folder: Path) -> None:
    (folder / "outside").mkdir()
    (folder / "outside").chmod(0o777)
    for target in (folder / "outside", Path("/usr")):
        shutil.rmtree(folder / "appdir", ignore_errors=True)
        (folder / "appdir").mkdir()
        (folder / "appdir/usr").symlink_to(target)
        (folder / "appdir/lib").symlink_to(target)
        hand_over(folder)
        assert "appdir/" in complaint(notebook, "--force appdir bash")
    assert os.listdir(folder / "outside") == []


def test_modes(notebook: KernelDriver, folder: Path) -> None:
    build(notebook, "appdir su")
    copy = below(folder, "/bin/su")
    assert copy.stat().st_mode & 0o7777 == Path("/bin/su").stat().st_mode & 0o777
    assert copy.stat().st_uid == folder.stat().st_uid
    assert all(path.stat().st_mode & 0o777 == 0o755 for path in folder.rglob("*") if path.is_dir())


def test_other_files_too(notebook: KernelDriver, folder: Path) -> None:
    (folder / "data/sub").mkdir(parents=True)
    (folder / "data/sub/file").write_text("x")
    (folder / "data/link").symlink_to("sub/file")
    (folder / "data/dangling").symlink_to("nowhere")
    os.mkfifo(folder / "fifo")
    build(notebook, "appdir --with /etc/passwd --with data")
    assert below(folder, "/etc/passwd").read_bytes() == Path("/etc/passwd").read_bytes()
    copy = below(folder, str(folder / "data"))
    assert (copy / "link").read_text() == "x"
    assert (copy / "dangling").is_symlink()
    assert "neither a file" in complaint(notebook, "appdir --with fifo")
    assert "there is no" in complaint(notebook, "appdir --with nowhere")
    assert "lies in" in complaint(notebook, "appdir/deep --with .")


def test_bad_input(notebook: KernelDriver, folder: Path) -> None:
    (folder / "file").write_text("")
    assert "file is a file" in complaint(notebook, "file bash")
    assert "root of this machine" in complaint(notebook, "/ bash")
    assert "root of this machine" in complaint(notebook, "/usr/.. bash")
    assert "there is: bash" in complaint(notebook, "appdir bahs")
    assert "no program ./bash" in complaint(notebook, "appdir ./bash")
    assert r"ba\nsh" in complaint(notebook, "appdir 'ba\nsh'")
    assert r"'a\nb' has characters" in complaint(notebook, "'a\nb' bash")
    assert os.listdir(folder) == ["file"]


def test_no_permission(user_kernel: KernelDriver, tmp_path: Path) -> None:
    user_kernel.run(REGISTER, raise_error=True)
    run = user_kernel.run("%rootfs /etc/appdir bash")
    assert run.error is not None
    assert run.error["evalue"] == "rootfs: /etc/appdir: Permission denied (EACCES)"
    assert run.error["ename"] == "NsmagicError"


def test_help(kernel: KernelDriver) -> None:
    kernel.run(REGISTER, raise_error=True)
    assert kernel.run("%rootfs --help").stdout.startswith("rootfs [options] <dir> <program>...")


def test_a_directory_with_many_files_is_one_line(notebook: KernelDriver, folder: Path) -> None:
    (folder / "data/deep").mkdir(parents=True)
    for number in range(60):
        (folder / f"data/deep/{number}").write_text("x" * 10)
    hand_over(folder)
    shown = build(notebook, "appdir bash --with data")
    (line,) = (line for line in shown.splitlines() if "/ …" in line)
    assert line.split()[-4:] == ["600", "B", "60", "files"]
    assert "bash" in shown
    assert len(list((folder / "appdir").rglob("deep/*"))) == 60
