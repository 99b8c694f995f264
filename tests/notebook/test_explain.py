from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from nsmagic.notebook.explain import ExplainView, explain_table
from nsmagic.notebook.publishers import publisher_for
from nsmagic.notebook.tables import Cell, Table
from nsmagic.run.result import Result
from nsmagic.wish.errors import StepError
from nsmagic.wish.idmaps import Ids
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.plan import Plan, Situation, make_plan
from nsmagic.wish.steps import Chroot, RunPython

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

ROOT = Situation(uids=Ids(kind="uid", own=0), gids=Ids(kind="gid", own=0), sys_admin=True)
USER = Situation(uids=Ids(kind="uid", own=1000), gids=Ids(kind="gid", own=1000), sys_admin=False)
PID = Isolation(namespaces=frozenset({"pid"}))
TITLES = ["#", "step", "paste into a root shell", "system call", "result", "ms"]


def planned(wish: Isolation = PID, situation: Situation = ROOT) -> Plan:
    return make_plan(wish, situation, RunPython())


def column(table: Table, title: str) -> list[tuple[str, str]]:
    """Texts and tones of a column."""
    index = [each.title for each in table.columns].index(title)
    cells = [row[index] for row in table.rows]
    return [(c.text, c.tone) if isinstance(c, Cell) else (c, "plain") for c in cells]


def above(table: Table) -> list[str]:
    return [entry.text if isinstance(entry, Cell) else entry for entry in table.above]


def test_before_the_run_every_step_is_pending() -> None:
    table = explain_table(planned())
    assert [each.title for each in table.columns] == TITLES
    assert column(table, "#") == [("1", "plain"), ("2", "plain"), ("3", "plain")]
    assert column(table, "result") == [("…", "dim")] * 3


def test_comments_and_what_has_no_system_call_are_dim() -> None:
    table = explain_table(planned())
    tones = [tone for _, tone in column(table, "paste into a root shell")]
    assert tones == ["plain", "dim", "plain"]
    assert column(table, "system call")[-1][1] == "dim"


def test_only_what_is_pasted_is_copied() -> None:
    copied = [each.title for each in explain_table(planned()).columns if each.copied]
    assert copied == ["paste into a root shell"]


def test_while_the_body_runs_the_steps_have_their_times() -> None:
    table = explain_table(planned(), Result(spent=[0.123, 4.5]))
    assert column(table, "result") == [("ok", "good"), ("ok", "good"), ("running", "dim")]
    assert [text for text, _ in column(table, "ms")] == ["0.12", "4.50", ""]


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (Result(status=0), ("status 0", "good")),
        (Result(status=3 << 8), ("status 3", "bad")),
        (Result(status=9), ("SIGKILL", "bad")),
        (Result(status=40), ("SIGRTMIN+6", "bad")),
        (Result(status=9, stopped="timeout"), ("timeout", "bad")),
    ],
)
def test_at_the_end_the_body_has_its_own(result: Result, shown: tuple[str, str]) -> None:
    result.seconds, result.spent = 0.05, [1.0, 4.0]
    table = explain_table(planned(), result)
    assert column(table, "result")[-1] == shown
    assert column(table, "ms")[-1] == ("45.00", "plain")


def test_a_refused_step_is_red_and_what_follows_was_not_reached() -> None:
    plan = planned(Isolation(root="/nowhere", wd="/tmp"))
    refused = StepError(Chroot(root="/nowhere"), errno.ENOENT, "No such file", "/nowhere", "hint")
    results = column(explain_table(plan, Result(seconds=0.1), refused), "result")
    assert results == [
        ("ok", "good"), ("ENOENT\nNo such file or directory", "bad"),
        ("not reached", "dim"), ("not reached", "dim"),
    ]  # fmt: skip


def test_a_cell_ended_before_it_was_ready_has_no_results() -> None:
    table = explain_table(planned(), Result(status=9, stopped="start", seconds=10.0))
    assert {text for text, _ in column(table, "result")} == {"no report"}


def test_a_dry_run_has_no_columns_for_what_did_not_happen() -> None:
    table = explain_table(planned(), dry_run=True)
    assert [each.title for each in table.columns] == TITLES[:4]


def test_the_whole_command_stands_above_with_what_was_added() -> None:
    lines = above(explain_table(planned(situation=USER), asked=PID))
    assert lines[0] == "unshare --pid --user --map-root-user --fork   # all of it at once"
    assert lines[1] == "Added by nsmagic: --user --map-root-user --fork"
    # what was added is not said twice
    added, elsewhere = planned(situation=USER).notes
    assert added not in lines
    assert lines[2:] == [elsewhere, "FD: known only when it runs"]


def test_nothing_is_said_to_be_added_where_nothing_was() -> None:
    asked = Isolation(namespaces=frozenset({"uts"}))
    table = explain_table(planned(asked), asked=asked)
    assert above(table) == ["unshare --uts   # all of it at once"]


class Front:
    """A front end that keeps the bundles it was sent."""

    columns = 80

    def __init__(self) -> None:
        self.sent: list[tuple[dict[str, str], str, bool, bool]] = []

    def bundle(self, data: Any, display_id: str, *, update: bool, settled: bool) -> None:  # noqa: ANN401
        self.sent.append((data, display_id, update, settled))


def test_the_view_updates_one_display() -> None:
    front = Front()
    view = ExplainView(front)  # type: ignore[arg-type]
    view.show(planned())
    view.update(Result(spent=[0.1, 0.2]))
    view.update(Result(spent=[0.1, 0.2], seconds=0.1))
    assert [(update, settled) for _, _, update, settled in front.sent] == [
        (False, False), (True, True), (True, True),
    ]  # fmt: skip
    assert len({display_id for _, display_id, _, _ in front.sent}) == 1
    assert "status 0" in front.sent[-1][0]["text/html"]
    assert max(map(len, front.sent[0][0]["text/plain"].splitlines())) <= 80


def test_an_update_needs_something_shown() -> None:
    with pytest.raises(ValueError, match="before show"):
        ExplainView(Front()).update(Result())  # type: ignore[arg-type]


def test_a_terminal_gets_the_table_once_before_the_output(
    ip: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    publisher = publisher_for(ip)
    view = ExplainView(publisher)
    publisher.text("stdout", "no line end")
    view.show(planned())
    assert capsys.readouterr().out == "no line end"
    view.update(Result(spent=[0.1, 0.2]))
    publisher.text("stdout", "body\n")
    view.update(Result(spent=[0.1, 0.2], seconds=0.1))
    shown = capsys.readouterr().out
    assert shown.startswith("\nunshare --pid --fork   # all of it at once\n")
    assert shown.count("unshare(CLONE_NEWPID)") == 1
    assert shown.endswith("body\n")


def test_a_terminal_gets_a_dry_run_at_once(
    ip: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    ExplainView(publisher_for(ip)).show(planned(), dry_run=True)
    assert "unshare(CLONE_NEWPID)" in capsys.readouterr().out
