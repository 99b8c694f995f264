"""What every lab has, in both languages: goals, guesses, observations, corrections, a quiz."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from nsmagic.labs.catalogue import LABS, load
from nsmagic.labs.exercises import EXERCISES, QUESTIONS
from tests.support.notebooks import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbformat import NotebookNode

load()
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
HEADING: Final = re.compile(r"^## (.+)$", re.MULTILINE)
NUMBERED: Final = re.compile(r"(\d+)\. (.+)")
MANUAL: Final = re.compile(r"[a-z_0-9.-]+\([1-9]\)|\w[\w-]*\.rst")
QUOTE: Final = re.compile(r"^> \*\*[^\n]*\n(?:>[^\n]*\n?)*", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Words:
    """How an edition says what every lab has."""

    folder: str
    goals: str
    predict: str
    sentence: str
    exercise: str
    recap: str
    often: str
    fact: str


EDITIONS: Final = (
    Words(folder="", goals="**After this lab you can**", predict="**Predict", exercise="Exercise:",
          sentence="One sentence: *", recap="Recap", often="> **Often written:** ",
          fact="> **In fact** "),
    Words(folder="ko", goals="**이 실습을 마치면**", predict="**예측", exercise="연습:",
          sentence="한 문장으로: *", recap="정리", often="> **흔한 설명:** ", fact="> **사실은** "),
)  # fmt: skip
EVERY: Final = [
    pytest.param(lab.name, words, id=f"{lab.name}{words.folder and '-' + words.folder}")
    for words in EDITIONS
    for lab in LABS
]


@dataclass(frozen=True, kw_only=True)
class Section:
    """The text below one heading and the sources of its code cells, in order, text included."""

    title: str
    parts: tuple[tuple[bool, str], ...]  # (is it code, its source)

    @property
    def text(self) -> str:
        return "\n\n".join(source for code, source in self.parts if not code)

    @property
    def code(self) -> list[str]:
        return [source for code, source in self.parts if code]


def sections(node: NotebookNode) -> Iterator[Section]:
    """The notebook by its headings; what stands before the first is a section without title."""
    title, parts = "", list[tuple[bool, str]]()
    for cell in node.cells:
        if cell.cell_type == "code":
            parts.append((True, cell.source))
            continue
        before, *rest = HEADING.split(cell.source)
        parts.append((False, before))
        for heading, text in zip(rest[::2], rest[1::2], strict=True):
            yield Section(title=title, parts=tuple(parts))
            title, parts = heading, [(False, text)]
    yield Section(title=title, parts=tuple(parts))


def lab(name: str, words: Words) -> NotebookNode:
    return read(NOTEBOOKS / words.folder / f"{name}.ipynb")


@pytest.mark.parametrize(("name", "words"), EVERY)
class TestEveryLab:
    def test_begins_with_goals_and_ends_with_recap_quiz_guard_and_reset(
        self, name: str, words: Words
    ) -> None:
        first, *_, last = sections(lab(name, words))
        assert len(re.findall(r"^- ", first.text.partition(words.goals)[2], re.MULTILINE)) >= 3
        assert first.code[:2] == ["%load_ext nsmagic", f"%lab start {name}"]
        assert last.title == words.recap
        assert len(re.findall(r"^- ", last.text, re.MULTILINE)) >= 3
        recap = next(place for place, line in enumerate(last.code) if line.startswith("%nsdiff"))
        quiz = [QUESTIONS[line.split()[2]] for line in last.code[recap:]
                if line.startswith("%lab predict ")]  # fmt: skip
        assert len(quiz) >= 3
        assert all(question.text.startswith("Quiz: ") for question in quiz)
        assert last.code[-2:] == ["%lab guard", "%lab reset"]

    def test_sections_are_counted(self, name: str, words: Words) -> None:
        titles = [section.title for section in sections(lab(name, words))]
        assert titles.pop(0) == ""
        assert titles.pop() == words.recap
        found = [NUMBERED.fullmatch(title) for title in titles]
        assert [int(each[1]) for each in found if each] == list(range(1, len(titles) + 1))
        exercises = [words.exercise in title for title in titles]
        assert exercises == sorted(exercises)  # they come after what they need

    def test_each_section_is_guessed_then_observed_in_one_sentence(
        self, name: str, words: Words
    ) -> None:
        for section in sections(lab(name, words)):
            if not NUMBERED.fullmatch(section.title) or words.exercise in section.title:
                continue
            guessed = [
                place
                for place, (code, source) in enumerate(section.parts)
                if words.predict in source or (code and source.startswith("%lab predict "))
            ]
            observed = [
                place
                for place, (code, source) in enumerate(section.parts)
                if not code and words.sentence in source
            ]
            run = [
                place
                for place, (code, source) in enumerate(section.parts)
                if code and not source.startswith("%lab ")
            ]
            assert guessed, section.title
            assert observed, section.title
            assert guessed[0] < run[-1], section.title
            assert run[0] < observed[-1], section.title

    def test_each_exercise_has_its_cell_its_check_and_its_hints(
        self, name: str, words: Words
    ) -> None:
        mine = [each.id for each in EXERCISES.values() if each.lab == name]
        node = lab(name, words)
        seen = []
        for section in sections(node):
            if words.exercise in section.title:
                (check,) = [line for line in section.code if line.startswith("%lab check ")]
                seen.append(check.split()[2])
        assert seen == mine
        text = "\n".join(cell.source for cell in node.cells if cell.cell_type == "markdown")
        for exercise in mine:
            assert f"`%lab hint {exercise}`" in text

    def test_each_correction_names_where_to_read(self, name: str, words: Words) -> None:
        text = "\n\n".join(
            cell.source for cell in lab(name, words).cells if cell.cell_type == "markdown"
        )
        quotes = QUOTE.findall(text + "\n")
        assert len(quotes) >= 2
        for quote in quotes:
            assert quote.count(words.fact) == 1, quote
            assert quote.startswith((words.often, words.often.rstrip())), quote
            assert MANUAL.search(quote.partition(words.fact)[2]), quote
