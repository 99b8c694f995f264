"""Lab 1: what a process is."""

from __future__ import annotations

import os
from collections.abc import Iterator

from nsmagic.labs.catalogue.asking import python
from nsmagic.labs.exercises import Answer, Fact, Here, Mistake, exercise, question
from nsmagic.labs.watched import Watched

_LAB = "01-processes"

_FAMILY = """\
import subprocess, sys

code = '''
import os, signal, sys
b = os.fork()
if b == 0:                                                # this is B
    c = os.fork()
    if c == 0:
        os._exit(0)                                       # C ends at once
    os.waitid(os.P_PID, c, os.WEXITED | os.WNOWAIT)       # look, and do not take the answer
    os.kill(os.getpid(), signal.SIGSTOP)                  # B stops itself
os.waitpid(b, os.WUNTRACED)                               # A waits until B has stopped
print("ready", flush=True)
signal.pause()
'''
family = subprocess.Popen([sys.executable, "-c", code, word], stdout=subprocess.PIPE, text=True)
print(family.stdout.readline())
"""


def _with(old: str, new: str) -> str:
    assert old in _FAMILY, old
    return _FAMILY.replace(old, new)


@exercise(
    id="family", lab=_LAB, title="A family of three", on="family",
    task="Leave running: A, with your word in its command line; its child B, stopped;"
    " and B's child C, which has ended and was not waited for.",
    covers=("1.4", "1.6"),
    hints=(
        ("There is a signal that stops a process and one that continues it; and a process that has"
        " ended stays as a zombie until its parent waits for it."),
        "Stopping: signal(7), SIGSTOP. States: proc_pid_stat(5), field 3. Zombies: wait(2), NOTES.",
        ("Start a small Python program with your word as its last argument. It forks B and then"
        " waits; B forks C, which calls os._exit(0); B does not wait for C and sends itself"
        " SIGSTOP."),
    ),
    solution=_FAMILY,
    mistakes=(
        Mistake(_with(", word]", "]"), "the word"),
        Mistake(_with("os.kill(os.getpid(), signal.SIGSTOP)", "print(flush=True); signal.pause()"),
                "not T"),
        Mistake(_with(" | os.WNOWAIT", ""), "no child"),
        Mistake(_with("        os._exit(0)", "        signal.pause()")
                .replace("os.waitid(", "0 and os.waitid("), "has not ended"),
        Mistake(_with("    c = os.fork()", "    c = os.getpid()").replace(
            "    os.waitid(", "    0 and os.waitid("), "no child"),
        Mistake(_with("os.waitpid(b, os.WUNTRACED)", "os.waitpid(b, os.WUNTRACED); os.fork()"),
                "2 children"),
    ),
)  # fmt: skip
def family(it: Watched, here: Here) -> Iterator[Fact]:
    """A waits, B is stopped, C is a zombie."""
    yield Fact(
        it.was_told(here.word),
        "A has the word in its command line",
        f"the word {here.word} is not in the command line of A: {it.command}",
    )
    yield Fact(it.state in "SR", "A waits", f"A is in state {it.state}, and should just wait (S)")
    yield Fact(len(it.children) == 1, "A has one child", f"A has {_count(len(it.children))}")
    (b,) = it.children
    yield Fact(b.state == "T", "B is stopped", f"B ({b.pid}) is in state {b.state}, not T")
    yield Fact(len(b.children) == 1, "B has one child", f"B has {_count(len(b.children))}")
    (c,) = b.children
    yield Fact(
        c.state == "Z",
        "C is a zombie",
        f"C ({c.pid}) has not ended: it is in state {c.state}, not Z",
    )


def _count(number: int) -> str:
    return {0: "no child", 1: "one child"}.get(number, f"{number} children")


_CREW = """\
import subprocess, sys

code = '''
import signal, threading
for _ in range(3):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
print("ready", flush=True)
signal.pause()
'''
crew = subprocess.Popen([sys.executable, "-c", code, word], stdout=subprocess.PIPE, text=True)
print(crew.stdout.readline())
"""


