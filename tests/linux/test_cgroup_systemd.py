"""A machine that runs systemd, booted in a namespace of the guest: a login session, a service.

systemd is PID 1 of a PID namespace, `c` is the root of its cgroups; logind, the user manager and
both buses are the real ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nsmagic.linux.cgroups.freezing import remove_directory
from tests.linux.test_cgroup_places import TRY
from tests.support.skips import needs, probe, root_only

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.linux
PROJECT = Path(__file__).resolve().parents[2]
TOP = Path("/sys/fs/cgroup/c")
BOOT = """
mkdir {top} && echo 0 > {top}/cgroup.procs &&
exec unshare --mount --mount-proc --cgroup --propagation private sh -c '
mount --bind {top} /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/systemd/system
ln -s /dev/null /run/systemd/system/systemd-tmpfiles-setup.service  # it would empty /tmp
exec env -i container=lxc PATH=$PATH /usr/lib/systemd/systemd --unit=basic.target \
  --log-target=null --show-status=false'
"""
# A process of the guest moves into systemd's cgroups, becomes the user, and tries.
LOGIN = """
mkdir -p {top}/outside && echo 0 > {top}/outside/cgroup.procs &&
exec nsenter --target {pid} --all systemd-run --quiet --scope --unit={unit} --slice={slice} \
  setpriv --reuid={uid} --regid={uid} --clear-groups env HOME=/tmp USER=stud PYTHONPATH={project} \
  XDG_RUNTIME_DIR=/run/user/{uid} {bus} "$@"
"""


@probe
def guest_with_systemd() -> str | None:
    """Are we in a guest of our own, and is systemd installed?"""
    if not Path("/vmjob").exists():
        return "no cgroup v2 controllers here that are the test's alone"
    programs = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd-logind", "/usr/bin/dbus-daemon")
    here = all(Path(name).exists() for name in programs)
    return None if here else "systemd and dbus-daemon are not installed"


class Machine:
    """The booted systemd and the user `uid`, whose manager runs."""

    def __init__(self) -> None:
        everything = " ".join(f"+{name}" for name in ("cpu", "io", "memory", "pids"))
        (TOP.parent / "cgroup.subtree_control").write_text(everything)
        subprocess.run(["useradd", "stud"], check=True)
        self.uid = int(subprocess.check_output(["id", "-u", "stud"]))
        self._unshare = subprocess.Popen(
            ["unshare", "--pid", "--fork", "sh", "-c", BOOT.format(top=TOP)],
            stdin=subprocess.DEVNULL,
        )
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children")
        self.pid = self._when(lambda: int(children.read_text()))
        self._when(lambda: Path(f"/proc/{self.pid}/root/run/systemd/private").lstat())
        self.inside("systemctl", "start", "dbus.socket", f"user@{self.uid}")

    def _when(self, there: Any) -> Any:  # noqa: ANN401
        deadline = time.monotonic() + 60
        while True:
            try:
                return there()
            except (ValueError, OSError):
                assert time.monotonic() < deadline
                time.sleep(0.05)  # systemd tells nobody outside when it has come that far

    def inside(self, *command: str) -> None:
        """Run a program as root in it."""
        subprocess.run(["nsenter", "--target", str(self.pid), "--all", *command], check=True)

    def tried(self, unit: str, slice_: str, bus: str = "") -> dict[str, Any]:
        """What TRY says in a scope."""
        script = LOGIN.format(
            top=TOP, pid=self.pid, unit=unit, slice=slice_, uid=self.uid, project=PROJECT, bus=bus
        )
        done = subprocess.run(
            ["sh", "-c", script, "sh", sys.executable, "-c", TRY],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def end(self) -> None:
        """Kill all of it, remove its groups."""
        (TOP / "cgroup.kill").write_text("1")
        self._unshare.wait()
        remove_directory(TOP, time.monotonic() + 10)
        subprocess.run(["userdel", "stud"], check=True)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    booted = Machine()
    yield booted
    booted.end()


@root_only
@needs(guest_with_systemd)
class TestSystemd:
    def test_a_kernel_of_a_login_session_gets_a_scope(self, machine: Machine) -> None:
        said = machine.tried("session-7", f"user-{machine.uid}.slice")
        assert said["before"].endswith(f"/user-{machine.uid}.slice/session-7.scope\n")
        assert "error" not in said, said
        assert said["kind"] == "systemd"
        assert f"user@{machine.uid}.service" in said["directory"]
        assert said["directory"].endswith(".scope")
        assert "of systemd's user manager" in said["note"]
        assert said["during"].startswith(f"0::{said['directory'].removeprefix('/sys/fs/cgroup')}")
        assert said["limits"] == ["mem=64M", "pids=9"]
        assert said["again"] == "sibling"  # also where systemd's mark is one that only root reads

    def test_without_a_bus_it_is_said(self, machine: Machine) -> None:
        bus = "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent"
        said = machine.tried("session-8", f"user-{machine.uid}.slice", bus)
        assert "the bus unix:path=/nonexistent: " in said["hint"]
        assert said["before"] == said["after"]

    def test_a_service_of_the_system_keeps_its_limits(self, machine: Machine) -> None:
        said = machine.tried("hub", "system.slice")
        assert "is no part of your login session" in said["hint"]
        assert said["before"] == said["after"]

    def test_a_controller_that_users_do_not_get_is_typed_for(self, machine: Machine) -> None:
        said = machine.tried("session-3", f"user-{machine.uid}.slice", "LIMITS=io=9:9:rbps=1M")
        assert f"user@{machine.uid}.service has no io for the groups in it" in said["hint"]
        typed = said["hint"].rpartition("after: ")[2].replace("sudo ", "")
        machine.inside("sh", "-ec", f"{typed} && systemctl restart user@{machine.uid}")
        said = machine.tried("session-4", f"user-{machine.uid}.slice", "LIMITS=io=9:9:rbps=1M")
        assert said["kind"] == "systemd"
        assert "io" in said["controllers"]
        assert "no block device 9:9" in said["error"]

    def test_beside_others_of_the_user_manager(self, machine: Machine) -> None:
        """A terminal of a desktop is a unit of the user manager, and its slice the user's."""
        command = ["systemd-run", "--user", "--quiet", "--scope", "--unit=desktop"]
        done = machine.tried("session-9", f"user-{machine.uid}.slice", " ".join(command))
        assert done["kind"] == "sibling"
        assert done["during"].endswith("/app.slice/desktop.scope\n")
        assert done["limits"] == ["mem=64M", "pids=9"]
        # CPU time is not counted there by itself: a controller that may go is none.
        command[-1] = "--unit=again"
        done = machine.tried(
            "session-2", f"user-{machine.uid}.slice", f"LIMITS=cpu=50% {' '.join(command)}"
        )
        assert done["before"].endswith("/app.slice/again.scope\n")
        assert done["kind"] == "systemd"
        assert done["limits"] == ["cpu=50%"]
