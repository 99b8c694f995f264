"""Plan -> what to paste, line by line, into a root shell: each line ends where its step ended.

Most steps are a line of their own, typed into the shell that the lines before opened.  Some cannot
be: an id map must stand before the shell is started, or the shell has no capabilities
(user_namespaces(7)); a clock must be set before the first process that lives by it; only a process
outside may write a map of many ids or keep a namespace.  unshare(1) does those, by options on the
line that opens the shell, and their own lines are comments that name the option.  Likewise a new
root may have no mount(8) and no setpriv(1), so what follows chroot(8) is typed on its line.
"""

from __future__ import annotations

import posixpath
import shlex
from dataclasses import fields, replace
from itertools import chain
from typing import Final

from nsmagic.wish import steps
from nsmagic.wish.chroot import to_words
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.plan import Plan
from nsmagic.wish.steps import Step
from nsmagic.wish.unshare import to_argv


def shell_lines(plan: Plan) -> tuple[str, ...]:
    """Return one line of bash for each step of the plan; comments begin with `#`."""
    by_unshare = [step for step in plan.steps if _is_option(step, plan)]
    options = {name for step in by_unshare for name in step.options}
    wish = _only(plan.isolation, options)
    words = to_argv(wish)
    if "mnt" in wish.namespaces and "propagation" not in options:
        words.append("--propagation=unchanged")
    typed = [step for step in plan.steps if step not in by_unshare]
    by_chroot = _carried_by_chroot(typed)

    def line(step: Step) -> str:
        if isinstance(step, steps.Unshare):
            return _opener(words, plan)
        if step in by_unshare:
            return f"# by {_options_of(step, plan.isolation, words)}"
        if isinstance(step, steps.Fork) and joins:
            return "# nsenter(1) forks by itself"
        if step in by_chroot:
            return "# on the line with chroot"
        return _chroot(step, by_chroot, wd) if isinstance(step, steps.Chroot) else step.shell()

    joins = any(isinstance(step, steps.Join) for step in plan.steps)
    wd = plan.isolation.wd or "/"
    return tuple(map(line, plan.steps))


def unshare_command(plan: Plan) -> str:
    """Return the one command for the whole plan, empty where none does it or nothing is to do.

    It is nsenter(1), unshare(1), chroot(1), or one started by the other.
    """
    wish = plan.isolation
    if wish.profile is not None:
        return ""
    program = [*chain(*(step.argv for step in plan.steps if isinstance(step, steps.Exec)))]
    if isinstance(plan.steps[-1], steps.KeepBox):
        program = ["sleep", "infinity"]
    if wish.chroot and wish.root is not None:
        # What unshare(1) does after its own change of root would be done in the old one.
        if _only(wish, _AFTER_ROOT) != Isolation():
            if to_words(wish):
                return ""
        else:
            program = ["chroot", *to_words(wish), wish.root, *program]
            wish = replace(wish, root=None)
    words = to_argv(wish)
    joins = [f"nsenter {step.words}" for step in plan.steps if isinstance(step, steps.Join)]
    if not words and not wish.chroot and not joins:
        return ""
    return " ".join([*joins, shlex.join([*(["unshare", *words] if words else []), *program])])


_AFTER_ROOT: Final = {
    "wd", "mount_proc", "mount_binfmt", "load_interp", "setgid", "setuid", "keep_caps", "clear_env",
}  # fmt: skip


def _is_option(step: Step, plan: Plan) -> bool:
    """Whether unshare(1) does the step, by an option on the line that opens the shell."""
    if not any(isinstance(other, steps.Unshare) for other in plan.steps):
        return False
    if isinstance(step, steps.Fork):
        return plan.isolation.fork and step.cgroup is None
    return not step.shell() or (bool(step.options) and not _is_root_inside(plan))


def _is_root_inside(plan: Plan) -> bool:
    """Whether the shell that unshare(1) opens is root there, or root of no user namespace at all.

    Every other id loses its capabilities by execve(2), and mount(8) refuses to work for it.
    """
    wish = plan.isolation
    if wish.owner is not None:
        return False
    if "user" not in wish.namespaces:
        return True
    if not (wish.map_root_user or wish.map_current_user or wish.map_user is not None):
        return False
    maps = (step.maps for step in plan.steps if isinstance(step, steps.MapIds))
    return next((lines[0].inner == 0 for lines in maps), False)


def _carried_by_chroot(typed: list[Step]) -> list[Step]:
    """Return the steps after chroot that need a program which the new root may lack."""
    roots = [index for index, step in enumerate(typed) if isinstance(step, steps.Chroot)]
    after = typed[roots[0] + 1 :] if roots else []
    programs: tuple[type[Step], ...] = (steps.MountProc, steps.MountBinfmt, steps.AccountStep)
    # Told of the user alone, chroot(8) would change the groups too.
    if any(isinstance(step, steps.SetGid) for step in after):
        programs += (steps.SetGid, steps.SetUid)
    return [step for step in after if isinstance(step, programs)]


def _chroot(step: steps.Chroot, carried: list[Step], wd: str) -> str:
    """Return the line with chroot(8), the mounts before it and the ids among its options."""
    mounts, user, group = "", "", ""
    for other in carried:
        if isinstance(other, steps.MountProc | steps.MountBinfmt):
            inside = posixpath.join("/", wd, other.target)
            mounts += replace(other, target=step.root.rstrip("/") + inside).shell() + " && "
        elif isinstance(other, steps.SetUid):
            user = f"+{other.uid}"
        elif isinstance(other, steps.SetGid):
            group = f":+{other.gid}"
    ids = f"--userspec={user}{group} --groups= " if group else ""
    return mounts + step.shell().replace("chroot ", f"chroot {ids}", 1)


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