@exercise(
    id="crew", lab=_LAB, title="One process, four threads", on="crew",
    task="Leave running one process with your word in its command line, that has exactly four"
    " threads and no child.",
    covers=("1.5", "1.7"),
    hints=(
        "Threads share everything; a child is a process of its own. Count the one you begin with.",
        "proc_pid_status(5), the line Threads; pthreads(7); Python's module threading.",
        ("Start a Python program that starts three threading.Thread, each waiting on an Event, and"
        " then waits itself."),
    ),
    solution=_CREW,
    mistakes=(
        Mistake(_CREW.replace("range(3)", "range(4)"), "5 threads"),
        Mistake(_CREW.replace(", word]", "]"), "the word"),
        Mistake(_CREW.replace("import signal, threading", "import os, signal, threading").replace(
            "    threading.Thread(target=threading.Event().wait, daemon=True).start()",
            "    os.fork() or signal.pause()"), "1 thread"),
        Mistake(_CREW.replace("print(", "import os; os.fork() or signal.pause()\nprint(", 1),
                "a child"),
    ),
)  # fmt: skip
def crew(it: Watched, here: Here) -> Iterator[Fact]:
    """Four threads in one process."""
    yield Fact(
        it.was_told(here.word),
        "the word is in its command line",
        f"the word {here.word} is not in its command line: {it.command}",
    )
    many = "" if it.threads == 1 else "s"
    yield Fact(it.threads == 4, "it has four threads", f"it has {it.threads} thread{many}, not 4")
    yield Fact(not it.children, "it has no child", "it has a child, which is another process")


@question(
    id="fork-list", lab=_LAB, covers=("1.6",), choices=("changed", "unchanged"),
    text="A child appends to a list that it got by fork. The parent's list is then ...",
)  # fmt: skip
def _fork_list(_: Here) -> Answer:
    length = python(
        "import os\nx = []\np = os.fork()\nif not p:\n x.append(1); os._exit(0)\n"
        "os.waitpid(p, 0); print(len(x))"
    )
    return Answer(
        value="changed" if length == "1" else "unchanged",
        how="fork(2) in a child, then len(x)",
        why="After fork(2) each process has a memory of its own, even at the same addresses.",
    )


@question(
    id="thread-pid",
    lab=_LAB,
    covers=("1.5",),
    choices=("same", "different"),
    text="Two threads of one program ask for their PID. The answers are ...",
)
def _thread_pid(_: Here) -> Answer:
    pids = python(
        "import os, threading\nx = [os.getpid()]\n"
        "t = threading.Thread(target=lambda: x.append(os.getpid())); t.start(); t.join(); print(*x)"
    ).split()
    return Answer(
        value="same" if len(set(pids)) == 1 else "different",
        how="getpid(2) in two threads",
        why="Threads are one process, with one PID. Each has a thread id of its own: gettid(2).",
    )


@question(
    id="exec-pid",
    lab=_LAB,
    covers=("1.8", "1.9"),
    choices=("same", "new"),
    text="A process calls execve: another program runs now. Its PID is ...",
)
def _exec_pid(_: Here) -> Answer:
    code = "import os, sys\nprint(os.getpid(), flush=True)\nos.execlp('sh', 'sh', '-c', 'echo $$')"
    before, after = python(code).split()
    return Answer(
        value="same" if before == after else "new",
        how="getpid(2), then exec of a shell's echo $$",
        why="execve(2) replaces the program, not the process. Nothing stops, and no PID is new.",
    )


@question(
    id="zombie-kill",
    lab=_LAB,
    covers=("1.4",),
    choices=("gone", "there"),
    text="You send SIGKILL to a zombie. Is it gone afterwards, or still there?",
)
def _zombie_kill(_: Here) -> Answer:
    state = python(
        "import os, signal\np = os.fork()\nif not p: os._exit(0)\n"
        "os.waitid(os.P_PID, p, os.WEXITED | os.WNOWAIT)\nos.kill(p, signal.SIGKILL)\n"
        "print(open(f'/proc/{p}/stat').read().rpartition(')')[2].split()[0])"
    )
    return Answer(
        value="there" if state == "Z" else "gone",
        how="kill(2), then the state in /proc/PID/stat",
        why="A zombie has ended already. It is a line in a table until its parent waits: wait(2).",
    )


@question(id="my-parent", lab=_LAB, text="Quiz: what is the PID of this notebook's parent?",
          covers=("1.4",))  # fmt: skip
def _my_parent(here: Here) -> Answer:
    return Answer(
        value=str(here.kernel.ppid),
        how=f"/proc/{os.getpid()}/stat, field 4",
        why="Every process but the first was started by another, its parent.",
    )


@question(id="my-threads", lab=_LAB, text="Quiz: how many threads does this notebook have now?",
          covers=("1.5",))  # fmt: skip
def _my_threads(here: Here) -> Answer:
    return Answer(
        value=str(here.kernel.threads),
        how=f"/proc/{os.getpid()}/status, the line Threads",
        why="A Jupyter kernel is a program with threads: one of them runs your cells.",
    )


@question(id="my-program", lab=_LAB, text="Quiz: which program is process 1 of what you see?",
          covers=("1.16",))  # fmt: skip
def _my_program(_: Here) -> Answer:
    return Answer(
        value=Watched(1).command.split()[0].rpartition("/")[2],
        how="/proc/1/cmdline",
        why="The first process. In lab 3 you make others that are process 1 of their own world.",
    )
