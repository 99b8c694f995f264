"""Plan -> what to paste, line by line, into a root shell: each line ends where its step ended.

Most steps are a line of their own, typed into the shell that the lines before opened.  Some cannot
be: an id map must stand before the shell is started, or the shell has no capabilities
(user_namespaces(7)); a clock must be set before the first process that lives by it; only a process
outside may write a map of many ids or keep a namespace.  unshare(1) does those, by options on the
line that opens the shell, and their own lines are comments that name the option.
"""

from __future__ import annotations

import shlex
from dataclasses import fields
from itertools import chain

from nsmagic.wish import steps
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.plan import Plan
from nsmagic.wish.steps import Step
from nsmagic.wish.unshare import to_argv


def shell_lines(plan: Plan) -> tuple[str, ...]:
    """Return one line of bash for each step of the plan; comments begin with `#`."""
    done_by_unshare = [step for step in plan.steps if _is_option(step, plan)]
    options = {name for step in done_by_unshare for name in step.options}
    wish = _only(plan.isolation, options)
    words = to_argv(wish)
    if "mnt" in wish.namespaces and "propagation" not in options:
        words.append("--propagation=unchanged")
    return tuple(
        _opener(words, plan) if isinstance(step, steps.Unshare)
        else f"# by {_options_of(step, plan.isolation, words)}" if step in done_by_unshare
        else step.shell()
        for step in plan.steps
    )  # fmt: skip


def unshare_command(plan: Plan) -> str:
    """Return the one unshare(1) command for the whole plan, empty where it has nothing to do."""
    words = to_argv(plan.isolation)
    program = next((step.argv for step in plan.steps if isinstance(step, steps.Exec)), ())
    return shlex.join(["unshare", *words, *program]) if words else ""


def _is_option(step: Step, plan: Plan) -> bool:
    """Whether unshare(1) does the step, by an option on the line that opens the shell."""
    if not any(isinstance(other, steps.Unshare) for other in plan.steps):
        return False
    if isinstance(step, steps.Fork):
        return plan.isolation.fork and step.cgroup is None
    return not step.shell() or (bool(step.options) and not _is_root_inside(plan))


def _is_root_inside(plan: Plan) -> bool:
    """Whether the shell that unshare(1) opens has its capabilities: execve(2) takes those of
    every other id away, and mount(8) refuses to work for it."""
    wish = plan.isolation
    if wish.owner is not None:
        return False
    if "user" not in wish.namespaces:
        return True
    if not (wish.map_root_user or wish.map_current_user or wish.map_user is not None):
        return False
    maps = (step.maps for step in plan.steps if isinstance(step, steps.MapIds))
    return next((lines[0].inner == 0 for lines in maps), False)


def _only(wish: Isolation, names: set[str]) -> Isolation:
    """Return a wish for nothing but these fields of `wish`."""
    kept = {field.name: getattr(wish, field.name) for field in fields(wish) if field.name in names}
    return Isolation(**kept)


def _opener(words: list[str], plan: Plan) -> str:
    files = [shlex.quote(step.file) for step in plan.steps if isinstance(step, steps.Persist)]
    touch = f"touch {' '.join(files)} && " if files else ""
    return touch + shlex.join(["unshare", *words, "bash"])


def _options_of(step: Step, wish: Isolation, words: list[str]) -> str:
    """Return the words on the opener's line that stand for `step`."""
    if isinstance(step, steps.Persist):
        mine = [word for word in words if word.endswith(f"={step.file}")]
    else:
        asked = chain.from_iterable(to_argv(_only(wish, {name})) for name in step.options)
        mine = [word for word in asked if word in words]
    return shlex.join(mine) or "unshare(1) itself"
