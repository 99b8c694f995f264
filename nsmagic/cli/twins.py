"""`nsmagic unshare ...` and its kin: a magic's line in a shell, on the shell's own terminal.

Options, plan, order and hints are the magic's.  What only a notebook can do is refused.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, Final, NoReturn

import nsmagic
from nsmagic.cli.grouped import group_of, last_words, read_back
from nsmagic.cli.main import USAGE, complain_about
from nsmagic.linux.situation import read_situation
from nsmagic.notebook.catalogue import BY_NAME
from nsmagic.notebook.request import READERS
from nsmagic.run.attached import Attached
from nsmagic.run.boxes import boxes
from nsmagic.run.execute import Execute, without_keeper
from nsmagic.run.ledger import close_ledger
from nsmagic.run.result import Result
from nsmagic.wish import steps
from nsmagic.wish.errors import NsmagicError, StepError, WishError
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.ours import Ours, spelling
from nsmagic.wish.plan import Plan, make_plan
from nsmagic.wish.unshare import settle
from nsmagic.wish.usage import help_text

if TYPE_CHECKING:
    from nsmagic.run.groups import LiveGroup

_WORDS: Final = {
    "%rootfs": "in a notebook, %rootfs",
    "this notebook": "this process", "the notebook": "the shell", "The notebook": "The shell",
}  # fmt: skip
# Exit statuses of env(1), chroot(1) and docker-run(1).
REFUSED, CANNOT_RUN, NOT_FOUND, TIMED_OUT = 125, 126, 127, 124

_HERE: Final = frozenset({"timeout", "init", "explain", "dry_run", "strict", "help", "version"})
# What a shell has instead of the options that only a notebook can serve.
_INSTEAD: Final = {
    "name": "Keep a namespace without processes by naming a file: --net=FILE.",
    "replace": "It goes with --name, which is for notebooks.",
    "bg": "Put & behind the command.",
    "returns": "A shell has no variables of Python.",
    "allow_pickle": "It goes with --return, which is for notebooks.",
    "out": "Use > FILE, or VARIABLE=$(nsmagic ...).",
    "err": "Use 2> FILE.",
    "proc": "$? has the exit status, $! the PID of a command with & behind it.",
    "raise_error": "Put || true behind the command.",
    "tty": "The program has this terminal already.",
    "fresh": "Name the program: python3",
}


def run_twin(name: str, words: Sequence[str]) -> int:
    """Do what the magic `name` does with `words`; return the exit status of the program."""
    try:
        wish, ours, program = READERS[name](shlex.join(words))
        if ours.help or ours.version:
            version = f"nsmagic {name} from nsmagic {nsmagic.__version__}\n"
            print(shell_help(name) if ours.help else version, end="")
            return 0
        _refuse_notebook(ours)
        argv = program or (os.environ.get("SHELL") or "/bin/sh",)
        with group_of(wish, ours) as group:
            plan = _plan(settle(wish), ours, argv, group)
            if ours.dry_run:
                print(_table(plan, wish, dry_run=True))
                return 0
            result = _run(plan, wish, ours, group)
        return _leave(result, ours)
    except WishError as error:
        return complain_about(name, _in_a_shell(error), USAGE)
    except StepError as error:
        return complain_about(name, _in_a_shell(error), _status_of(error))
    except NsmagicError as error:
        return complain_about(name, _in_a_shell(error), REFUSED)
    except OSError as error:
        return complain_about(name, NsmagicError(f"could not begin: {error}"), REFUSED)
    finally:
        close_ledger()


def _in_a_shell(error: NsmagicError) -> NsmagicError:
    """Say what the library says to a notebook's user in the words of a shell."""
    if "--name NAME" in error.hint:
        hint = "Boxes live in notebooks; from a shell name a PID: lsns shows whose there are."
        return NsmagicError(str(error), hint=hint)
    hint = re.sub(r"%%?(unshare|chroot|nsenter|cgroup)\b", r"nsmagic \1", error.hint)
    for notebook, shell in _WORDS.items():
        hint = hint.replace(notebook, shell)
    return NsmagicError(str(error), hint=hint)


