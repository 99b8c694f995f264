"""Wish and situation -> steps: which ones, in which order, and what is said to have been added."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from nsmagic.linux.ids import SystemNames
from nsmagic.wish import steps
from nsmagic.wish.errors import WishError
from nsmagic.wish.idmaps import Ids, Range
from nsmagic.wish.plan import Plan, Situation, make_plan
from nsmagic.wish.steps import Step
from nsmagic.wish.unshare import read_unshare

GROUP = "/sys/fs/cgroup/nsmagic-1-cell1"
GRANTED = (Range(start=100_000, count=65_536),)


def situation(uid: int, *, admin: bool, cgroup: str | None = None) -> Situation:
    return Situation(
        uids=Ids(kind="uid", own=uid, granted=GRANTED, known=(Range(start=0, count=2**32 - 1),)),
        gids=Ids(kind="gid", own=uid, granted=GRANTED, known=(Range(start=0, count=2**32 - 1),)),
        sys_admin=admin, sys_chroot=admin, cgroup=cgroup,
    )  # fmt: skip


WHO = {
    "root": situation(0, admin=True),
    "fenced": situation(0, admin=True, cgroup=GROUP),
    "user": situation(1000, admin=False),
    "bare": situation(0, admin=False),  # uid 0 in a container
}


def plan_of(who: str, line: str) -> Plan:
    words = shlex.split(line)
    strict, init = "--strict" in words, "--init" in words
    wish, _, _ = read_unshare(words, SystemNames())
    return make_plan(wish, WHO[who], steps.RunPython(), strict=strict, init=init)


def brief(step: Step) -> str:
    match step:
        case steps.Unshare(types=types, fork=fork):
            return f"unshare({','.join(types)}{',fork' if fork else ''})"
        case steps.MapIds(kind=kind, maps=maps):
            how = {"MapIds": "", "MapIdsOutside": "@outside", "MapIdsByHelper": "@helper"}
            return f"{kind}{how[type(step).__name__]}({'; '.join(map(str, maps))})"
        case steps.Fork(keep=keep, share_memory=share, cgroup=cgroup):
            words = {"keep": keep, "share": share, "cgroup": cgroup is not None}
            return f"fork({','.join(word for word, is_so in words.items() if is_so)})"
        case steps.Persist(link=link, file=file):
            return f"persist({link}={file})"
        case steps.SetGroups(policy=policy):
            return f"setgroups({policy})"
        case steps.Propagate(kind=kind):
            return f"propagate({kind})"
        case steps.MountProc(target=target, make_private=private):
            return f"proc({target}{',private' if private else ''})"
        case steps.SetClock(clock=clock, seconds=seconds):
            return f"{clock}({seconds})"
        case steps.ClearEnvironment(keep=keep):
            return f"env({','.join(keep)})"
    return type(step).__name__.lower()


TABLE = """
root   |                                | fork(keep)
fenced |                                | fork(share,cgroup)
root   | -u                             | unshare(uts) fork(keep)
fenced | -u                             | unshare(uts) fork(share,cgroup)
root   | -m                             | unshare(mnt) fork(keep) propagate(private)
root   | -m --propagation=unchanged     | unshare(mnt) fork(keep)
root   | -m --propagation=slave         | unshare(mnt) fork(keep) propagate(slave)
root   | --propagation=slave            | fork(keep)
root   | -p                             | unshare(pid,fork) fork(share)
root   | -p --strict                    | fork(keep) unshare(pid)
fenced | -p --strict                    | unshare(pid) entercgroup
root   | -pf --strict                   | unshare(pid,fork) fork(share)
root   | -p --init                      | unshare(pid,fork) fork(share) init
root   | -T --monotonic=5 --boottime=-7 | unshare(time,fork) boottime(-7) monotonic(5) fork(keep)
fenced | -T                             | unshare(time,fork) fork(cgroup)
root   | -pT                            | unshare(pid,time,fork) fork()
root   | -p --mount-proc                | unshare(mnt,pid,fork) fork(share) propagate(private) proc(/proc)
root   | --mount-proc=/p --propagation=shared | unshare(mnt) fork(keep) propagate(shared) proc(/p,private)
root   | --mount-proc=/p --propagation=shared -R / | unshare(mnt) fork(keep) propagate(shared) chroot proc(/p)
root   | -r                             | unshare(user) uid(0 0 1) setgroups(deny) gid(0 0 1) fork(keep)
user   | -c                             | unshare(user) uid(1000 1000 1) setgroups(deny) gid(1000 1000 1) fork(keep)
user   | -U                             | unshare(user) fork(keep)
user   | -U --setgroups=allow           | unshare(user) setgroups(allow) fork(keep)
user   | --map-user=5                   | unshare(user) uid(5 1000 1) fork(keep)
user   | --map-group=5                  | unshare(user) setgroups(deny) gid(5 1000 1) fork(keep)
user   | -r --map-group=5               | unshare(user) uid(0 1000 1) setgroups(deny) gid(5 1000 1) fork(keep)
root   | --map-users=0:9:2              | unshare(user) uid@outside(0 9 2) fork(keep)
bare   | --map-users=0:9:2              | unshare(user) uid@outside(0 9 2) fork(keep)
user   | --map-users=0:9:2              | unshare(user) uid@helper(0 9 2) fork(keep)
user   | --map-auto -r | unshare(user) uid@helper(0 1000 1; 1 100000 65536) gid@helper(0 1000 1; 1 100000 65536) fork(keep)
user   | --map-subids | unshare(user) uid@helper(100000 100000 65536) gid@helper(100000 100000 65536) fork(keep)
user   | --map-users=auto -r | unshare(user) uid@helper(0 1000 1; 1 100000 65536) setgroups(deny) gid(0 1000 1) fork(keep)
root   | --owner=7:8                    | setowner unshare(user) fork(keep)
root   | --owner=7:8 -r                 | setowner unshare(user) uid@outside(0 0 1) gid@outside(0 0 1) fork(keep)
fenced | --owner=7:8 -u                 | entercgroup setowner unshare(uts,user) fork(share)
fenced | --owner=7:8 -T                 | entercgroup setowner unshare(user,time,fork) fork()
fenced | --owner=7:8 -p --strict        | entercgroup setowner unshare(pid,user)
root   | -S 5 -G 6                      | fork(keep) setgid setuid
root   | -r --keep-caps -S 0            | unshare(user) uid(0 0 1) setgroups(deny) gid(0 0 1) fork(keep) setuid keepcaps
root   | --keep-caps                    | fork(keep)
root   | -R /srv -w /tmp                | fork(keep) chroot chdir
root   | -u --clear-env                 | unshare(uts) fork(keep) env()
root   | --whitelist-env=A,B            | fork(keep) env(A,B)
root   | --uts=/u --mount=/m --pid=/p   | unshare(mnt,uts,pid,fork) fork(share) persist(mnt=/m) persist(uts=/u) persist(pid=/p) propagate(private)
fenced | --pid=/p --strict              | unshare(pid) entercgroup persist(pid_for_children=/p)
root   | --time=/t --strict             | fork(keep) unshare(time) persist(time_for_children=/t)
root   | -rp --load-interp=:a:M::x::/i: | unshare(mnt,pid,user,fork) uid(0 0 1) setgroups(deny) gid(0 0 1) fork(share) propagate(private) proc(/proc) mountbinfmt loadinterpreter
root   | -rp -l :a:M::x::/i:F -R /srv   | unshare(mnt,pid,user,fork) uid(0 0 1) setgroups(deny) gid(0 0 1) fork(share) propagate(private) mountbinfmt loadinterpreter chroot proc(/proc) mountbinfmt
user   | -n                             | unshare(net,user) uid(0 1000 1) setgroups(deny) gid(0 1000 1) fork(keep)
bare   | -n                             | unshare(net,user) uid(0 0 1) setgroups(deny) gid(0 0 1) fork(keep)
user   | -R /srv                        | unshare(user) uid(0 1000 1) setgroups(deny) gid(0 1000 1) fork(keep) chroot
user   | -n --strict                    | unshare(net) fork(keep)
user   | -n -c                          | unshare(net,user) uid(1000 1000 1) setgroups(deny) gid(1000 1000 1) fork(keep)
user   | -n -U                          | unshare(net,user) fork(keep)
user   |                                | fork(keep)
"""  # noqa: E501 - a table
ROWS = [tuple(cell.strip() for cell in row.split("|")) for row in TABLE.strip().splitlines()]


@pytest.mark.parametrize(("who", "line", "expected"), ROWS)
def test_the_steps_and_their_order(who: str, line: str, expected: str) -> None:
    plan = plan_of(who, line)
    assert " ".join(map(brief, plan.steps)) == f"{expected} runpython"


ADDED = "added --user --map-root-user"
PROC = "/proc still shows the outside"
FIRST_CHILD = "without --fork the cell's first child is PID 1"


@pytest.mark.parametrize(
    ("who", "line", "starts"),
    [
        ("user", "-n", [ADDED]),
        ("bare", "-n", [ADDED]),
        ("user", "-p", [ADDED, PROC]),
        ("user", "-p --mount-proc", [ADDED]),
        ("user", "-R /srv", [ADDED]),
        ("user", "-n --map-user=5", []),
        ("user", "-nU", []),
        ("user", "-n --strict", []),
        ("user", "-w /tmp", []),
        ("root", "-n", []),
        ("root", "-p", [PROC]),
        ("root", "-p --strict", [FIRST_CHILD]),
        ("root", "-pf --strict", []),
        ("root", "-p --mount-proc=/elsewhere", []),
    ],
)
def test_what_was_added_is_said(who: str, line: str, starts: list[str]) -> None:
    notes = plan_of(who, line).notes
    assert len(notes) == len(starts)
    assert all(note.startswith(start) for note, start in zip(notes, starts, strict=True))


def test_paths_of_the_notebook_itself_are_followed_for_the_cell() -> None:
    paths = {"/proc/self/fd/9": "/srv"}
    wish, _, _ = read_unshare("-R /proc/self/fd/9 -w /tmp", SystemNames())
    plan = make_plan(wish, replace(WHO["root"], own_paths=paths), steps.RunPython())
    assert plan.steps[1:3] == (steps.Chroot(root="/srv"), steps.Chdir(wd="/tmp"))


def test_the_body_is_the_last_step() -> None:
    body = steps.Exec(argv=("true",))
    wish, _, _ = read_unshare("-u", SystemNames())
    assert make_plan(wish, WHO["root"], body).steps[-1] is body


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-u --init", "--init needs a new PID namespace"),
        ("--monotonic=5", "--monotonic needs a time namespace"),
        ("-r --setgroups=allow", "--setgroups=allow and --map-group exclude each other"),
    ],
)
def test_a_wish_that_contradicts_itself(line: str, words: str) -> None:
    with pytest.raises(WishError, match=words):
        plan_of("root", line)
