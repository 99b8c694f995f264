"""The doctor's verdicts where things are really forbidden: each differs, each says why and what."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from nsmagic.doctor import examine as examining
from nsmagic.doctor.checks import CHECKS, NAMESPACES, Check
from nsmagic.doctor.reasons import explain
from nsmagic.doctor.report import lab_verdict
from nsmagic.doctor.text import skipped
from nsmagic.linux.situation import read_situation
from nsmagic.wish import steps
from nsmagic.wish.circumstances import Circumstances
from nsmagic.wish.hints import hint_for
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.namespaces import NAMESPACES as TYPES
from nsmagic.wish.plan import make_plan
from nsmagic.wish.unshare import settle
from tests.support import sandboxes
from tests.support.skips import needs, root_only, user_only

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.user import Account

DOCTOR = ["-m", "nsmagic.cli", "doctor", "--json"]
SEPARATE = {"user", "mount", "uts", "ipc", "net", "pid", "cgroupns", "time"}


class Found:
    """A report, to be asked."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        assert done.stderr == ""
        self.status = done.returncode
        self.data: dict[str, Any] = json.loads(done.stdout)
        self.by = {(each["name"], each["way"]): each for each in self.data["checks"]}

    def states(self, way: str, names: set[str]) -> set[str]:
        return {self.by[name, way]["state"] for name in names}

    def refusal(self, name: str, way: str = "plain") -> str:
        """Errno, why and fix of a check that must have been refused."""
        each = self.by[name, way]
        assert each["state"] == "refused", each
        return f"{each['errno']}|{each['why']}|{each['fix']}"


def doctor(prefix: sandboxes.Prefix | None = None) -> Found:
    argv = [sys.executable, *DOCTOR]
    words = prefix(argv) if prefix else argv
    return Found(subprocess.run(words, capture_output=True, text=True, check=False, timeout=60))


def test_every_namespace_has_its_check() -> None:
    assert len(SEPARATE) == len(TYPES)
    assert {each.name for each in CHECKS if each.group == NAMESPACES} == SEPARATE


@root_only
@pytest.mark.linux
def test_root_here() -> None:
    found = doctor()
    assert found.data["system"]["uid"] == 0
    assert found.states("root", SEPARATE) == found.states("rootless", SEPARATE) == {"works"}
    files = {"proc", "tmpfs", "bind", "overlay", "chroot", "pivot_root"}
    assert found.states("root", files) == {"works"}
    assert found.status == (0 if found.data["ok"] else 1)
    assert found.data["ok"] == all(lab["state"] == "full" for lab in found.data["labs"])


@user_only
@pytest.mark.linux
def test_an_ordinary_user_here() -> None:
    found = doctor()
    assert found.data["system"]["usual"] == "rootless"
    assert found.states("rootless", SEPARATE) == {"works"}
    assert found.states("root", SEPARATE) == {"untried"}


@needs(sandboxes.sandboxes_work)
@pytest.mark.linux
class TestSandboxes:
    def test_docker_default(self) -> None:
        found = doctor(sandboxes.docker_default)
        assert found.states("rootless", SEPARATE) == {"refused"}
        text = found.refusal("net", "rootless")
        assert text.startswith("EPERM|A seccomp filter on this process forbids new namespaces")
        assert "--security-opt seccomp=unconfined" in text
        assert found.refusal("cgroup").startswith("EROFS|")
        assert found.by["seccomp", "plain"]["state"] == "works"
        assert any("seccomp filter" in fact for fact in found.data["system"]["facts"])
        if os.geteuid() == 0:
            assert found.by["chroot", "root"]["state"] == "works"  # Docker leaves CAP_SYS_CHROOT
            assert found.refusal("mount", "root").startswith("EPERM|A seccomp filter")

    def test_no_user_namespace_left(self) -> None:
        found = doctor(sandboxes.userns_exhausted)
        assert found.refusal("uts", "rootless") == (
            "ENOSPC|No namespaces of this type are allowed here: the limit in /proc/sys/user is 0."
            "|As root: sysctl -w user.max_user_namespaces=10000"
        )
        if os.geteuid() == 0:
            assert found.by["uts", "root"]["state"] == "works"

    def test_a_covered_proc(self) -> None:
        found = doctor(sandboxes.masked_proc)
        assert "Parts of /proc are covered here (/proc/sys, ...)" in found.refusal(
            "proc", "rootless"
        )
        assert found.by["pid", "rootless"]["state"] == "works"

    def test_read_only_and_no_cgroups(self) -> None:
        text = doctor(sandboxes.readonly_cgroup).refusal("pids")
        assert text.startswith("EROFS|")
        assert "mounted read-only" in text
        text = doctor(sandboxes.no_cgroup).refusal("memory")
        assert "no cgroup file system is mounted here" in text
        assert text.endswith("As root: mount -t cgroup2 none /sys/fs/cgroup")

    def test_a_user_namespace_of_a_user_without_groups(self, as_user: Account) -> None:
        words = ["unshare", "--user", "--map-root-user", as_user.python, *DOCTOR]
        found = Found(as_user.run(words))
        assert found.data["system"]["uid"] == 0
        assert "in a user namespace, not the first one" in found.data["system"]["facts"]
        assert found.states("root", SEPARATE) == {"works"}
        nobody = found.by["net", "rootless"]
        assert nobody["state"] == "untried"
        assert nobody["why"].startswith("No other user can be tried here: setuid(65534)")
        assert found.refusal("cgroup").startswith("EACCES|")


