"""Real refusals where Linux or the account allows less: seccomp, limits, depth, chroot, users."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.notebook import narrow
from tests.notebook.refusing import one_message, refused
from tests.notebook.test_refusals import in_order
from tests.support import sandboxes
from tests.support.kernel_driver import KernelDriver
from tests.support.skips import needs, probe, root_only

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.support.user import Account

NEW_USER = "%%unshare --user --map-root-user\n1"
DOCKER = "unshare(CLONE_NEWUSER|EPERM|seccomp filter|Docker|--security-opt seccomp=unconfined"


@probe
def newuidmap() -> str | None:
    """newuidmap(1) is there."""
    return None if shutil.which("newuidmap") else "newuidmap is not installed"


@needs(sandboxes.sandboxes_work)
class TestSandboxes:
    def test_docker(self) -> None:
        with KernelDriver(prefix=sandboxes.docker_default([])) as kernel:
            in_order(refused(kernel, NEW_USER), DOCKER)
            in_order(refused(kernel, "%unshare --user true"), DOCKER)
            text = refused(kernel, "%%unshare --uts --strict\n1")
            in_order(text, "unshare(CLONE_NEWUTS|EPERM|seccomp")

    def test_docker_as_a_user(self, as_user: Account) -> None:
        with KernelDriver(prefix=sandboxes.docker_default([]), account=as_user) as kernel:
            in_order(refused(kernel, NEW_USER), DOCKER)

    def test_no_user_namespace_left(self) -> None:
        with KernelDriver(prefix=sandboxes.userns_exhausted([])) as kernel:
            text = refused(kernel, NEW_USER)
            in_order(
                text, "ENOSPC|limit in /proc/sys/user is 0|sysctl -w user.max_user_namespaces="
            )
            text = refused(kernel, "%unshare --mount-proc true")  # of a PID namespace further out
        in_order(text, 'mount("proc"|EPERM|does not belong to|Add --pid')

    def test_a_covered_proc(self) -> None:
        with KernelDriver(prefix=sandboxes.masked_proc([])) as kernel:
            text = refused(kernel, "%%unshare --user --map-root-user --pid --mount-proc\n1")
        in_order(text, 'mount("proc"|EPERM|/proc are covered|/proc/sys|systempaths=unconfined')


@root_only
@pytest.mark.parametrize(
    ("prefix", "line", "words"),
    [
        (narrow.prefix("deep_user"), "--user --map-root-user", "ENOSPC|nested too deep (32|lsns"),
        (narrow.prefix("deep_pid"), "--pid", "ENOSPC|33 PID namespaces deep|further out"),
        (narrow.prefix("chrooted"), "--user", "unshare(|EPERM|runs in a chroot|outside"),
        (narrow.prefix("chrooted"), "--mount", "mount(|EINVAL|/ is no mount point|unchanged"),
        (narrow.prefix("few_ids"), "--user --map-users=0:500:1", "uid_map|EPERM|must exist there"),
        (narrow.prefix("few_ids"), "--setuid=500", "setuid(500)|EINVAL|notebook's own user"),
        (["unshare", "--user"], "--user", "unshare(|EPERM|Your uid 65534|uid_map"),
        (
            ["setpriv", "--bounding-set=-setfcap"], "--user --map-users=0:0:1",
            "uid_map|EPERM|CAP_SETFCAP|--cap-add",
        ),
        (
            ["setpriv", "--bounding-set=-sys_admin"], "--uts --strict",
            "unshare(CLONE_NEWUTS)|EPERM|need CAP_SYS_ADMIN|--strict",
        ),
        (
            ["setpriv", "--bounding-set=-sys_chroot"], "--root=/etc --strict",
            "chroot(|EPERM|CAP_SYS_CHROOT|--user",
        ),
        (
            ["setpriv", "--bounding-set=-setuid"], "--setuid=5",
            "setuid(5)|EPERM|CAP_SETUID|--user",
        ),
        (
            ["setpriv", "--bounding-set=-sys_time"], "--time --monotonic=5",
            "timens_offsets|EPERM|CAP_SYS_TIME|--user",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "|" not in value else "",
)  # fmt: skip
def test_as_root(prefix: Sequence[str], line: str, words: str) -> None:
    with KernelDriver(prefix=prefix) as kernel:
        in_order(refused(kernel, f"%%unshare {line}\n1"), words)


@root_only
def test_a_mount_namespace_on_a_shared_mount(tmp_path: Path) -> None:
    with KernelDriver(prefix=["unshare", "--mount", "--propagation=shared"]) as kernel:
        text = refused(kernel, f"%%unshare --mount={tmp_path}/mnt\n1")
    in_order(text, "mount(|EINVAL|shared|mount --make-private")


@root_only
def test_a_file_on_a_read_only_mount() -> None:
    with KernelDriver(prefix=sandboxes.readonly_cgroup([])) as kernel:
        text = refused(kernel, "%%unshare --uts=/sys/fs/cgroup/uts\n1")
    in_order(text, "mount(|EROFS|mounted read-only|/run")


@root_only
def test_no_proc() -> None:
    with KernelDriver(prefix=["unshare", "--mount"]) as kernel:
        kernel.run("!umount -l /proc", raise_error=True)
        text = one_message(kernel, NEW_USER, "NsmagicError")
    in_order(text, "could not begin|ENOENT|Nothing is mounted on /proc|mount -t proc proc /proc")


@root_only
def test_no_process_in_a_dead_pid_namespace(fresh_kernel: KernelDriver) -> None:
    leave = "import ctypes, os\nctypes.CDLL(None).unshare(0x20000000), os.system('true')"
    fresh_kernel.run(leave, raise_error=True)
    text = one_message(fresh_kernel, NEW_USER, "NsmagicError")
    in_order(text, "could not begin|ENOMEM|PID 1 has ended|Restart the notebook's kernel")


@pytest.fixture(scope="module")
def user_kernel(user_kernel: KernelDriver) -> KernelDriver:
    """The user's kernel, its spawner running: that one stays as long as the kernel."""
    user_kernel.run("%unshare --user true", raise_error=True)
    return user_kernel


