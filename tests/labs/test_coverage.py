"""The tables in notebooks/README.md are what the notebooks and exercises say themselves."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nsmagic.labs.needs import why_not
from nsmagic.labs.watched import Watched
from tests.labs.coverage import coverage_table, labs_table, places
from tests.labs.items import ITEMS, NOT_YET

if TYPE_CHECKING:
    from tests.support.kernel_driver import KernelDriver

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
COUNT = 122  # 121 rows of five tables, one of which is about two items


def test_the_readme_is_up_to_date() -> None:
    text = (NOTEBOOKS / "README.md").read_text()
    assert labs_table() in text
    assert coverage_table(NOTEBOOKS) in text


@pytest.mark.linux
def test_the_exercise_in_the_readme_works(kernel: KernelDriver) -> None:
    if refused := why_not("uts"):
        pytest.skip(refused)
    (code,) = re.findall(r"```python\n(.*?)```", (NOTEBOOKS / "README.md").read_text(), re.DOTALL)
    kernel.run(code, raise_error=True)
    kernel.run("%lab start 03", raise_error=True)
    made = "from nsmagic.labs.exercises import EXERCISES; quiet = EXERCISES['quiet']"
    kernel.run(f"{made}\nx = get_ipython().run_cell(quiet.solution)", raise_error=True)
    kernel.run("%lab check quiet --strict", raise_error=True)
    kernel.run("x = get_ipython().run_cell(quiet.mistakes[0].cell)", raise_error=True)
    said = kernel.run("%lab check quiet --strict").error
    assert said is not None
    assert "it is still" in said["evalue"]
    kernel.run("%lab reset", raise_error=True)


def test_the_facts_in_the_readme_can_be_asked() -> None:
    text = " ".join((NOTEBOOKS / "README.md").read_text().split())
    listed = text.partition("`nsmagic.labs.watched.Watched`: ")[2].partition(" and more")[0]
    facts = re.findall(r"`([^`]+)`", listed)
    assert len(facts) > 10
    pipe = subprocess.PIPE
    with subprocess.Popen(["tee", "-i"], stdin=pipe, stdout=pipe, text=True, bufsize=1) as sleeper:
        assert sleeper.stdin is not None
        assert sleeper.stdout is not None
        print("begun", file=sleeper.stdin)
        assert sleeper.stdout.readline() == "begun\n"
        known = {"it": Watched(sleeper.pid, "sleeper")}
        found = {fact: eval(f"it.{fact}", known) for fact in facts}
        sleeper.kill()
    assert found["argv"] == ("tee", "-i")
    assert found["children"] == ()
    assert found["hostname"] == os.uname().nodename
    assert set(found["namespaces"]) == {
        link for link in os.listdir("/proc/self/ns") if not link.endswith("_for_children")
    }


def test_what_is_not_covered_is_said() -> None:
    assert {item for item, labs in places(NOTEBOOKS).items() if not labs} == set(NOT_YET)


def test_no_item_is_forgotten() -> None:
    assert len(ITEMS) == COUNT
