"""The table of hints: complete, honest, and right for facts recorded on other machines."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from nsmagic.wish import steps
from nsmagic.wish.circumstances import Circumstances, Place
from nsmagic.wish.errors import StepError
from nsmagic.wish.hints import HINTS, hint_for
from nsmagic.wish.idmaps import Range
from nsmagic.wish.isolation import IdMap, Isolation
from nsmagic.wish.plan import Plan
from nsmagic.wish.refusal import LARGEST_CLOCK, Hint, Refusal, always

if TYPE_CHECKING:
    from nsmagic.wish.steps import Step

ONE = (IdMap(inner=0, outer=1000),)
CELL = "/sys/fs/cgroup/nsmagic-1-cell1"
SAMPLES: tuple[Step, ...] = (
    steps.SetOwner(uid=1, gid=1),
    steps.Unshare(types=("pid", "user")),
    steps.SetGroups(policy="deny"),
    steps.MapIds(kind="uid", maps=ONE),
    steps.MapIdsOutside(kind="gid", maps=(*ONE, *ONE)),
    steps.MapIdsByHelper(kind="uid", maps=ONE),
    steps.Persist(link="mnt", file="/run/ns/mnt"),
    steps.SetClock(clock="boottime", seconds=-9),
    steps.EnterCgroup(cgroup=CELL),
    steps.Fork(cgroup=CELL),
    steps.Propagate(kind="private"),
    steps.MountProc(target="/proc"),
    steps.MountBinfmt(target="/proc/sys/fs/binfmt_misc"),
    steps.LoadInterpreter(target="/proc/sys/fs/binfmt_misc", line="x"),
    steps.Chroot(root="/srv/box"),
    steps.Chdir(wd="/work"),
    steps.SetGid(gid=5),
    steps.SetUid(uid=5),
    steps.FindAccounts(userspec="bin"),
    steps.TakeGroups(userspec="bin"),
    steps.TakeGroup(userspec="bin"),
    steps.TakeUser(userspec="bin"),
    steps.KeepCaps(),
    steps.ClearEnvironment(),
    steps.Exec(argv=("ls", "-l")),
    steps.RunPython(),
    steps.Init(),
    steps.MakeCgroup(cgroup=CELL),
    steps.SetLimit(file=f"{CELL}/memory.max", text="67108864", key="mem"),
    steps.Hold(path="/proc/7/root"),
    steps.Join(pid=7, types=("user", "net", "pid"), files=(("uts", "/run/uts"),)),
    steps.JoinRoot(root="/proc/7/root"),
    steps.JoinWd(wd="/proc/7/cwd"),
    steps.Return(wd="/srv"),
    steps.TakeEnvironment(file="/proc/7/environ"),
    steps.DropGroups(),
    steps.TakeIds(uid=0, gid=0),
    steps.KeepBox(box="web"),
    steps.LinkUp(link="lo"),
    steps.MountTmpfs(target="/tmp"),
    steps.MountDevices(devices=("null",)),
    steps.ReadOnly(paths=("/sys",)),
    steps.Mask(files=("/proc/kcore",), directories=("/sys/firmware",)),
    steps.BoundCapabilities(),
    steps.NewKeyring(),
    steps.DropCapabilities(),
    steps.NoNewPrivileges(),
    steps.Seccomp(refused=("mount",), program=()),
)
NO_CAPABILITIES: dict[str, Any] = {"uid": 1000, "capabilities": 0}
UNSHARE = SAMPLES[1]


def plan_of(*listed: Step, types: str = "") -> Plan:
    return Plan(isolation=Isolation(namespaces=frozenset(types.split())), steps=listed)


def explain(step: Step | None, name: str, *, types: str = "user pid", **facts: Any) -> str:
    """The hint for a step of a plan with all samples, under the given facts."""
    facts.setdefault("plan", plan_of(*SAMPLES, types=types))
    return hint_for(step, getattr(errno, name), Circumstances(**facts))


def test_every_kind_of_step_is_sampled() -> None:
    assert {type(sample) for sample in SAMPLES} == set(steps.STEPS.values())


@pytest.mark.parametrize("row", HINTS, ids=lambda row: row.why[:40])
def test_every_row_can_be_filled_in(row: Hint) -> None:
    place = Place(path="/a/b", missing="/a", near=("ab",))
    facts = Circumstances(plan=plan_of(*SAMPLES, types="pid"), place=place, covers=("/proc/sys",))
    kinds = row.steps or tuple(type(sample) for sample in SAMPLES)
    # The overlapping lines that one row shows are only in the map "outside".
    samples = [sample for sample in (None, *SAMPLES) if isinstance(sample, kinds)]
    for sample in samples[-1:] if "{r.lines" in row.why else samples:
        sample = SAMPLES[4] if "{r.lines" in row.why else sample
        text = row.text(Refusal(step=sample, number=errno.EPERM, facts=facts))
        assert "{" not in text.replace("{seccomp", "").replace("{type", "")
        assert len(text.splitlines()) <= 2


@pytest.mark.parametrize("sample", [None, *SAMPLES], ids=lambda sample: type(sample).__name__)
def test_every_refusal_has_a_hint(sample: Step | None) -> None:
    for number in errno.errorcode:
        hint = hint_for(sample, number, Circumstances(plan=plan_of(*SAMPLES, types="user pid")))
        assert hint
        assert "None" not in hint


def test_no_row_hides_a_later_one_for_good() -> None:
    for at, row in enumerate(HINTS):
        for later in HINTS[at + 1 :] if row.when is always and row.steps else ():
            hidden = later.errnos <= row.errnos and set(later.steps) <= set(row.steps)
            assert not (hidden and later.steps), f"{later.why!r} is never reached: {row.why!r}"


def test_without_a_reason_the_hint_is_honest() -> None:
    text = explain(UNSHARE, "EIO")
    assert text == "Linux gave no further reason; unshare(2) lists what EIO can mean."


@pytest.mark.parametrize(
    ("facts", "why", "fix"),
    [
        ({"unshare_filtered": True, "container": "podman"}, "seccomp filter", "podman run --sec"),
        ({"unshare_filtered": True, "container": "kubernetes"}, "seccomp", "procMount: Unmasked"),
        ({"unshare_filtered": True}, "seccomp filter", "In Docker: docker run --security-opt"),
        ({"seccomp": True}, "most probably", "In Docker"),
        (NO_CAPABILITIES | {"user_namespaces_off": True}, "This Debian", "userns_clone=1"),
        ({"chrooted": True}, "in a chroot", "pivot_root(2)"),
        ({}, "most probably runs in a chroot", "outside of the chroot"),
        ({"ids_mapped": False, "uid": 65534}, "Your uid 65534", "uid_map"),
        (NO_CAPABILITIES | {"apparmor": True}, "AppArmor", "restrict_unprivileged_userns=0"),
    ],
)
def test_why_no_user_namespace(facts: dict[str, Any], why: str, fix: str) -> None:
    first, second = explain(UNSHARE, "EPERM", **facts).split("\n")
    assert why in first
    assert fix in second


def test_the_certain_cause_comes_before_the_probable_one() -> None:
    facts = NO_CAPABILITIES | {"user_namespaces_off": True, "seccomp": True}
    assert "This Debian" in explain(UNSHARE, "EPERM", **facts)
    assert "as Docker's default" in explain(UNSHARE, "EPERM", unshare_filtered=True, **facts)


class TestAppArmor:
    """Ubuntu 23.10: unshare succeeds, and then the capabilities are of no use."""

    @pytest.mark.parametrize("sample", [SAMPLES[3], SAMPLES[11], SAMPLES[16]], ids=repr)
    def test_later_steps_are_explained(self, sample: Step) -> None:
        text = explain(sample, "EPERM", apparmor=True, **NO_CAPABILITIES)
        assert text.startswith("AppArmor")

    def test_root_is_not_restricted(self) -> None:
        assert "AppArmor" not in explain(SAMPLES[3], "EPERM", apparmor=True)

    def test_a_closed_directory_is_just_closed(self) -> None:
        place = Place(path="/root/x", closed="/root")
        text = explain(SAMPLES[15], "EACCES", apparmor=True, place=place, **NO_CAPABILITIES)
        assert text.startswith("You may not enter /root")


@pytest.mark.parametrize(
    ("sample", "name", "facts", "words"),
    [
        (UNSHARE, "ENOSPC", {"limits": {"pid": 0, "user": 0}}, "max_pid_namespaces=10000 user."),
        (UNSHARE, "ENOSPC", {"limits": {"net": 0}}, "nested too deep"),
        (UNSHARE, "EUSERS", {}, "nested too deep"),
        (UNSHARE, "EINVAL", {"known": frozenset({"pid"}), "linux": (3, 2)}, "(3.2) was built"),
        (UNSHARE, "EINVAL", {"container": "wsl1", "known": frozenset({"pid", "user"})}, "WSL 1"),
        (SAMPLES[12], "EPERM", {"linux": (6, 1)}, "since 6.7; this one is 6.1"),
        (SAMPLES[13], "ENOENT", {"linux": (5, 10)}, "since 6.7; this one is 5.10"),
        (SAMPLES[12], "ENODEV", {"linux": (6, 12)}, "modprobe binfmt_misc"),
        (SAMPLES[9], "ENOSYS", {"seccomp": True}, "hides clone3(2)"),
        (SAMPLES[9], "ENOMEM", {}, "Memory for one more process"),
        (SAMPLES[5], "EPERM", {"helper_privileged": False, "helper": "/bin/h"}, "chmod u+s /bin/h"),
        (SAMPLES[5], "EPERM", {"granted": (Range(start=5, count=2),)}, "grants you 5-6,"),
        (SAMPLES[7], "ERANGE", {"clocks": {"boottime": 60}}, f"-60 to {LARGEST_CLOCK - 60} here"),
        (SAMPLES[11], "EPERM", {"proc": False}, "No /proc is mounted here"),
        (SAMPLES[0], "EPERM", NO_CAPABILITIES, "Becoming another user"),
        (SAMPLES[9], "EBUSY", {}, f"{CELL} passes controllers on"),
        (SAMPLES[8], "EACCES", {}, f"may not move processes to {CELL}"),
        (None, "EMFILE", {"files": "1024"}, "may (1024)"),
    ],
)  # fmt: skip
def test_recorded_facts(sample: Step, name: str, facts: dict[str, Any], words: str) -> None:
    assert words in explain(sample, name, **facts)


def test_ids_and_root_come_from_the_steps_before() -> None:
    maps = (IdMap(inner=0, outer=1000), IdMap(inner=1, outer=100000, count=9))
    before = steps.MapIds(kind="uid", maps=maps), steps.Chroot(root="/srv/box")
    plan = plan_of(*before, SAMPLES[17], SAMPLES[15], types="user")
    assert "its map has: 0, 1-9." in explain(SAMPLES[17], "EINVAL", plan=plan)
    place = Place(path="/work", missing="/work")
    text = explain(SAMPLES[15], "ENOENT", plan=plan, place=place)
    assert text == "/work does not exist in the new root /srv/box."


@pytest.mark.parametrize(
    ("lines", "overlap"),
    [
        ("0 0 10/10 10 5", ()),
        ("0 0 10/9 100 1", ("0 0 10", "9 100 1")),
        ("0 0 10/50 5 1", ("0 0 10", "50 5 1")),
        ("7 7 1/0 0 7/8 8 9", ()),
    ],
)
def test_overlapping_lines(lines: str, overlap: tuple[str, ...]) -> None:
    numbers = [[int(word) for word in line.split()] for line in lines.split("/")]
    maps = tuple(IdMap(inner=a, outer=b, count=c) for a, b, c in numbers)
    step = steps.MapIds(kind="uid", maps=maps)
    assert Refusal(step=step, number=errno.EINVAL, facts=Circumstances()).lines == overlap


class TestMessage:
    def test_one_line_with_call_errno_and_path(self) -> None:
        error = StepError(SAMPLES[20], errno.ENOENT, "No such file", "/bin/ls", "why")
        assert str(error).endswith("failed on /bin/ls: No such file (ENOENT)")
        assert error.hint == "why"

    def test_a_map_of_two_lines_stays_one_line(self) -> None:
        text = str(StepError(SAMPLES[4], errno.EINVAL, "Invalid argument", None, ""))
        assert len(text.splitlines()) == 1
        assert "0 1000 1\\n0 1000 1" in text

    def test_a_path_is_said_once(self) -> None:
        text = str(StepError(SAMPLES[14], errno.ENOENT, "No such file", "/srv/box", ""))
        assert text.count("/srv/box") == 1


def test_capabilities_by_name() -> None:
    docker = Circumstances(capabilities=0xA80425FB)
    assert docker.lacks("CAP_SYS_ADMIN")
    assert docker.lacks("CAP_SYS_CHROOT", "CAP_SYS_TIME")
    assert not docker.lacks("CAP_SETUID", "CAP_SETGID", "CAP_SETFCAP", "CAP_SYS_CHROOT")
    assert not replace(docker, capabilities=(1 << 41) - 1).lacks("CAP_SYS_ADMIN")
