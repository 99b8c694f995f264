"""The blocked sandboxes block what they say, shown by real programs in them."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import sandboxes
from tests.support.programs import a_cgroup_mount, output
from tests.support.skips import needs, root_only

if TYPE_CHECKING:
    pass

UNSHARE = (
    "import ctypes, os; c = ctypes.CDLL(None, use_errno=True); print({call}, ctypes.get_errno())"
)


def errno_of(prefix: sandboxes.Prefix, call: str) -> int:
    """The errno of one libc call made by a Python in the sandbox."""
    text = output(prefix([sys.executable, "-c", UNSHARE.format(call=call)]))
    return int(text.split()[-1])


@pytest.mark.linux
@needs(sandboxes.sandboxes_work)
class TestSandboxes:
    @pytest.mark.parametrize(
        "call",
        [
            *(f"c.unshare({flag})" for flag in (0x20000, 0x10000000, 0x40000000, 0x80)),
            "c.setns(os.open('/proc/self/ns/net', 0), 0)",
            "c.mount(b'x', b'/mnt', b'tmpfs', 0, None)",
            "c.umount2(b'/proc', 2)",
            "c.pivot_root(b'/', b'/')",
        ],
    )
    def test_docker_refuses(self, call: str) -> None:
        assert errno_of(sandboxes.docker_default, call) == errno.EPERM

    def test_docker_knows_no_clone3_and_threads_still_start(self) -> None:
        assert errno_of(sandboxes.docker_default, "c.syscall(435, 0, 0)") == errno.ENOSYS
        start = "import threading; t = threading.Thread(target=print, args=['up']); t.start()"
        program = [sys.executable, "-c", start]
        assert output(sandboxes.docker_default(program)) == "up\n"

    def test_docker_capabilities_and_paths(self) -> None:
        status = output(sandboxes.docker_default(["cat", "/proc/self/status"]))
        assert "CapEff:\t00000000a80425fb" in status
        assert "CapBnd:\t00000000a80425fb" in status
        assert "Seccomp:\t2" in status
        assert "Read-only" in output(sandboxes.docker_default(["touch", "/sys/fs/cgroup/x"]))

    def test_no_more_user_namespaces_here_but_outside(self) -> None:
        limit = Path("/proc/sys/user/max_user_namespaces")
        before = limit.read_text()
        exhausted = errno_of(sandboxes.userns_exhausted, "c.unshare(0x10000000)")
        assert exhausted == errno.ENOSPC
        assert limit.read_text() == before

    def test_fresh_proc_is_refused(self) -> None:
        program = [
            "unshare",
            "--user",
            "--map-root-user",
            "--pid",
            "--fork",
            "--mount-proc",
            "true",
        ]
        assert output(program) == ""
        refused = output(sandboxes.masked_proc(program))
        assert refused == "unshare: mount /proc failed: Operation not permitted\n"

    def test_cgroups_cannot_be_made(self) -> None:
        folder = f"{a_cgroup_mount()}/nsmagic-no"
        assert "Read-only file system" in output(sandboxes.readonly_cgroup(["mkdir", folder]))
        assert output(sandboxes.no_cgroup(["ls", "-A", "/sys/fs/cgroup"])) == ""

    @root_only
    def test_the_user_number_stays(self) -> None:
        for prefix in sandboxes.ALL:
            assert output(prefix(["id", "-u"])) == "0\n"

    def test_a_kernel_runs_inside(self) -> None:
        from tests.support.kernel_driver import KernelDriver

        with KernelDriver(prefix=sandboxes.docker_default([])) as kernel:
            run = kernel.run(
                "import os; os.unshare(os.CLONE_NEWNS)"
                if sys.version_info >= (3, 12)
                else "!unshare --mount true"
            )
        assert "not permitted" in run.stdout + str(run.error)
