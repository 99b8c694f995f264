"""What steps say of themselves; that it is true is seen by strace(1) and by pasting it."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from nsmagic.wish import steps
from nsmagic.wish.accounts import Account
from nsmagic.wish.isolation import IdMap, Isolation
from nsmagic.wish.paste import shell_lines, unshare_command
from nsmagic.wish.plan import Plan
from nsmagic.wish.steps import Step

MAPS = (IdMap(inner=0, outer=1000), IdMap(inner=1, outer=100000, count=9))
EXAMPLES: tuple[Step, ...] = (
    steps.SetOwner(uid=3, gid=4),
    steps.Unshare(types=("net", "mnt", "time"), fork=True),
    steps.SetGroups(policy="deny"),
    steps.MapIds(kind="uid", maps=MAPS[:1]),
    steps.MapIdsOutside(kind="gid", maps=MAPS),
    steps.MapIdsByHelper(kind="uid", maps=MAPS[:1]),
    steps.Persist(link="net", file="/run/my net"),
    steps.SetClock(clock="monotonic", seconds=-5),
    steps.MakeCgroup(cgroup="/sys/fs/cgroup/a b"),
    steps.SetLimit(file="/sys/fs/cgroup/a b/cpu.max", text="50000 100000", key="cpu"),
    steps.EnterCgroup(cgroup="/sys/fs/cgroup/a b"),
    steps.Fork(keep=True, share_memory=False),
    steps.Fork(cgroup="/sys/fs/cgroup/a"),
    steps.Propagate(kind="slave"),
    steps.MountProc(target="/proc", make_private=True),
    steps.MountBinfmt(target="/mnt"),
    steps.LoadInterpreter(target="/mnt", line=":x:M::\\x7f::/bin/x:F"),
    steps.Chroot(root='/a "b"'),
    steps.Chdir(wd="/tmp"),
    steps.SetGid(gid=7),
    steps.SetUid(uid=8),
    steps.FindAccounts(userspec="bin:bin", groups="adm"),
    steps.TakeGroups(userspec="5", before=Account(gid=5, login="games", groups=(5, 60))),
    steps.TakeGroup(userspec="5:+6"),
    steps.TakeUser(userspec="5:+6", groups="7,8"),
    steps.KeepCaps(),
    steps.ClearEnvironment(keep=("TERM",)),
    steps.Init(),
    steps.Exec(argv=("ip", "-br", "link")),
    steps.RunPython(),
    steps.Hold(path="/proc/7/root"),
    steps.Join(pid=7, start=9, types=("net", "pid"), files=(("uts", "/run/u"),), words="-t 7 -n"),
    steps.JoinRoot(root="/proc/7/root"),
    steps.JoinWd(wd="/proc/7/cwd"),
    steps.Return(wd="/srv"),
    steps.TakeEnvironment(file="/proc/7/environ"),
    steps.DropGroups(),
    steps.TakeIds(uid=0, gid=0),
    steps.KeepBox(box="web"),
    steps.LinkUp(link="lo"),
    steps.MountTmpfs(target="/tmp", kept=("/tmp/my work",)),
    steps.MountDevices(devices=("null", "tty"), target="/srv/a b/dev"),
    steps.ReadOnly(paths=("/proc/sys", "/sys")),
    steps.Mask(files=("/proc/kcore",), directories=("/sys/firmware",)),
    steps.BoundCapabilities(),
    steps.NewKeyring(),
    steps.DropCapabilities(),
    steps.NoNewPrivileges(),
    steps.Seccomp(refused=("mount",), program=((6, 0, 0, 0x7FFF0000),)),
)


def named(cls: type[Step]) -> Step:
    return next(step for step in EXAMPLES if type(step) is cls)


def test_every_kind_of_step_is_among_the_examples() -> None:
    assert {type(step).__name__ for step in EXAMPLES} == set(steps.STEPS)


@pytest.mark.parametrize("step", EXAMPLES, ids=lambda step: type(step).__name__)
def test_a_step_describes_itself(step: Step) -> None:
    assert step.name
    assert step.label
    assert all(call[-1] in ")}" and "\n" not in call for call in step.syscalls())
    assert step.syscall() == ", ".join(step.syscalls())
    assert "\n" not in step.shell()
    # What cannot be typed into the shell must be an option of unshare(1).
    assert step.shell() or step.options
    assert set(step.options) <= {field.name for field in fields(Isolation)}


@pytest.mark.parametrize("step", EXAMPLES, ids=lambda step: type(step).__name__)
def test_a_step_survives_the_spawners_protocol(step: Step) -> None:
    assert steps.from_json(json.loads(json.dumps(steps.to_json(step)))) == step


def test_a_step_that_does_not_say_its_calls_is_found_out() -> None:
    with pytest.raises(TypeError, match="Step does not say its system calls"):
        Step().syscall()


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        (steps.Unshare, "unshare(CLONE_NEWTIME|CLONE_NEWNS|CLONE_NEWNET)"),
        (steps.MapIds, 'write(FD</proc/self/uid_map>, "0 1000 1", 8)'),
        (steps.MapIdsOutside, r'write(FD</proc/PID/gid_map>, "0 1000 1\n1 100000 9", 19)'),
        (
            steps.MapIdsByHelper,
            'execve(".../newuidmap", ["newuidmap", "PID", "0", "1000", "1"], ENV)',
        ),
        (steps.Chroot, r'chroot("/a \"b\""), chdir("/")'),
        (steps.LoadInterpreter, r'write(FD</mnt/register>, ":x:M::\\x7f::/bin/x:F", 20)'),
        (steps.Exec, 'execve(".../ip", ["ip", "-br", "link"], ENV)'),
    ],
)  # fmt: skip
def test_calls_are_written_as_strace_writes_them(kind: type[Step], calls: str) -> None:
    assert named(kind).syscall() == calls


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (
            steps.EnterCgroup,
            "mkdir -p '/sys/fs/cgroup/a b' && echo 0 > '/sys/fs/cgroup/a b'/cgroup.procs",
        ),
        (
            steps.MountProc,
            "mount --make-rprivate /proc; mount -t proc -o nosuid,noexec,nodev proc /proc",
        ),
        (steps.Chroot, """chroot '/a "b"' bash"""),
        (steps.ClearEnvironment, 'exec env -i TERM="$TERM" bash'),
        (steps.Exec, "exec ip -br link"),
        (steps.MapIds, ""),
        (steps.Persist, ""),
    ],
)  # fmt: skip
def test_shell_lines_are_quoted_for_bash(kind: type[Step], line: str) -> None:
    assert named(kind).shell() == line


def plan(wish: Isolation, *listed: Step) -> Plan:
    return Plan(isolation=wish, steps=listed)


def test_files_are_touched_before_unshare_binds_to_them() -> None:
    wish = Isolation(namespaces=frozenset({"net"}), persist=(("net", "/run/my net"),))
    found = shell_lines(plan(wish, steps.Unshare(types=("net",)), named(steps.Persist)))
    assert found == (
        "touch '/run/my net' && unshare '--net=/run/my net' bash",
        "# by '--net=/run/my net'",
    )


def test_the_ids_of_a_new_root_are_options_of_chroot() -> None:
    listed = (
        steps.Fork(keep=True), steps.Chroot(root="/srv/"), steps.Chdir(wd="/tmp"),
        steps.MountProc(target="p"), steps.SetGid(gid=7), steps.SetUid(uid=8),
    )  # fmt: skip
    wish = Isolation(root="/srv/", wd="/tmp", mount_proc="p", setgid=7, setuid=8)
    mount = "mount -t proc -o nosuid,noexec,nodev proc /srv/tmp/p"
    chroot = "chroot --userspec=+8:+7 --groups= /srv/ bash"
    carried = "# on the line with chroot"
    assert shell_lines(plan(wish, *listed)) == (
        "bash", f"{mount} && {chroot}", "cd /tmp", carried, carried, carried,
    )  # fmt: skip
    without_group = shell_lines(plan(wish, *listed[:3], listed[5]))
    assert without_group[1:] == ("chroot /srv/ bash", "cd /tmp", "setpriv --reuid 8 bash")


def test_the_owner_of_a_user_namespace_is_left_to_unshare() -> None:
    wish = Isolation(namespaces=frozenset({"user"}), owner=(3, 4))
    found = shell_lines(plan(wish, named(steps.SetOwner), steps.Unshare(types=("user",))))
    assert found == ("# by --owner=3:4", "unshare --user --owner=3:4 bash")


def test_the_whole_command_has_the_program_and_is_empty_without_options() -> None:
    program = steps.Exec(argv=("echo", "a b"))
    wish = Isolation(namespaces=frozenset({"net"}))
    unshare = steps.Unshare(types=("net",))
    assert unshare_command(plan(wish, unshare, program)) == "unshare --net echo 'a b'"
    assert unshare_command(plan(Isolation(), steps.Fork(keep=True), program)) == ""
