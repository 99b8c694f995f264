"""Where groups are made, each place for real: siblings, a container, v1, read-only, none, named."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nsmagic.linux import cgroups
from nsmagic.linux.cgroups.group import named_group
from nsmagic.linux.cgroups.hierarchies import read_hierarchies, words
from nsmagic.linux.cgroups.places import VARIABLE, Places
from nsmagic.linux.facts import Facts
from nsmagic.wish.errors import CgroupError
from nsmagic.wish.limits import parse_limits
from tests.run.test_spawner import a_private_cgroup
from tests.support import sandboxes
from tests.support.groups import any_place, bare_group, group, groups_with_limits
from tests.support.skips import needs, probe, root_only

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.linux
ROWS = [limit.row for limit in parse_limits(["mem=64M", "pids=9"])]
TRY = """
import json, os, subprocess, sys
from pathlib import Path
from nsmagic.linux.cgroups.group import make_group
from nsmagic.linux.cgroups.places import Places
from nsmagic.wish.errors import CgroupError
from nsmagic.wish.limits import parse_limits
limits = parse_limits(os.environ.get("LIMITS", "mem=64M pids=9").split())
places = Places()
own = lambda: Path("/proc/self/cgroup").read_text()
said = {"before": own()}
try:
    place = places.find([limit.row for limit in limits])
    said |= {"kind": place.kind, "note": place.note, "directory": str(place.v2), "during": own()}
    said["controllers"] = sorted(place.controllers)
    group = make_group(place, os.getpid(), "tried", [limit.row for limit in limits])
    said["limits"] = [str(reading.limit) for reading in group.set(limits)]
    group.remove()
    if place.kind in {"populated", "systemd"}:
        said["again"] = places.find([limit.row for limit in parse_limits(["cpu=50%"])]).kind
except CgroupError as error:
    said |= {"error": str(error), "hint": error.hint}
    if os.environ.get("TYPE_IT"):
        subprocess.run(["sh", "-ec", error.hint.rpartition("type: ")[2]], check=True)
        said["then"] = Places().find([limit.row for limit in limits]).kind
places.close()
said["after"] = own()
root = Path("/sys/fs/cgroup")
control = root / "cgroup.subtree_control"
said["control"] = control.read_text().strip() if control.exists() else None
said["left"] = sorted(p.name for p in root.glob("nsmagic-*"))
print(json.dumps(said))
"""
MAGICS = """
import atexit, json
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell
ip = InteractiveShell.instance()
ip.run_line_magic("load_ext", "nsmagic")
own = lambda: Path("/proc/self/cgroup").read_text()
ip.run_cell("%%cgroup --out inside mem=64M cat /proc/self/cgroup").raise_error()
said = {"inside": ip.user_ns["inside"], "during": own()}
atexit._run_exitfuncs()
groups = [path.name for path in Path("/sys/fs/cgroup").iterdir() if path.is_dir()]
print()
print(json.dumps(said | {"after": own(), "groups": groups}))
"""


@probe
def v2_controllers() -> str | None:
    """Do groups of cgroup v2 have controllers here?"""
    place = any_place()
    have = place is not None and 2 in place.controllers.values()
    return None if have else "no cgroup v2 controllers here"


@probe
def v1_memory() -> str | None:
    """Is memory limited by cgroup v1 here?"""
    place = any_place()
    return None if place is not None and "memory" in place.v1 else "no cgroup v1 here"


@pytest.fixture
def outer() -> Iterator[Path]:
    """A group of cgroup v2 that is a container's: what runs in it sees it as the root."""
    with group("mem=512M pids=100", name="outer") as made:
        assert made.v2 is not None
        yield made.v2
        with suppress(FileNotFoundError):
            (made.v2 / "cgroup.kill").write_text("1")


