"""Tab: completes the lines of our magics, in JupyterLab and in a terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from IPython.core.completer import SimpleCompletion, context_matcher

from nsmagic.notebook.magicline import find_line

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

    from nsmagic.wish.complete import Source
    from nsmagic.wish.values import Kind

Boxes = Callable[[], Mapping[int, str]]

IDENTIFIER: Final = "nsmagic"
_LONGEST_MEANING: Final = 44


# A no-break space, and a hyphen after which no line ends.
_UNBROKEN: Final = str.maketrans({" ": "\xa0", "-": "\u2011"})


# Sources that later layers add when they are loaded.
SOURCES: Final[dict[str, Callable[[str], Iterator[tuple[str, str]]]]] = {}


class _Nothing(list[SimpleCompletion]):
    """Empty, but not to IPython, which otherwise offers Python names and files instead."""

    def __len__(self) -> int:
        return 1


class LineCompleter:
    """Knows what may stand in a magic's line.  `boxes` tells the names of boxes by their PID."""

    def __init__(self, shell: InteractiveShell, boxes: Boxes = dict) -> None:
        self._shell, self.boxes = shell, boxes

    def install(self) -> None:
        """Let IPython ask us; asking twice is once."""
        self.remove()
        matcher = context_matcher(identifier=IDENTIFIER, priority=60)(self._match)
        self._completer.custom_matchers.append(matcher)

    def remove(self) -> None:
        """Take away every matcher of ours, also one of a load before."""
        matchers = self._completer.custom_matchers
        matchers[:] = [each for each in matchers
                       if getattr(each, "matcher_identifier", "") != IDENTIFIER]  # fmt: skip

    @property
    def _completer(self) -> Any:  # noqa: ANN401 - IPCompleter, or what a front end put in its place
        return self._shell.Completer

    # A function and not the method: IPython marks what it is given with attributes.
    @property
    def _match(self) -> Callable[[CompletionContext], SimpleMatcherResult]:
        def match(context: CompletionContext) -> SimpleMatcherResult:
            lines = context.full_text.split("\n")[: context.cursor_line]
            return self.match(context.text_until_cursor, lines)

        return match

    def match(self, line: str, above: list[str]) -> SimpleMatcherResult:
        """Complete `line`, which ends at the cursor, below the lines `above` in its cell."""
        found = find_line(self._shell, line, above)
        if found is None or not found.rest or not _can_name_files(found.rest):
            return {"completions": [], "suppress": False}
        # Imported now: loading nsmagic does not wait for the first Tab.
        from nsmagic.wish.lines import take_apart

        begun = take_apart(found.rest)
        source = self._source(found.entry.table, begun.words)
        offered = found.entry.complete((*begun.words, begun.word), source, cell=found.cell)
        kept = min((each.kept for each in offered), default=0)
        written = [begun.written(each.text, kept) for each in offered]
        listed = [
            SimpleCompletion(text, type=_short(each.help))
            for (text, _), each in zip(written, offered, strict=True)
        ]
        fragment = written[0][1] if written else begun.raw
        return {
            "completions": listed or _Nothing(), "suppress": True, "matched_fragment": fragment,
            "ordered": True,
        }  # fmt: skip

    def _source(self, table: Any, words: tuple[str, ...]) -> Source:  # noqa: ANN401 - see Entry
        """Return the look-up of values; files and programs are those of the new root, if any."""
        from nsmagic.linux.offers import files, offered, programs
        from nsmagic.wish.getopt import scan

        scanned = scan(table, words)
        roots = [given.text for given in scanned.given if given.option.field == "root"]
        root = (scanned.rest[0] if table.program == "chroot" and scanned.rest else "") or (
            next((text for text in reversed(roots) if text), "")
        )

        def source(kind: Kind, start: str) -> Iterator[tuple[str, str]]:
            if kind.source in self._own:
                yield from self._own[kind.source](start)
            elif kind.source == "program" and root:
                yield from programs(start, root)
            elif kind.source == "file" and root and scanned.rest:
                yield from files(start, root=root)
            else:
                yield from offered(kind, start)

        return source

    @property
    def _own(self) -> Mapping[str, Callable[[str], Iterator[tuple[str, str]]]]:
        """The sources that only the notebook has."""
        return {
            "variable": self._variables, "box": self._boxes, "subject": self._subjects,
            "target": self._subjects, "cgroup": self._cgroups, **SOURCES,
        }  # fmt: skip

    def _variables(self, start: str) -> Iterator[tuple[str, str]]:
        hidden = self._shell.user_ns_hidden
        for name, value in self._shell.user_ns.items():
            if name.startswith(start or "") and name not in hidden and name[0] != "_":
                yield name, type(value).__name__

    def _boxes(self, start: str) -> Iterator[tuple[str, str]]:
        for pid, name in sorted(self.boxes().items(), key=lambda pair: pair[1]):
            if name.startswith(start):
                yield name, f"box, PID {pid}"

    def _cgroups(self, start: str) -> Iterator[tuple[str, str]]:
        from nsmagic.run.groups import groups

        for name in list(groups().live):  # a cell beside this one may end
            if name.startswith(start):
                yield name, "cgroup of this notebook"

    def _subjects(self, start: str) -> Iterator[tuple[str, str]]:
        from nsmagic.linux.offers import processes

        yield from self._boxes(start)
        yield from processes(start)


def _can_name_files(text: str) -> bool:
    """Whether Linux could be asked for it: no NUL, and no half of a character."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _short(meaning: str) -> str:
    """Return it in one line that JupyterLab does not break: its popup has no room for two."""
    words = " ".join(meaning.split())
    fits = len(words) <= _LONGEST_MEANING
    return (words if fits else words[: _LONGEST_MEANING - 1] + "…").translate(_UNBROKEN)
