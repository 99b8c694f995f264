"""systemd's real user manager, in the guest: a kernel from a login session gets a scope."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nsmagic.linux.cgroups.freezing import remove_directory
from tests.linux.test_cgroup_places import TRY
from tests.support.skips import needs, probe, root_only

pytestmark = pytest.mark.linux
SLICE = Path("/sys/fs/cgroup/user.slice/user-65534.slice")
# A machine after a login: the manager in user@UID.service, which is the user's, and a session,
# which is not.  Where systemd is PID 1, it moves processes from the one to the other for the
# manager; here the manager may do that itself, by the cgroup.procs above both.
LOGIN = r"""
set -e
user=65534 slice=/sys/fs/cgroup/user.slice/user-65534.slice
service=$slice/user@$user.service session=$slice/session-1.scope run=/run/user/$user
mkdir -p $service/init.scope $session /run/systemd/system
for group in /sys/fs/cgroup /sys/fs/cgroup/user.slice $slice; do
  for name in $(cat $group/cgroup.controllers); do echo +$name >$group/cgroup.subtree_control; done
done
chown $user $slice/cgroup.procs $service $service/cgroup.* $service/init.scope
chown $user $service/init.scope/cgroup.*
install -d -m 700 -o $user $run
become="setpriv --reuid=$user --clear-groups env HOME=/tmp XDG_RUNTIME_DIR=$run"
echo 0 >$service/init.scope/cgroup.procs
$become dbus-daemon --session --address=unix:path=$run/bus --nofork --nopidfile \
  </dev/null >/dev/null 2>&1 &
while [ ! -S $run/bus ]; do sleep 0.05; done
$become /usr/lib/systemd/systemd --user --log-target=null </dev/null >/dev/null 2>&1 &
while [ ! -S $run/systemd/private ]; do sleep 0.05; done
echo 0 >$session/cgroup.procs
exec $become env DBUS_SESSION_BUS_ADDRESS=$BUS "$@"
"""


@probe
def guest_with_systemd() -> str | None:
    """Are we in a guest of our own, and is systemd installed?"""
    if not Path("/vmjob").exists():
        return "no cgroup v2 controllers here that are the test's alone"
    programs = ("/usr/lib/systemd/systemd", "/usr/bin/dbus-daemon")
    here = all(Path(name).exists() for name in programs)
    return None if here else "systemd and dbus-daemon are not installed"


def after_login(bus: str) -> dict[str, Any]:
    command = LOGIN.replace("$BUS", bus)
    try:
        done = subprocess.run(
            ["sh", "-c", command, "sh", sys.executable, "-c", TRY],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    finally:
        (SLICE / "cgroup.kill").write_text("1")
        remove_directory(SLICE, time.monotonic() + 10)
        shutil.rmtree("/run/user/65534")
        Path("/run/systemd/system").rmdir()
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@root_only
@needs(guest_with_systemd)
def test_a_kernel_of_a_login_session_gets_a_scope() -> None:
    said = after_login("unix:path=/run/user/65534/bus")
    assert said["before"].endswith("/user-65534.slice/session-1.scope\n")
    assert "error" not in said, said
    assert said["kind"] == "systemd"
    assert "user@65534.service" in said["directory"]
    assert said["directory"].endswith(".scope")
    assert said["during"].endswith("-leaf\n")
    assert said["limits"] == ["mem=64M", "pids=9"]


@root_only
@needs(guest_with_systemd)
def test_without_a_bus_it_is_said() -> None:
    said = after_login("unix:path=/nonexistent")
    assert "the bus unix:path=/nonexistent" in said["hint"]
    assert said["before"] == said["after"]
