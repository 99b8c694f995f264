"""The notebooks of the labs, run whole: solved by root, unsolved by an ordinary user."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nsmagic.labs.catalogue import LABS, load
from nsmagic.labs.exercises import EXERCISES, QUESTIONS
from nsmagic.labs.guard import SENTINELS
from nsmagic.labs.needs import NEEDS, explained, why_not
from nsmagic.labs.solutions import solved
from tests.labs.expected import EXPECTED
from tests.support import sandboxes
from tests.support.kernel_driver import KernelDriver
from tests.support.notebooks import Executed, code_cells, execute, may_fail
from tests.support.skips import NEEDS_ROOT, needs, root_only

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from tests.support.user import Account

load()
pytestmark = pytest.mark.timeout(300)  # a guest on a busy machine
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = [lab.name for lab in LABS]
IN_GUEST = Path("/vmjob").is_dir()  # see tests/vm/guest: nobody else is there
SKIP = re.compile(r"^SKIP: ", re.MULTILINE)
A_CELL = re.compile(r"%lab (check|predict) (\S+)")


def facts_of(cell: NotebookNode) -> dict[str, object]:
    """What the cell says about itself."""
    found: dict[str, object] = cell.metadata.get("nsmagic", {})
    return found


@pytest.mark.parametrize("name", NAMES)
class TestAsCommitted:
    def test_every_exercise_and_question_has_its_cells(self, name: str) -> None:
        cells = list(code_cells(NOTEBOOKS / f"{name}.ipynb"))
        used = {pair for cell in cells for pair in A_CELL.findall(cell.source)}
        work = [str(facts_of(cell)["exercise"]) for cell in cells if "exercise" in facts_of(cell)]
        mine = [each.id for each in EXERCISES.values() if each.lab == name]
        asked = [each.id for each in QUESTIONS.values() if each.lab == name]
        assert sorted(work) == sorted(mine)
        assert used == {("check", each) for each in mine} | {("predict", each) for each in asked}

    def test_what_covers_the_notes_is_asserted(self, name: str) -> None:
        for cell in code_cells(NOTEBOOKS / f"{name}.ipynb"):
            if "covers" in facts_of(cell) and "exercise" not in facts_of(cell):
                assert EXPECTED[name].get(cell.id), cell.id

    def test_nothing_is_expected_of_cells_that_are_gone(self, name: str) -> None:
        assert set(EXPECTED[name]) <= {cell.id for cell in code_cells(NOTEBOOKS / f"{name}.ipynb")}


def compare(name: str, run: Executed, *, but: set[str]) -> None:
    """Check what every cell shows, except those in `but`."""
    for cell, patterns in EXPECTED[name].items():
        if cell in but:
            continue
        streams = [run.text(cell, kind) for kind in ("stdout", "stderr", "")]
        shown = "\n".join([*streams, run.errors(cell)])
        for pattern in patterns:
            assert re.search(pattern, shown, re.MULTILINE), f"{cell}: {pattern}\n{shown}"


def unchanged(run: Executed) -> None:
    """The guard is content; but for what others change, unless we are alone, in a guest."""
    said = run.text("guard")
    if IN_GUEST:
        assert "everything is as it was at the start of the lab" in said
    for sentinel in SENTINELS:
        if not sentinel.many:
            assert re.search(rf"^{sentinel.name} +unchanged$", said, re.MULTILINE), said


def refusals(account: Account | None) -> dict[str, str]:
    """What each need lacks for this user, asked by the user."""
    if account is None:
        return explained({need: why_not(need) for need in NEEDS})
    code = "import json; from nsmagic.labs.needs import *"
    code += "; print(json.dumps(explained({need: why_not(need) for need in NEEDS})))"
    done = account.run([account.python, "-c", code])
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture(params=["ourselves", "user"])
def account(request: pytest.FixtureRequest) -> Account | None:
    """Who runs the notebook: None for ourselves."""
    if request.param == "ourselves":
        return None
    if os.geteuid():
        pytest.skip(NEEDS_ROOT)
    user: Account = request.getfixturevalue("user_alone")
    return user


@pytest.mark.linux
@pytest.mark.parametrize("name", NAMES)
def test_solved(name: str, account: Account | None, tmp_path: Path) -> None:
    folder = account.home / "work" if account else tmp_path
    if account:
        folder.mkdir()
        os.chown(folder, account.uid, account.gid)
    beside = folder / f"{name}.ipynb"
    beside.write_text(solved(NOTEBOOKS / f"{name}.ipynb"))
    (folder / "executed").mkdir(mode=0o777)
    (folder / "executed").chmod(0o777)
    run = execute(beside, folder / "executed", account)
    cells = list(code_cells(NOTEBOOKS / f"{name}.ipynb"))
    skipped = {cell.id for cell in cells if SKIP.search(run.text(cell.id))}
    assert run.failed == {cell.id for cell in cells if may_fail(cell)} - skipped
    checks = {cell.id: EXERCISES[cell.source.split()[2]] for cell in cells
              if cell.source.startswith("%lab check ")}  # fmt: skip
    refused = refusals(account)
    for check, exercise in checks.items():
        lacking = any(refused[need] for need in exercise.needs)
        said = run.text(check)
        assert said.rstrip().endswith("✓  done") != lacking, said
        assert ("cannot be checked here: " in said) == lacking, said
    compare(name, run, but={*checks, *skipped})
    unchanged(run)
    assert {path.name for path in folder.iterdir()} == {"executed", beside.name}
    if account:
        assert list((account.home / "tmp").iterdir()) == []


@pytest.mark.linux
@pytest.mark.parametrize("name", NAMES)
def test_unsolved_by_an_ordinary_user(name: str, request: pytest.FixtureRequest) -> None:
    if os.geteuid():
        pytest.skip(NEEDS_ROOT)
    account: Account = request.getfixturevalue("user_alone")
    run = execute(account.project / "notebooks" / f"{name}.ipynb", account.home, account)
    cells = list(code_cells(NOTEBOOKS / f"{name}.ipynb"))
    skipped = {cell.id for cell in cells if SKIP.search(run.text(cell.id))}
    assert run.failed == {cell.id for cell in cells if may_fail(cell)} - skipped
    compare(name, run, but=skipped)
    unchanged(run)
    assert list((account.home / "tmp").iterdir()) == []


@pytest.mark.linux
@root_only
@needs(sandboxes.sandboxes_work)
@pytest.mark.parametrize("name", NAMES)
def test_in_docker_steps_are_skipped_and_nothing_is_made_up(name: str) -> None:
    with KernelDriver(prefix=sandboxes.docker_default([])) as kernel:
        for cell in code_cells(NOTEBOOKS / f"{name}.ipynb"):
            run = kernel.run(cell.source)
            assert run.status == "ok" or may_fail(cell), f"{cell.id}: {run.reply}"
            if cell.source.startswith("%%unshare --"):
                assert run.stdout.startswith("SKIP: "), cell.id
