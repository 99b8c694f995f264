"""Mount points whose names are no UTF-8 or hold odd line ends, as removable disks may have them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.linux.making import AS_ROOT, unsharing
from tests.support.skips import needs
from tests.support.user import PROJECT

pytestmark = [pytest.mark.linux, needs(unsharing)]

LOOK = """
import os, sys
from pathlib import Path
from nsmagic.labs import guard
from nsmagic.linux import syscalls
from nsmagic.linux.cgroups import own_group
from nsmagic.linux.cgroups.hierarchies import read_hierarchies
from nsmagic.linux.mountinfo import read_mountinfo
from nsmagic.linux.nsfs import read_bound
from nsmagic.linux.places import look_up
from nsmagic.linux.surroundings import differences, read_surroundings

def groups():
    return read_hierarchies(), own_group(Path("/proc/self"))

before, around = groups(), read_surroundings()
place = "/mnt/" + os.fsdecode(bytes.fromhex(sys.argv[1]))
os.mkdir(place)
syscalls.mount("none", place, "tmpfs", 0)
(change,) = differences(around, read_surroundings())
assert (change.what, change.happened) == ("mount", "added"), change
assert f"tmpfs on {place}" in guard.snapshot()["mounts"]
assert [each.kind for each in read_mountinfo() if each.target == place] == ["tmpfs"]
assert look_up(place).mount == place
assert groups() == before
Path(place, "uts").touch()
syscalls.mount("/proc/self/ns/uts", place + "/uts", None, syscalls.MS_BIND)
assert place + "/uts" in [each.target for each in read_bound()]
print("all found")
"""


@pytest.mark.parametrize(
    "name",
    [b"M\xfcnchen", "a\x0cb\x1cc\x85d\u2028e".encode(), b"a b\\c\td\ne\rf", "Müll".encode()],
)
def test_readers_find_what_is_mounted_on_odd_names(name: bytes) -> None:
    script = 'mount -t tmpfs none /mnt && exec "$0" -c "$1" "$2"'
    done = subprocess.run(
        ["unshare", *AS_ROOT, "--mount", "--", "sh", "-c", script, sys.executable, LOOK,
         name.hex()],
        env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert done.stdout == "all found\n", done.stderr