@root_only
@pytest.mark.linux
class TestOtherRoots:
    """Inside of mounts that only the doctor's own namespace has."""

    def doctor(self, script: str) -> Found:
        words = ["unshare", "--mount", "sh", "-c", f'{script} "$@"', "-", sys.executable, *DOCTOR]
        return Found(subprocess.run(words, capture_output=True, text=True, check=False, timeout=60))

    def test_a_chroot_whose_root_is_a_mount(self, tmp_path: Path) -> None:
        found = self.doctor(f"mount --rbind / {tmp_path}; exec chroot {tmp_path}")
        text = found.refusal("user", "root")
        assert text.startswith("EPERM|No filter and no setting that can be seen forbids it")
        assert "runs in a chroot" in text
        assert found.by["net", "root"]["state"] == "works"

    def test_without_proc(self) -> None:
        found = self.doctor("mount -t tmpfs none /proc; exec")
        assert found.by["net", "root"]["state"] == "untried"
        assert found.by["net", "root"]["fix"] == "As root: mount -t proc proc /proc"
        assert found.status == 1


class TestRecorded:
    """What cannot be had here, told from facts as such machines have them."""

    def plan(self) -> Circumstances:
        wish = settle(Isolation(namespaces=frozenset({"mnt"}), map_root_user=True))
        plan = make_plan(wish, read_situation(wish), steps.RunPython(), strict=True)
        return Circumstances(plan=plan, uid=1000, capabilities=0, apparmor=True)

    def test_ubuntus_apparmor(self) -> None:
        """There unshare(2) succeeds, and what comes then is refused."""
        facts = self.plan()
        assert facts.plan is not None
        writes = next(step for step in facts.plan.steps if isinstance(step, steps.MapIds))
        for text in (
            hint_for(writes, errno.EPERM, facts),
            "\n".join(explain("tmpfs", errno.EACCES, facts)),
            "\n".join(explain("user", errno.EPERM, facts)),
        ):
            assert text.startswith("AppArmor takes the capabilities of user namespaces")
            assert text.endswith("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0")

    @pytest.mark.parametrize(
        ("name", "number", "words"),
        [
            ("veth", errno.EOPNOTSUPP, "module"),
            ("nft", errno.EPROTONOSUPPORT, "modprobe"),
            ("psi", errno.EOPNOTSUPP, "psi=1"),
            ("kvm", errno.ENOENT, "nested"),
            ("kvm", errno.EACCES, "usermod -aG kvm"),
            ("bind", errno.EXDEV, "mount(2) lists what EXDEV can mean"),
        ],
    )
    def test_reasons(self, name: str, number: int, words: str) -> None:
        assert words in "\n".join(explain(name, number, Circumstances()))


@pytest.mark.linux
def test_what_hangs_is_ended_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "_SECONDS", 0.2)

    def hang() -> str:
        time.sleep(60)
        return ""

    check = Check(name="hang", group=NAMESPACES, tries="", trial=hang)
    verdict = examining.Examiner().examine(check, "plain")
    assert (verdict.state, verdict.why) == ("refused", "It hung and was ended.")


def test_what_no_check_is_about_is_explained_at_the_lab() -> None:
    met = {"nft": "nft is not installed", "memhigh": "memhigh exists on cgroup v2 only"}
    steps = [("one", ["nft"]), ("two", ["memhigh"]), ("three", ["memhigh"])]
    lab = lab_verdict("06", "Limits", steps, met)
    assert skipped(lab, {"nft": "rules"}) == [
        "one (needs nft)",
        "two + three (memhigh exists on cgroup v2 only)",
    ]


@pytest.mark.linux
@needs(sandboxes.sandboxes_work)
def test_the_text_groups_what_says_the_same_and_has_no_colour_in_a_pipe() -> None:
    argv = sandboxes.docker_default([sys.executable, "-m", "nsmagic.cli", "doctor"])
    text = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    assert "\x1b" not in text
    assert len([line for line in text.splitlines() if "forbids new namespaces" in line]) <= 2
    assert all(len(line) <= 100 for line in text.splitlines() if "fix: " not in line)
