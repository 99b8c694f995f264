"""Real refusals of a Linux that allows everything else: bad wishes, files and programs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.notebook.refusing import one_message, refused
from tests.support.skips import needs, probe, root_only

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from tests.support.kernel_driver import KernelDriver


@probe
def binfmt_per_user_namespace() -> str | None:
    """Linux 6.7 has a binfmt_misc for each user namespace."""
    version = tuple(int(part) for part in os.uname().release.split(".")[:2])
    return None if version >= (6, 7) else "Linux before 6.7"


# Magic line; then words of the message in their order: the call, the errno, why, what to type.
WISHES = [
    ("--user --map-root-user --mount-proc", "mount(|EPERM|PID namespace|Add --pid"),
    ("--mount --mount-proc=/nowhere", "mount(|ENOENT|/nowhere does not exist|mkdir -p /nowhere"),
    ("--mount --mount-proc=/etc/passwd", "mount(|ENOTDIR|/etc/passwd is a file"),
    ("--time --monotonic=-999999999", "monotonic|ERANGE|takes -|to 46116"),
    ("--time --boottime=99999999999", "boottime|ERANGE|takes -|to 46116"),
    ("--user --map-root-user --setgid=0", "setgid(0)|EPERM|denies setgroups|Leave out --setgid=0"),
    ("--user --map-root-user --setuid=5", "setuid(5)|EINVAL|its map has: 0.|--map-users=5"),
    ("--user --map-root-user --wd=/nowhere", "chdir(|ENOENT|/nowhere does not exist"),
    ("--user --map-root-user --wd=/etc/passwd", "chdir(|ENOTDIR|is not a directory"),
    ("--user --map-root-user --root=/nowhere", "chroot(|ENOENT|/nowhere does not exist"),
    ("--user --map-root-user --root=/etc/passwd", "chroot(|ENOTDIR|is not a directory"),
    (
        "--user --map-root-user --root=/etc --wd=/usr",
        "chdir(|ENOENT|/usr does not exist in the new",
    ),
    ("--user --setgroups=deny --map-groups=0:0:1", "setgroups|EPERM|before gid_map|Leave out"),
    ("--user --map-users=0:0:9 --map-users=5:50:9", 'uid_map|EINVAL|"0 0 9" and "5 50 9"|share'),
    ("--uts=/etc", "mount(|ENOTDIR|is a directory|such as /etc/uts"),
    ("--uts=/nowhere/uts", "mount(|ENOENT|does not exist|mkdir -p"),
    ("--uts=/proc/uts", "mount(|ENOENT|Linux gave no further reason; mount(2)"),
]


@pytest.fixture(scope="module")
def kernel(kernel: KernelDriver) -> KernelDriver:
    """The module's kernel, its spawner running: that one stays as long as the kernel."""
    kernel.run("%unshare --user true", raise_error=True)
    return kernel


def in_order(text: str, words: str) -> None:
    """Assert that all words, parted by `|`, stand in the text one after the other."""
    at = 0
    for word in words.split("|"):
        found = text.find(word, at)
        assert found >= 0, f"no {word!r} where it belongs in:\n{text}"
        at = found


@root_only
@pytest.mark.parametrize(("line", "words"), WISHES)
def test_a_wish_that_linux_refuses(kernel: KernelDriver, line: str, words: str) -> None:
    in_order(refused(kernel, f"%%unshare {line}\n1"), words)


@root_only
@needs(binfmt_per_user_namespace)
def test_a_bad_interpreter_line(kernel: KernelDriver) -> None:
    line = "--user --map-root-user --pid --load-interp=nonsense"
    text = refused(kernel, f"%%unshare {line}\n1")
    in_order(text, "register|EINVAL|:name:type:|For example: --load-interp=")