def _refuse_notebook(ours: Ours) -> None:
    for field in ours.given:
        if field not in _HERE:
            raise WishError(f"{spelling(field)} is for notebooks", hint=_INSTEAD.get(field, ""))


def _plan(wish: Isolation, ours: Ours, argv: Sequence[str], group: LiveGroup | None) -> Plan:
    v2 = None if group is None or group.group.v2 is None else str(group.group.v2)
    situation = replace(
        read_situation(wish, v2), entering=boxes().entering(wish.enter),
        group=None if group is None else group.cell,
    )  # fmt: skip
    body = steps.Exec(argv=tuple(argv))
    return without_keeper(make_plan(wish, situation, body, strict=ours.strict, init=ours.init))


def _run(plan: Plan, wish: Isolation, ours: Ours, group: LiveGroup | None) -> Result:
    if not ours.explain:  # whose table says it too
        _say(plan.notes)

    def ready(spent: list[float]) -> None:
        if ours.explain:
            print(_table(plan, wish, Result(spent=spent)), file=sys.stderr, flush=True)
        elif group is not None:
            _say(read_back(group))

    attached = Attached(
        plan, Execute(plan, hold=ours.explain or group is not None), ready=ready,
        begun=lambda: None if group is None else group.begin(),
    )  # fmt: skip
    sys.stdout.flush()
    with ExitStack() as restored:
        for number, handler in _handlers(attached, wish, group).items():
            restored.callback(signal.signal, number, signal.signal(number, handler))
        try:
            result = attached.run(timeout=ours.timeout)
        except StepError as error:
            if ours.explain:
                print(_table(plan, wish, attached.result, error), file=sys.stderr)
            raise
    if group is not None:
        _say(last_words(group, result))
    return result


def _say(notes: Iterable[str]) -> None:
    for note in notes:
        print(f"nsmagic: {note}", file=sys.stderr, flush=True)


def _handlers(attached: Attached, wish: Isolation, group: LiveGroup | None) -> dict[int, Any]:
    """The terminal sends SIGINT and SIGQUIT to the program too; SIGTERM ends us and so the program.

    With --forward-signals the program alone decides.  A group is removed before we end.
    """
    if wish.forward_signals:
        return dict.fromkeys(
            (signal.SIGINT, signal.SIGTERM), lambda number, _: attached.signal(number)
        )
    handlers: dict[int, Any] = dict.fromkeys((signal.SIGINT, signal.SIGQUIT), signal.SIG_IGN)
    if group is not None:
        handlers |= dict.fromkeys((signal.SIGTERM, signal.SIGHUP), _exit)
    return handlers


def _exit(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def _leave(result: Result, ours: Ours) -> int:
    """Return the program's exit status, or end as it did: by a signal."""
    if result.stopped:
        print(f"nsmagic: stopped after --timeout={ours.timeout:g}", file=sys.stderr)
        return TIMED_OUT
    if result.exit_code is not None:
        return result.exit_code
    import resource

    number = result.status & 0x7F
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number  # blocked or, as SIGCHLD, harmless


def _status_of(error: StepError) -> int:
    if not isinstance(error.step, steps.Exec):
        return REFUSED
    return NOT_FOUND if error.number == errno.ENOENT else CANNOT_RUN


def _table(
    plan: Plan, wish: Isolation, result: Result | None = None, refused: StepError | None = None,
    *, dry_run: bool = False,
) -> str:  # fmt: skip
    from nsmagic.notebook.explain import explain_table

    table = explain_table(plan, result, refused, asked=wish, dry_run=dry_run)
    return table.text(get_terminal_size((100, 24)).columns)


def shell_help(name: str) -> str:
    """Return the help of the magic's table without what only a notebook can do."""
    table = BY_NAME[name].table
    extra = tuple(option for option in table.extra if option.field in _HERE)
    text = help_text(replace(table, program=f"nsmagic {name}", extra=extra, example=""))
    return text.replace("the cell or a program", "a program").replace(
        "the cell, Python or a program,", "a program"
    )
