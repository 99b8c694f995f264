"""Our rows against those of the installed lsns(8), which is the judge.

Both list the same namespaces inside a PID namespace of the test's own: see both_lists.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nsmagic.wish.lsns import COLUMN_NAMES, LSNS
from tests.support.skips import NEEDS_ROOT, needs, probe
from tests.support.user import PROJECT, Account

Run = Callable[[list[str]], subprocess.CompletedProcess[str]]

COLUMNS = "NS,TYPE,PATH,NPROCS,PID,PPID,COMMAND,UID,USER,NETNSID,NSFS,PNS,ONS"
FRESH = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
PROGRAM = "tests/linux/both_lists.py"


@probe
def own_proc() -> str | None:
    """Can we have a PID namespace with a /proc that shows all of it?"""
    if shutil.which("lsns") is None:
        return "lsns(8) is not installed"
    done = subprocess.run([*FRESH, "-Ur", "true"], capture_output=True, text=True, check=False)
    return done.stderr.strip() or None


pytestmark = [pytest.mark.linux, needs(own_proc)]


@pytest.fixture(params=["root", "user"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run argv in the fresh PID namespace: as root, and as a user who is root in there."""
    if request.param == "user":
        account: Account = request.getfixturevalue("as_user")
        command = [*FRESH, "-Ur", "--", account.python, str(account.project / PROGRAM)]
        return lambda options: account.run([*command, *options])
    if os.geteuid():
        pytest.skip(NEEDS_ROOT)
    command = [*FRESH, "--", sys.executable, str(PROJECT / PROGRAM)]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    return lambda options: subprocess.run(
        [*command, *options], env=environment, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip


def lists(run: Run, *options: str) -> dict[str, Any]:
    done = run(list(options))
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["hidden"] == 0
    return report


Place = tuple[int, ...]


def placed(rows: list[dict[str, Any]], above: Place = ()) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield the rows of a tree, each with the numbers that lead to it."""
    for row in rows:
        place = (*above, row["ns"])
        yield place, {name: value for name, value in row.items() if name != "children"}
        yield from placed(row.get("children", []), place)


def both(report: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Return the rows of both; lsns(8) counts itself, which ours cannot see any more."""
    theirs = list(placed(json.loads(report["lsns"])["namespaces"]))
    for _, row in theirs:
        row["nprocs"] -= row["ns"] in report["own"]
    return theirs, list(placed(json.loads(report["ours"])["namespaces"]))


def with_processes(rows: list[Any]) -> list[Any]:
    return [(place, row) for place, row in rows if row["nprocs"]]


def test_every_column_of_every_row_is_the_same(run: Run) -> None:
    theirs, ours = both(lists(run, "-J", "-l", "-W", "-o", COLUMNS))
    types = [row["type"] for _, row in theirs]
    assert {"mnt", "net", "ipc", "user", "pid", "uts", "cgroup", "time"} == set(types)
    assert types.count("net") >= 4
    assert max(len(row["command"]) for _, row in theirs) > 200
    assert with_processes(ours) == with_processes(theirs)


def test_namespaces_without_processes_come_on_top(run: Run) -> None:
    theirs, ours = both(lists(run, "-J", "-l", "-o", COLUMNS))
    known = {row["ns"] for _, row in theirs}
    more = [row for _, row in ours if row["ns"] not in known]
    # The outer of two user namespaces, which nobody is in.
    assert [(row["type"], row["nprocs"], row["pid"], row["command"]) for row in more] == [
        ("user", 0, None, None)
    ]


@pytest.mark.parametrize("tree", ["-T", "-Towner", "-Tparent"])
def test_trees_of_owners_and_parents(run: Run, tree: str) -> None:
    theirs, ours = both(lists(run, "-J", tree, "-o", COLUMNS))
    assert max(len(place) for place, _ in theirs) > 1
    for _, row in (*theirs, *ours):  # 2.38 says root where it does not know
        if not row["nprocs"]:
            del row["uid"], row["user"]
    assert ours == theirs


def test_tree_of_processes(run: Run) -> None:
    theirs, ours = both(lists(run, "-J", "-Tprocess", "-o", COLUMNS))
    assert max(len(place) for place, _ in theirs) > 1
    assert with_processes(ours) == theirs


@pytest.mark.parametrize("options", ["-t net", "-t mnt -t pid", "-p 2", "-t user -p 1"])
def test_what_is_chosen(run: Run, options: str) -> None:
    theirs, ours = both(lists(run, "-J", "-l", "-o", COLUMNS, *options.split()))
    assert with_processes(ours) == theirs


@pytest.mark.parametrize("options", ["-o NS,COMMAND,NSFS,TYPE", "-n -o TYPE,NS,USER", "-l -o PNS"])
def test_raw_text(run: Run, options: str) -> None:
    report = lists(run, "-r", "-t", "net", "-t", "mnt", *options.split())
    assert report["ours"].splitlines() == report["lsns"].splitlines()
    assert len(report["ours"].splitlines()) > 4


def test_our_table_has_the_options_of_the_installed_program() -> None:
    known = re.findall(r"^ (?:-(\w), |    )--([a-z-]+)", installed_help(), re.MULTILINE)
    assert ("T", "tree") in known
    assert set(known) <= {(row.short or "", row.name) for row in LSNS.options}


def test_our_columns_are_those_of_the_installed_program_and_two_more() -> None:
    known = re.findall(r"^ +([A-Z]+)  \S", installed_help(), re.MULTILINE)
    if not known:  # since 2.42 they have an option of their own
        known = installed_help("-H").split()
    assert [name for name in COLUMN_NAMES if name in known] == COLUMNS.split(",")
    assert set(COLUMN_NAMES) - set(known) == {"BOX", "HELD"}


def installed_help(option: str = "--help") -> str:
    done = subprocess.run(["lsns", option], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout
