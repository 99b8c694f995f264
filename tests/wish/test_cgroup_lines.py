"""Lines of `%%cgroup` and `%cgroup`, and what they become: nothing here touches Linux."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nsmagic.wish import steps
from nsmagic.wish.cgroup import VERBS, Order, cgroup_help, heads_a_cell, read_cgroup, read_order
from nsmagic.wish.errors import WishError
from nsmagic.wish.groups import CellGroup
from nsmagic.wish.idmaps import Ids
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.limits import LIMITS, parse_limits, with_implied
from nsmagic.wish.plan import Plan, Situation, make_plan

if TYPE_CHECKING:
    from nsmagic.wish.values import Names

NAMES: Names = None  # type: ignore[assignment]  # no option of this line names users


def test_limits_and_options_mix_until_the_program() -> None:
    wish, ours, program = read_cgroup("mem=64M --bg pids=20 --timeout 5 env A=1 mem=2M", NAMES)
    assert wish == Isolation(cgroup=True, limits=parse_limits(["mem=64M", "pids=20"]))
    assert (ours.bg, ours.timeout) == (True, 5)
    assert program == ("env", "A=1", "mem=2M")
    assert read_cgroup("-- x=1", NAMES)[2] == ("x=1",), "after -- there is only a program"
    assert read_cgroup('cpu.max="50000 100000"', NAMES)[0].limits == parse_limits(["cpu=50%"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("memm=64M", "no limit is called 'memm' (nearest: mem)"),
        ("mem=64X", "mem=64X"),
        ("mem=64M memory.max=32M", "are the same limit"),
        ("mem=64M --name ../../x", "'../../x' is not a letter"),
        ("mem=64M --name /abs", "'/abs' is not a letter"),
        ("mem=64M --name 'a\nb'", "is not a letter"),
        ("mem=64M --name ''", "'' is not a letter"),
        ("freeze web", "freeze is a verb of %cgroup"),
        ("--bogus", "cgroup has no option --bogus"),
    ],
)
def test_nonsense_is_refused(line: str, said: str) -> None:
    with pytest.raises(WishError) as caught:
        read_cgroup(line, NAMES)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("line", "order"),
    [
        ("", Order()),
        ("off", Order(verb="off")),
        ("kill web", Order(verb="kill", name="web")),
        ("set web mem=1M", Order(verb="set", name="web", limits=parse_limits(["mem=1M"]))),
        ("mem=1M", None),
        ("mem=1M kill 5", None),
        ("ls", None),
    ],
)
def test_verbs(line: str, order: Order | None) -> None:
    assert read_order(line) == order


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("freeze", "which group?"),
        ("set web", "to what?"),
        ("set mem=1M", "which group?"),
        ("off web", "'web' is too much"),
        ("kill web now", "'now' is too much"),
        ("set web mem", "mem has no value"),
    ],
)
def test_incomplete_verbs(line: str, said: str) -> None:
    with pytest.raises(WishError) as caught:
        read_order(line)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("line", "heads"),
    [
        ("mem=64M", True),
        ("mem=64M --timeout 5 pids=3", True),
        ("--bg", True),
        ("memm=1", True),
        ("", False),
        ("mem=64M ls", False),
        ("set web mem=1M", False),
        ("off", False),
        ("--help", False),
        ("--timeout", False),
        ("'mem=1", False),
    ],
)
def test_which_lines_head_a_cell(line: str, heads: bool) -> None:
    assert heads_a_cell(line) == heads


def test_help_names_everything() -> None:
    text = cgroup_help()
    assert all(f" {row.key}=" in text for row in LIMITS if "." not in row.key)
    assert all(verb.typed("cgroup") in text for verb in VERBS)


def plan(line: str, wish: Isolation, group: CellGroup) -> Plan:
    found = with_implied(parse_limits(line.split()))
    group = CellGroup(**{**vars(group), "limits": found})
    situation = Situation(
        uids=Ids(kind="uid", own=0), gids=Ids(kind="gid", own=0), sys_admin=True,
        cgroup=group.unified, group=group,
    )  # fmt: skip
    return make_plan(wish, situation, steps.RunPython())


V2 = CellGroup(unified="/cg/g", controllers=frozenset({"memory", "pids"}))
V1 = CellGroup(
    unified="/u/g", v1=(("memory", "/m/g"), ("cpuset", "/s/g")),
    members=(("cpuset.cpus", "0-1"), ("cpuset.mems", "0")),
)  # fmt: skip


def test_the_plan_on_version_2() -> None:
    made = plan("mem=64M", Isolation(cgroup=True), V2)
    assert made.steps == (
        steps.MakeCgroup(cgroup="/cg/g"),
        steps.SetLimit(file="/cg/g/memory.max", text="67108864", key="mem"),
        steps.SetLimit(file="/cg/g/memory.swap.max", text="0", key="swap"),
        steps.Fork(cgroup="/cg/g"),
        steps.RunPython(),
    )
    assert any("forbids swap" in note for note in made.notes)


def test_the_plan_on_version_1() -> None:
    made = plan("mem=64M cpus=1", Isolation(cgroup=True, namespaces=frozenset({"net"})), V1)
    assert made.steps == (
        *(steps.MakeCgroup(cgroup=each) for each in ("/u/g", "/m/g", "/s/g")),
        steps.SetLimit(file="/s/g/cpuset.mems", text="0"),
        steps.SetLimit(file="/m/g/memory.limit_in_bytes", text="67108864", key="mem"),
        steps.SetLimit(file="/m/g/memory.memsw.limit_in_bytes", text="67108864", key="swap"),
        steps.SetLimit(file="/s/g/cpuset.cpus", text="1", key="cpus"),
        steps.EnterCgroup(cgroup="/m/g", file="tasks"),
        steps.EnterCgroup(cgroup="/s/g", file="tasks"),
        steps.Unshare(types=("net",)),
        steps.Fork(cgroup="/u/g"),
        steps.RunPython(),
    )


def test_pids_of_version_1_are_counted_from_the_fork_on() -> None:
    group = CellGroup(v1=(("memory", "/m/g"), ("pids", "/p/g")))
    names = [str(step) for step in plan("pids=1", Isolation(cgroup=True), group).steps]
    fork = next(i for i, name in enumerate(names) if name.startswith("Fork"))
    assert "cgroup='/m/g', file='tasks'" in names[fork - 1]
    assert "cgroup='/p/g', file='tasks'" in names[fork + 1]


def test_a_cgroup_namespace_has_the_group_for_its_root() -> None:
    wish = Isolation(cgroup=True, namespaces=frozenset({"cgroup"}))
    names = [type(step).__name__ for step in plan("mem=64M", wish, V2).steps]
    assert names.index("EnterCgroup") < names.index("Unshare")