def in_container(
    outer: Path, inside: str = "", before: str = "", code: str = TRY
) -> dict[str, Any]:
    """Run TRY in a cgroup and a mount namespace whose root is `outer`, in the group `inside`."""
    where = f"/sys/fs/cgroup/{inside}"
    script = f"""
echo $$ > {outer}/cgroup.procs &&
exec unshare --user --map-root-user --cgroup --mount sh -ec '
mount --bind {outer} /sys/fs/cgroup
mkdir -p {where}
echo $$ > {where}/cgroup.procs
{before}
exec "$@"' sh "$@"
"""
    done = subprocess.run(
        ["sh", "-c", script, "sh", sys.executable, "-c", code],
        capture_output=True, text=True, check=False, env=os.environ | {VARIABLE: ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@needs(groups_with_limits, v2_controllers)
class TestVersion2:
    def test_a_group_is_a_sibling_and_nothing_is_moved(self) -> None:
        v2 = read_hierarchies().v2
        assert v2 is not None
        assert v2.own is not None
        control = words(v2.point / "cgroup.subtree_control")
        place = Places().find(ROWS)
        assert place.kind == "sibling"
        assert place.v2 == v2.own.parent
        assert read_hierarchies().v2 == v2
        assert words(v2.point / "cgroup.subtree_control") == control

    def test_a_container_of_our_own_moves_us_to_a_leaf_and_back(self, outer: Path) -> None:
        said = in_container(outer)
        assert said["before"] == "0::/\n"
        assert said["kind"] == "populated"
        assert "moved to /sys/fs/cgroup/nsmagic-" in said["note"]
        assert said["during"].endswith(".kernel\n")
        assert said["limits"] == ["mem=64M", "pids=9"]
        assert said["again"] == "sibling"
        assert said["after"] == "0::/\n"
        assert said["control"] == ""
        assert said["left"] == []

    def test_magics_in_a_container_of_our_own(self, outer: Path) -> None:
        said = in_container(outer, code=MAGICS)
        assert re.fullmatch(r"0::/nsmagic-\d+-cell-1\n", said["inside"])
        assert said["during"].endswith(".kernel\n")
        assert said["after"] == "0::/\n"
        assert said["groups"] == []

    def test_a_container_with_others_is_left_alone(self, outer: Path) -> None:
        said = in_container(outer, before="(sleep 1000 <&- >&- 2>&- &)")
        assert "kind" not in said
        assert said["error"].startswith(
            "mem and pids need a cgroup with the controllers memory and pids"
        )
        assert "holds processes that are not this notebook's" in said["hint"]
        assert said["control"] == ""
        assert said["after"] == "0::/\n"

    @pytest.mark.parametrize("inside", ["", "own"])
    def test_controllers_of_others_are_switched_on_by_them(
        self, outer: Path, inside: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TYPE_IT", "1")
        said = in_container(outer, inside=inside, before="(sleep 1000 <&- >&- 2>&- &)")
        # Root owns the group, and so would everybody else in the container.
        assert "echo '+memory +pids' > /sys/fs/cgroup/cgroup.subtree_control" in said["hint"]
        assert said["then"] == "sibling"

    def test_a_delegated_group_is_ours_to_switch(self, outer: Path) -> None:
        try:
            os.setxattr(outer, "user.delegate", b"1")  # as systemd marks Delegate=yes
        except OSError as error:
            pytest.fail(f"no attributes on cgroupfs: {error}")
        said = in_container(outer, inside="own")
        assert said["kind"] == "sibling"
        assert said["limits"] == ["mem=64M", "pids=9"]
        assert {"memory", "pids"} <= set(said["control"].split())


@probe
def guest() -> str | None:
    """Are we in a guest, where the root of all groups is the test's alone?"""
    return None if Path("/vmjob").exists() else "no cgroup v2 controllers here to play with"


@root_only
@needs(guest)
def test_what_is_typed_without_systemd_gives_a_user_groups(tmp_path: Path) -> None:
    program = tmp_path / "try.py"
    program.write_text(TRY)
    subprocess.run(["chmod", "a+rx", program, *list(program.parents)[:-1]], check=True)
    run = f"{sys.executable} {program}"
    user = ["env", "USER=nobody", "setpriv", "--reuid=nobody", "--clear-groups"]
    enter = "echo 0 > /sys/fs/cgroup/cgroup.procs; "
    project = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "XDG_RUNTIME_DIR": "/x"}

    def answer(command: str) -> dict[str, Any]:
        done = subprocess.run(
            ["sh", "-c", enter + command], env=project, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    said = answer(f"exec {' '.join(user)} {run}")
    typed = said["hint"].rpartition("with: sudo ")[2]
    assert typed.endswith("""exec su nobody -c "jupyter lab"'""")
    there = f'su -s /bin/sh nobody -c "{run}"'
    said = answer(typed.replace('su nobody -c "jupyter lab"', there))
    assert said["kind"] == "sibling"
    assert said["directory"] == "/sys/fs/cgroup/lab"
    assert said["limits"] == ["mem=64M", "pids=9"]
    for name in ("lab/notebook", "lab"):
        Path("/sys/fs/cgroup", name).rmdir()


@needs(groups_with_limits, v1_memory)
def test_on_v1_groups_are_children_of_our_own() -> None:
    hierarchies = read_hierarchies()
    place = Places().find(ROWS)
    for controller in ("memory", "pids", "cpu"):
        where = hierarchies.where(controller)
        assert where is not None
        assert place.v1[controller] == where.own
        assert place.controllers[controller] == 1
    made = named_group(place, 1, "x", ROWS)
    assert made.v1["memory"].parent == place.v1["memory"]


@root_only
@needs(groups_with_limits, v1_memory)
def test_the_same_where_there_is_only_v1() -> None:
    """The groups' tests once more, where cgroup v2 is not even mounted beside v1."""
    unmount = "umount $(findmnt --noheadings --output TARGET --types cgroup2)"
    chosen = "TestMemory or TestEnd or TestPids or TestBlocked or frozen or spelling"
    tests = [Path(__file__).with_name(name) for name in ("test_cgroups.py", Path(__file__).name)]
    pytest_again = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen]
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec", f'{unmount}; exec "$@"',
         "sh", *pytest_again, *tests],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@needs(groups_with_limits, v1_memory)
def test_what_v1_cannot_do_is_said() -> None:
    with pytest.raises(CgroupError, match=r"memhigh exists on cgroup v2 only.*v1") as caught:
        Places().find([limit.row for limit in parse_limits(["memhigh=1M"])])
    assert "mem=" in str(caught.value.hint)


@root_only
@needs(sandboxes.sandboxes_work)
class TestBlocked:
    def run(self, prefix: sandboxes.Prefix) -> dict[str, Any]:
        done = subprocess.run(
            prefix([sys.executable, "-c", TRY]), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def test_read_only(self) -> None:
        said = self.run(sandboxes.readonly_cgroup)
        assert "controller" in said["error"]
        assert "mounted read-only" in said["hint"]
        assert "docker run" in said["hint"]

    def test_read_only_in_a_pod(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
        said = self.run(sandboxes.readonly_cgroup)
        assert "mybinder.org only its owner can change it" in said["hint"]
        assert "docker" not in said["hint"]

    def test_none(self) -> None:
        said = self.run(sandboxes.no_cgroup)
        assert said["error"] == "no cgroup can be made: no cgroup file system is mounted here"
        assert "mount -t cgroup2" in said["hint"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("/tmp", "is no cgroup here"),
        ("relative", "is no cgroup here"),
        ("/sys/fs/cgroup/nosuch-group", "is no cgroup here"),
    ],
)
def test_a_named_place_must_be_one(
    monkeypatch: pytest.MonkeyPatch, value: str, message: str
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(CgroupError, match=message) as caught:
        Places().find(ROWS)
    assert VARIABLE in str(caught.value)


@needs(groups_with_limits)
def test_a_named_place_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with group("mem=512M", name="named") as made:
        monkeypatch.setenv(VARIABLE, ":".join(map(str, made.directories)))
        place = Places().find(ROWS)
        assert place.v2 == made.v2
        assert dict(place.v1) == dict(made.v1)


LEAF = """
import os, subprocess, sys
from contextlib import ExitStack
from pathlib import Path
from nsmagic.linux.cgroups.candidates import POPULATED, Candidate
from nsmagic.linux.cgroups.leaf import move_to_leaf
from nsmagic.wish.errors import CgroupError
group = Path(sys.argv[1])
(group / "cgroup.procs").write_text("0")
for _ in range(2):  # as a second cell tries again
    try:
        move_to_leaf(Candidate(kind=POPULATED, directory=group), ExitStack())
    except CgroupError as error:
        print(error)
print([each.name for each in group.iterdir() if each.is_dir()])
print(str(os.getpid()) in (group / "cgroup.procs").read_text().split())
"""


@needs(a_private_cgroup)
def test_a_leaf_that_could_not_be_had_is_gone_again() -> None:
    with bare_group("outer") as own:
        with subprocess.Popen(["sleep", "60"]) as stranger:
            (own / "cgroup.procs").write_text(str(stranger.pid))
            done = subprocess.run(
                [sys.executable, "-c", LEAF, str(own)], capture_output=True, text=True, check=False
            )
            stranger.kill()
        assert done.returncode == 0, done.stderr
        *errors, folders, is_back = done.stdout.splitlines()
        assert len(errors) == 2
        assert all("could not be moved to" in error for error in errors)
        assert (folders, is_back) == ("[]", "True")


@needs(a_private_cgroup)
def test_a_group_may_be_called_by_what_ends_a_line_for_python() -> None:
    with bare_group("a\r0::b\x0b\x85\u2028: c") as odd:
        with subprocess.Popen(["sleep", "60"]) as sleeper:
            (odd / "cgroup.procs").write_text(str(sleeper.pid))
            proc = Path(f"/proc/{sleeper.pid}")
            shown = Facts(sleeper.pid).cgroup()[""]
            found = cgroups.own_group(proc), read_hierarchies(pid=str(sleeper.pid)).v2
            sleeper.kill()
        assert shown.endswith(odd.name)
        assert found[0] == odd
        assert found[1] is not None
        assert found[1].own == odd