class TestUser:
    def test_no_more_processes(self, as_user: Account) -> None:
        with KernelDriver(account=as_user) as kernel:
            limit = "import resource as r\nr.setrlimit(r.RLIMIT_NPROC, (1, 1))"
            kernel.run(limit, raise_error=True)
            text = one_message(kernel, NEW_USER, "NsmagicError")
        in_order(text, "could not begin|EAGAIN|ulimit -u is 1|pids.max")

    def test_a_closed_directory(self, user_kernel: KernelDriver, as_user: Account) -> None:
        closed = as_user.home / "closed"
        closed.mkdir(mode=0)
        for path in (closed, closed / "in" / "it"):
            text = refused(user_kernel, f"%%unshare --user --wd={path}\n1")
            in_order(text, f"chdir(|EACCES|You may not enter {closed}:|ls -ld {closed} ")
        more = f"import os\nold, os.environ['PATH'] = os.environ['PATH'], '{closed}:/usr/bin:/bin'"
        user_kernel.run(more, raise_error=True)
        text = refused(user_kernel, "%unshare --user lss")
        in_order(text, f"EACCES|No directory of PATH|program lss here|lsns|{closed}, which leads")
        user_kernel.run("os.environ['PATH'] = old", raise_error=True)
        closed.rmdir()

    def test_a_file_for_a_namespace(self, user_kernel: KernelDriver) -> None:
        text = refused(user_kernel, "%%unshare --uts=uts-of-mine\n1")
        in_order(text, "mount(|EPERM|CAP_SYS_ADMIN there|--name NAME")

    @needs(newuidmap)
    def test_ids_that_are_not_granted(self, user_kernel: KernelDriver) -> None:
        text = refused(user_kernel, "%%unshare --user --map-users=0:100000:10\n1")
        in_order(text, "newuidmap|not allowed|EPERM|/etc/subuid grants you|usermod --add-subuids")

    @needs(newuidmap)
    def test_no_new_privileges(self, as_user: Account) -> None:
        with KernelDriver(prefix=["setpriv", "--no-new-privs"], account=as_user) as kernel:
            text = refused(kernel, "%%unshare --user --map-users=0:100000:10\n1")
        in_order(text, "newuidmap|EPERM|no_new_privs|--map-root-user")

    def test_no_newuidmap(self, as_user: Account) -> None:
        with KernelDriver(account=as_user, env={"PATH": "/nowhere"}) as kernel:
            text = refused(kernel, "%%unshare --user --map-users=0:100000:10\n1")
        in_order(text, "newuidmap|ENOENT|not installed|apt install uidmap")


def test_a_notebook_whose_names_are_ascii() -> None:
    env = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    with KernelDriver(env=env) as kernel:
        for line in ("%unshare --user echo é", "%rootfs é true", "%%chroot é\n1"):
            run = kernel.run(line)
            assert run.error is None, run.error
            in_order(run.stderr, "the line has é|ascii here|PYTHONUTF8=1")
        run = kernel.run("%%unshare --user --map-root-user\nprint('é')", raise_error=True)
        assert run.stdout == "é\n"
