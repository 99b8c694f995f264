"""`%nsmagic`: all magics with an example each, and the settings of this notebook."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

from nsmagic.notebook.failures import one_message
from nsmagic.notebook.pacing import OutputLimits
from nsmagic.notebook.tables import Cell, Column, Table
from nsmagic.wish.nsmagic import NSMAGIC, SETTINGS, VERBS, NsmagicWish, Verb, read_nsmagic
from nsmagic.wish.usage import help_text

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nsmagic.notebook.runner import Runner


@magics_class
class OverviewMagics(Magics):
    """`%nsmagic`.  `runner` is whose settings are changed."""

    def __init__(self, shell: InteractiveShell, runner: Callable[[], Runner]) -> None:
        super().__init__(shell)
        self.runner = runner

    @no_var_expand
    @line_magic
    def nsmagic(self, line: str) -> object:
        """Show all magics with an example each, or the settings; the cell's value is the table."""
        with one_message():
            wish = read_nsmagic(line)
            if wish.help:
                sys.stdout.write(help_text(NSMAGIC))
                return None
            if wish.verb is None:
                return self._overview()
            return self._set(wish) if wish.verb.word == "set" else _obey(wish.verb, wish.words)

    def _set(self, wish: NsmagicWish) -> Table:
        defaults = OutputLimits()
        changes: dict[str, Any] = {
            name: getattr(defaults, name) if value is None else value
            for name, value in wish.changes
        }
        runner = self.runner()
        runner.limits = replace(runner.limits, **changes)
        return settings_table(runner.limits)

    def _overview(self) -> Table:
        from nsmagic.notebook.catalogue import CATALOGUE

        shell: Any = self.shell
        magics = shell.magics_manager.magics
        rows = []
        for entry in CATALOGUE:
            signs = [sign for sign, kind in (("%%", "cell"), ("%", "line"))
                     if entry.name in magics[kind]]  # fmt: skip
            if signs:
                what = re.split(r"(?<=\.)\s", entry.table.summary)[0].replace("\n", " ")
                names = "\n".join(f"{sign}{entry.name}" for sign in signs)
                rows.append((names, what, entry.table.example))
        columns = (
            Column(title="magic", mono=True, whole=True),
            Column(title="what it does"),
            Column(title="an example to try", mono=True),
        )
        return Table(columns=columns, rows=tuple(rows), above=tuple(_above()))


def _above() -> Iterator[Cell]:
    yield Cell(text="%%unshare? shows the options of a magic; Tab completes them.", tone="dim")
    for verb in VERBS:
        line = f"%nsmagic {verb.word} {verb.operands}".strip()
        yield Cell(text=f"{line}: {verb.help}", tone="dim")


def settings_table(limits: OutputLimits) -> Table:
    """Return the settings with their values and what they were at the start."""
    defaults = OutputLimits()
    rows = []
    for each in SETTINGS:
        now, first = int(getattr(limits, each.field)), int(getattr(defaults, each.field))
        rows.append((f"{each.key}={each.show(now)}", each.show(first), each.meaning))
    columns = (
        Column(title="setting", mono=True),
        Column(title="default", mono=True),
        Column(title="what it is"),
    )
    return Table(columns=columns, rows=tuple(rows))


def _obey(verb: Verb, words: tuple[str, ...]) -> object:
    module, _, name = verb.place.partition(":")
    do: Any = getattr(import_module(f"nsmagic.{module}"), name)
    return do(words)


OverviewMagics.nsmagic.__doc__ = f"{OverviewMagics.nsmagic.__doc__}\n\n{help_text(NSMAGIC)}"
