"""The program of boxed kernels: starts any kernel in a box and stands for it outside.

`python -P -m nsmagic.notebook.boxed -f FILE --name=NAME --unshare=LINE -- KERNEL ARG...` is the
argv of a kernelspec that `nsmagic kernel isolate` wrote.  A front end sees one process that behaves
as the kernel does: it listens as the connection file says, takes SIGINT for the kernel, and ends
when the kernel ends.  It stays outside the box, so it can tell how the kernel ended.

SIGTERM and SIGHUP end the kernel as the stop button ends a cell, SIGQUIT at once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nsmagic.notebook.boxing import Boxing, read_boxing
from nsmagic.notebook.connection import Connection
from nsmagic.notebook.links import LastWords
from nsmagic.notebook.meeting import front_place, meeting
from nsmagic.notebook.relay import Relay
from nsmagic.run.listener import Silent
from nsmagic.run.private import private_group
from nsmagic.run.result import Result
from nsmagic.run.sandbox import Sandbox
from nsmagic.run.spawned import SpawnLauncher
from nsmagic.run.spawning import close_spawner, spawner
from nsmagic.run.tree import Tree
from nsmagic.wish import steps
from nsmagic.wish.errors import NsmagicError
from nsmagic.wish.plan import Plan

if TYPE_CHECKING:
    from nsmagic.run.groups import LiveGroup

_PARENT: Final = "JPY_PARENT_PID"  # of jupyter_client: the kernel is to end with that process
_TAIL: Final = 2000  # bytes of what the kernel wrote last
# With one of these, of the server or of JupyterHub, a boxed kernel could ask for one without a box.
_TOKENS: Final = (
    "JUPYTER_TOKEN",
    "JUPYTERHUB_API_TOKEN",
    "JPY_API_TOKEN",
    "CONFIGPROXY_AUTH_TOKEN",
)
TEXT: Final = "NSMAGIC_REFUSAL"  # environment of `nsmagic.notebook.refused`


class ToLog(Silent):
    """What the kernel's process itself writes goes where our own output goes: the server's log."""

    def __init__(self) -> None:
        self.tail = b""

    def output(self, stream: str, data: bytes) -> None:
        """Write it, and keep the end of it."""
        self.tail = (self.tail + data)[-_TAIL:]
        with suppress(OSError):  # a log that is gone
            os.write(1 if stream == "stdout" else 2, data)


class BoxedKernel:
    """One kernel in its box, from start to end."""

    def __init__(self, boxing: Boxing, command: Sequence[str], meeting: str, log: ToLog) -> None:
        """Plan it; `command` and `meeting`, where its connection file is, are as it sees them."""
        limited = _limited(boxing)
        if limited is None:
            own = private_group(boxing.name)
            plan = boxing.plan(command, own, meeting=meeting)
            self._tree = Tree(1, spawner(), own)
        else:
            plan = boxing.plan(command, limited.group.v2, limited.cell, meeting=meeting)
            others = [Path(each) for each in limited.cell.others]
            self._tree = Tree(1, spawner(), limited.group.v2, others, make=False)
        launcher = SpawnLauncher(plan, spawner(), "")
        self._sandbox = Sandbox(plan, launcher, self._tree, log, group=limited)

    def run(self) -> Result:
        """Run it to its end; StepError if Linux refuses the box."""
        signal.signal(signal.SIGINT, lambda *_: self._tree.interrupt(signal.SIGINT))
        signal.signal(signal.SIGTERM, lambda *_: self._sandbox.interrupt())
        signal.signal(signal.SIGHUP, lambda *_: self._sandbox.interrupt())
        signal.signal(signal.SIGQUIT, lambda *_: self.kill())
        self._sandbox.start()
        return self._sandbox.finish()

    def kill(self) -> None:
        """End it at once, from any thread."""
        self._sandbox.interrupt()
        self._sandbox.interrupt()


def run(boxing: Boxing, front: Connection, file: str, command: Sequence[str]) -> Result:
    """Run the kernel `command` in its box, for the front end that wrote `front` into `file`.

    Raises NsmagicError or OSError if it never came to answer.
    """
    plan = boxing.plan(command)
    log, words = ToLog(), None
    with ExitStack() as stack:
        stack.enter_context(front_place(front))
        place = stack.enter_context(meeting(front, plan.isolation.root, _owner(plan)))
        parent = _open_parent(stack)
        # VS Code fills in the first of two such places only, and this is the second: kernelProcess
        # .node.ts of https://github.com/microsoft/vscode-jupyter.
        named = [word.replace("{connection_file}", file) for word in command]
        inside = [word.replace(file, place.file) for word in named]
        kernel = BoxedKernel(boxing, inside, str(Path(place.file).parent), log)
        relay = Relay(front, place.kernel)
        try:
            if parent is not None:
                relay.watch(parent, kernel.kill)
            result = kernel.run()
            words = last_words(boxing, result)
            if words is not None:
                sys.stderr.write(f"{words.text}\n{words.hint}\n".rstrip("\n") + "\n")
        finally:
            relay.close(words)
    if words is not None and not relay.answered:
        ended = words.text.removeprefix(_name(boxing)).strip()
        raise NsmagicError(f"it {ended} before it answered", hint=log.tail.decode(errors="replace"))
    return result


def _limited(boxing: Boxing) -> LiveGroup | None:
    """Plan the group that the kernel is to have; CgroupError where there cannot be one."""
    wish, strict = boxing.wish()
    if not wish.cgroup:
        return None
    from nsmagic.run.groups import groups

    return groups().plan(boxing.name, wish.limits, strict=strict)


def last_words(boxing: Boxing, result: Result) -> LastWords | None:
    """Say how the kernel ended, None if it was to end."""
    # IPython, 0.2 s that no start should pay.
    from nsmagic.notebook.failures import details, verdict

    text = verdict(None, result, _name(boxing))
    if not text or result.stopped:
        return None
    return LastWords(name="KernelDied", text=text, hint=details(result))


def _name(boxing: Boxing) -> str:
    return f"the kernel {boxing.name}"


def _owner(plan: Plan) -> tuple[int, int]:
    """Return the user and group, as seen outside, that the kernel runs as; -1 stands for ours."""
    wish = plan.isolation
    ids = []
    for number, (kind, inner) in enumerate((("uid", wish.setuid), ("gid", wish.setgid))):
        if inner is None:
            ids.append(-1 if wish.owner is None else wish.owner[number])
            continue
        maps = [step for step in plan.steps if isinstance(step, steps.MapIds) and step.kind == kind]
        outer = [m.outer + inner - m.inner for step in maps for m in step.maps
                 if m.inner <= inner < m.inner + m.count]  # fmt: skip
        ids.append(outer[0] if outer else inner)
    return ids[0], ids[1]


def _open_parent(stack: ExitStack) -> int | None:
    """Return a pidfd of the process that the kernel is to end with, None if there is none."""
    pid = int(os.environ.get(_PARENT, "0"))
    # Inside, ipykernel would look for it among its own parents.  1 tells it that there is none.
    os.environ[_PARENT] = "1"
    if pid <= 1:
        return None
    parent = os.pidfd_open(pid)
    stack.callback(os.close, parent)
    return parent


def main(argv: Sequence[str]) -> int:
    """Run the program; returns its exit status."""
    parent = os.environ.get(_PARENT, "0")
    for name in _TOKENS:  # before the spawner starts, of which the box's init is a fork
        os.environ.pop(name, None)
    try:
        boxing, file, command = read_boxing(argv)
        front = Connection.read(Path(file))
        try:
            result = run(boxing, front, file, command)
        except (NsmagicError, OSError) as error:
            refusal = f"{_name(boxing)} did not start: {message(error)}"
            sys.stderr.write(f"{refusal}\n")
            os.environ.update({_PARENT: parent, TEXT: refusal})
            stand_in = [sys.executable, "-P", "-m", "nsmagic.notebook.refused", "-f", file]
            result = run(Boxing(name=boxing.name), front, file, stand_in)
    except (NsmagicError, OSError) as error:
        sys.stderr.write(f"{message(error)}\n")
        return 2
    finally:
        close_spawner()
    return 128 + (result.status & 0x7F) if result.exit_code is None else result.exit_code


def message(error: NsmagicError | OSError) -> str:
    """Return the error's text, and below it what to do."""
    hint = error.hint if isinstance(error, NsmagicError) else ""
    return f"{error}\n{hint}" if hint else str(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
