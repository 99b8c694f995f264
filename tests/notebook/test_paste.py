"""The shell column of --explain, pasted into a root bash, leads to where the cell lives."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nsmagic.linux import cgroups
from tests.support.skips import needs, probe, root_only

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.linux, root_only]
PROGRAM = Path(__file__).parents[1] / "support" / "paste_here.py"
# All mounts shared among themselves, as systemd leaves them, and with nobody outside.
THROW_AWAY = [
    "unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child",
    "--mount-proc", "sh", "-ec",
    """mount --make-rshared /
       mount --bind "$1/subids" /etc/subuid
       mount --bind "$1/subids" /etc/subgid
       if [ -n "$2" ]; then echo 0 > "$2/cgroup.procs"; else mount -t tmpfs none /sys/fs/cgroup; fi
       shift 2
       exec "$@" """,
    "sh",
]  # fmt: skip


@probe
def programs_are_there() -> str | None:
    """What the lines are made of."""
    wanted = ("unshare", "mount", "chroot", "setpriv", "newuidmap", "bash", "ldd")
    missing = [name for name in wanted if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def paste(
    folder: Path, line: str, group: Path | None = None, magic: str = "unshare"
) -> dict[str, Any]:
    """What Linux says of the cell `line` and of the shell after pasting its plan."""
    (folder / "subids").write_text("root:100000:65536\n")
    argv = [*THROW_AWAY, str(folder), str(group or ""), sys.executable, str(PROGRAM)]
    done = subprocess.run(
        [*argv, str(folder), magic, line.replace("FOLDER", str(folder))],
        cwd=folder, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "LC_ALL": "C"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@needs(programs_are_there)
@pytest.mark.parametrize(
    "line",
    [
        "--pid --mount-proc",
        "--pid --mount-proc --init",
        "--net --uts --ipc --cgroup",
        "--mount",
        "--mount --propagation slave",
        "--mount --propagation unchanged --mount-proc",
        "--user",
        "--map-root-user",
        "--map-root-user --pid --net --mount-proc",
        "--map-current-user --keep-caps",
        "--map-user 1000 --map-group 1000 --pid --mount-proc --wd /tmp",
        "--map-auto --pid --mount-proc",
        "--map-users 0:100000:9 --map-groups 0:100000:9 --mount",
        "--time --monotonic 1000 --boottime -5",
        "--map-root-user --time --monotonic 100 --pid",
        "--net=FOLDER/kept-net --uts",
        "--root FOLDER/root",
        "--pid --mount-proc --root FOLDER/root --wd /tmp",
        "--pid --mount-proc --root FOLDER/root --setgid 7 --setuid 8",
        "--mount --wd /tmp --setgid 7 --setuid 8",
        "--net --setuid 8",
    ],
)
def test_pasted_lines_lead_to_where_the_cell_lives(line: str, tmp_path: Path) -> None:
    found = paste(tmp_path, line)
    assert found["printed"] == ""
    assert found["shell"] == found["cell"], found["lines"]


@needs(programs_are_there)
@pytest.mark.parametrize(
    "line",
    ["FOLDER/root", "--userspec=+8:+7 --groups=+9,+10 FOLDER/root", "--groups= FOLDER/root",
     "--skip-chdir /"],
)  # fmt: skip
def test_pasted_lines_of_chroot(line: str, tmp_path: Path) -> None:
    found = paste(tmp_path, line, magic="chroot")
    assert found["printed"] == ""
    assert found["shell"] == found["cell"], found["lines"]


@needs(programs_are_there)
def test_ranges_beside_one_id_of_our_own(tmp_path: Path) -> None:
    found = paste(tmp_path, "--map-auto --map-root-user --mount")
    assert found["printed"] == ""
    for who in ("shell", "cell"):
        for file in ("uid_map", "gid_map"):
            # unshare(1) before util-linux 2.39 leaves the last id out.
            count = int(found[who][file].pop())
            assert count in {65535, 65536}
    assert found["shell"] == found["cell"], found["lines"]


@needs(programs_are_there)
def test_the_judge_sees_a_line_that_is_missing(tmp_path: Path) -> None:
    one, other = (paste(tmp_path_of(tmp_path, name), line) for name, line in (
        ("a", "--mount"), ("b", "--mount --propagation slave"),
    ))  # fmt: skip
    assert one["shell"]["mounts"] != other["shell"]["mounts"]
    assert one["shell"]["new"] == other["shell"]["new"] == ["mnt"]


def tmp_path_of(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


@pytest.fixture
def group() -> Iterator[Path]:
    """A cgroup of the test's own, with whatever is made in it."""
    place = cgroups.private_place()
    if place is None:
        pytest.skip("no cgroup can be made here")
    made = place / f"nsmagic-{os.getpid()}-test"
    made.mkdir()
    yield made
    for inner in made.glob("nsmagic-*"):
        cgroups.remove(inner)
    cgroups.remove(made)


@needs(programs_are_there)
def test_the_cell_and_the_shell_are_in_a_cgroup_of_their_own(group: Path, tmp_path: Path) -> None:
    found = paste(tmp_path, "--net", group)
    assert found["printed"] == ""
    assert found["shell"] == found["cell"], found["lines"]
    assert f"/{group.name}/nsmagic-" in found["cell"]["cgroup"]