def test_the_names_nearby_are_offered(kernel: KernelDriver, tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    text = refused(kernel, f"%%unshare --user --map-root-user --root={tmp_path}/rotfs\n1")
    in_order(text, "chroot(|ENOENT|rotfs does not exist|There is: rootfs")


@root_only
def test_the_range_of_offsets_is_the_real_one(kernel: KernelDriver) -> None:
    text = refused(kernel, "%%unshare --time --monotonic=-999999999\n1")
    lowest, highest = text.rpartition("takes ")[2].removesuffix(" here.").split(" to ")
    for offset in (int(lowest), int(highest) - 60):  # the clock goes on meanwhile
        assert kernel.run(f"%%unshare --time --monotonic={offset}\n1").status == "ok"
    assert "ERANGE" in refused(kernel, f"%%unshare --time --monotonic={int(highest) + 1}\n1")


def test_nobody_hears_of_children(kernel: KernelDriver) -> None:
    """Linux reaps the children of who ignores SIGCHLD."""
    ignore = "import signal; before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
    kernel.run(ignore, raise_error=True)
    text = one_message(kernel, "%%unshare --user --map-root-user --pid\n1", "NsmagicError")
    in_order(text, "ECHILD|SIGCHLD is ignored|signal.signal(signal.SIGCHLD, signal.SIG_DFL)")
    kernel.run("signal.signal(signal.SIGCHLD, before); del before", raise_error=True)
    kernel.run("%%unshare --user --map-root-user --pid\n1", raise_error=True)


class TestPrograms:
    def test_no_such_program(self, kernel: KernelDriver) -> None:
        text = refused(kernel, "%unshare --user pyhton3 --version")
        in_order(text, "execve(|ENOENT|No directory of PATH has a program pyhton3|python3")

    def test_no_such_path(self, kernel: KernelDriver) -> None:
        in_order(refused(kernel, "%unshare --user /bin/bahs"), "ENOENT|no /bin/bahs here|bash")

    def test_not_executable(self, kernel: KernelDriver, tmp_path: Path) -> None:
        file = tmp_path / "plain"
        file.write_text("#!/bin/sh\n")
        text = refused(kernel, f"%unshare --user {file}")
        in_order(text, f"EACCES|plain is not marked as executable|chmod +x {file}")

    def test_a_directory(self, kernel: KernelDriver) -> None:
        in_order(refused(kernel, "%unshare --user /etc"), "EACCES|/etc is a directory")

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"\0echo hi\n", "ENOEXEC|no first line|#!/bin/sh"),
            (b"\x7fELF\x02\x01\x01" + bytes(60), "ENOEXEC|another machine|file "),
            (b"#!/nowhere/perl\n", "ENOENT|interpreter|/nowhere/perl|head -1"),
            (b"#!/bin/sh\r\n", "ENOENT|interpreter|Windows"),
        ],
        ids=["data", "cut-off", "interpreter", "windows"],
    )
    def test_wrong_content(
        self, kernel: KernelDriver, tmp_path: Path, content: bytes, words: str
    ) -> None:
        file = tmp_path / "program"
        file.write_bytes(content)
        file.chmod(0o755)
        in_order(refused(kernel, f"%unshare --user {file}"), words)

    def test_a_text_without_a_first_line_is_for_sh(
        self, kernel: KernelDriver, tmp_path: Path
    ) -> None:
        file = tmp_path / "program"
        file.write_text("echo $0 $1\n")
        file.chmod(0o755)
        assert kernel.run(f"%unshare --user {file} one").stdout == f"{file} one\n"

    def test_a_root_without_the_loader(self, kernel: KernelDriver, tmp_path: Path) -> None:
        (tmp_path / "bin").mkdir()
        shutil.copy("/bin/sh", tmp_path / "bin/sh")
        text = refused(kernel, f"%unshare --user --map-root-user --root={tmp_path} /bin/sh")
        in_order(text, "ENOENT|its loader /lib|is not in the new root|%rootfs")

    def test_a_root_without_the_program(self, kernel: KernelDriver, tmp_path: Path) -> None:
        text = refused(kernel, f"%unshare --user --map-root-user --root={tmp_path} /bin/sh")
        in_order(text, f"ENOENT|no /bin in the new root {tmp_path}")

    def test_an_environment_too_large(self, kernel: KernelDriver) -> None:
        kernel.run("import os\nos.environ['LARGE'] = 'x' * 140_000", raise_error=True)
        in_order(refused(kernel, "%unshare --user /bin/true"), "E2BIG|128 KiB|--clear-env")
        kernel.run("%unshare --user --clear-env /bin/true", raise_error=True)
        kernel.run("del os.environ['LARGE'], os", raise_error=True)


@pytest.mark.parametrize(
    ("module", "line", "said"),
    [
        ("magics", "unshare --uts true", "the cell had not begun"),
        ("comparing", "sxs host,host -- true", "stopped before it was done"),
    ],
)
def test_a_stop_before_there_is_a_stop_button(
    ip: InteractiveShell, monkeypatch: pytest.MonkeyPatch, module: str, line: str, said: str
) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"nsmagic.notebook.{module}.StopButton", stopped)
    with pytest.raises(KeyboardInterrupt) as caught:
        ip.run_line_magic(*line.split(" ", 1))
    shown: Any = caught.value
    assert said in "".join(shown._render_traceback_())
