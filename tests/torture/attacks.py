"""Bodies that misbehave, in Python and for bash: the table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Attack:
    """`after` is when the stop button is pressed, for what does not end by itself.

    With `pid` it is only made in a PID namespace of its own: elsewhere it would hit others.
    """

    python: str = ""
    bash: str = ""
    after: float | None = None
    pid: bool = False


_CLOSE = "import os\nos.closerange(0, 1 << 16)\n"
_DEAF = """
import os, signal, time
for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
    signal.signal(number, signal.SIG_IGN)
"""
_LIBC = """
import ctypes, os, signal, time
libc = ctypes.CDLL(None, use_errno=True)
ATTACH, SEIZE, TRACEME = 16, 0x4206, 0
"""

ATTACKS: dict[str, Attack] = {
    "all descriptors closed": Attack(
        python=_CLOSE, bash="for fd in $(ls /proc/$$/fd); do eval \"exec $fd>&-\"; done; echo x"
    ),
    "all descriptors closed, and asleep": Attack(
        python=f"{_CLOSE}import time; time.sleep(1000)",
        bash="exec 0<&- 1>&- 2>&-; sleep 1000", after=0.4,
    ),
    "all descriptors closed, and a display": Attack(
        python=f"{_CLOSE}from IPython.display import display; display(1)\nprint(1); 1/0"
    ),
    "descriptors closed one by one from above": Attack(
        python="import os\nfor fd in range(300, -1, -1):\n"
        "    try: os.close(fd)\n    except OSError: pass\n1/0",
    ),
    "descriptors exchanged": Attack(
        python="import os\nfds = sorted(map(int, os.listdir('/proc/self/fd')))\n"
        "for a, b in zip(fds, fds[1:]):\n"
        "    try: os.dup2(a, b)\n    except OSError: pass\nprint('x' * 10**5)",
        bash="exec 1<&0; exec 2>/dev/null; cat >&0; yes | head -c 100000 >&1",
    ),
    "stops itself": Attack(
        python="import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", bash="kill -STOP $$",
        after=0.4,
    ),
    "stops all it can see": Attack(
        python="import os, signal\nos.kill(-1, signal.SIGSTOP)\n"
        "os.kill(os.getpid(), signal.SIGSTOP)",
        bash="(while :; do :; done) & sleep 1000 & kill -STOP -1; kill -STOP $$",
        after=0.4, pid=True,
    ),
    "kills all it can see": Attack(
        python="import os, subprocess\nsubprocess.Popen(['sleep', '1000'])\nos.kill(-1, 9)",
        bash="sleep 1000 & setsid sleep 1000 & kill -9 -1", pid=True,
    ),
    "a daemon that stops": Attack(
        python=f"{_DEAF}if not os.fork():\n    os.setsid()\n    if not os.fork():\n"
        "        os.kill(os.getpid(), signal.SIGSTOP)\n    os._exit(0)\nos.wait()",
        bash="(setsid bash -c 'kill -STOP $$' &) ; sleep 0.1",
    ),
    "double forks": Attack(
        python=f"{_DEAF}for _ in range(20):\n    if not os.fork():\n        os.setsid()\n"
        "        if os.fork(): os._exit(0)\n        time.sleep(1000)\n",
        bash="for i in {1..20}; do (setsid bash -c 'trap \"\" TERM; sleep 1000' &); done",
    ),
    "a chain of forks that never ends": Attack(
        python=f"{_DEAF}\nwhile True:\n    if os.fork(): os._exit(0)\n    os.setsid()",
        bash="hop() { (hop &); }; trap '' TERM; hop; sleep 1000", after=0.5,
    ),
    "a bomb of 300": Attack(
        python=f"{_DEAF}for _ in range(300):\n    if not os.fork():\n        time.sleep(1000)\n"
        "time.sleep(1000)",
        bash="trap '' TERM\nfor i in {1..300}; do sleep 1000 & done; wait", after=1.0,
    ),
    "traces its child": Attack(
        python=f"{_LIBC}if not (pid := os.fork()):\n    time.sleep(1000)\n"
        "libc.ptrace(ATTACH, pid, 0, 0)\ntime.sleep(1000)",
        after=0.4,
    ),
    "its child traces it": Attack(
        python=f"{_LIBC}libc.prctl(0x59616d61, -1, 0, 0, 0)\nparent = os.getpid()\n"
        "if not os.fork():\n    libc.ptrace(ATTACH, parent, 0, 0)\n    time.sleep(1000)\n"
        "time.sleep(1000)",
        after=0.6,
    ),
    "its daemon traces it and it ends": Attack(
        python=f"{_LIBC}libc.prctl(0x59616d61, -1, 0, 0, 0)\nparent = os.getpid()\n"
        "read, write = os.pipe()\n"
        "if not os.fork():\n    os.setsid()\n    libc.ptrace(SEIZE, parent, 0, 0)\n"
        "    os.write(write, b'x')\n    time.sleep(1000)\nos.read(read, 1)\n",
        after=2.0,
    ),
    "no more descriptors": Attack(
        python="import os\nheld = []\ntry:\n    while True: held.append(os.open('/', 0))\n"
        "except OSError: pass\nprint('full')\nfrom IPython.display import display\n"
        "display(display)\nopen('/')",
        bash="ulimit -n 4; ls / | cat; echo over",
    ),
    "no more memory": Attack(
        python="import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))\n"
        "blobs = []\nwhile True: blobs.append(bytearray(1 << 20))",
        bash="ulimit -v 20000; a=x; while :; do a=$a$a; done",
    ),
    "no more processes": Attack(
        python="import os, resource\nresource.setrlimit(resource.RLIMIT_NPROC, (0, 0))\n"
        "import threading\nthreading.Thread(target=print).start()",
        bash="ulimit -u 0; ls | cat",
    ),
    "no file may grow": Attack(
        python="import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "open('big', 'w').write('x' * 10**6)",
        bash="ulimit -f 0; yes | head -c 1000000 > big",
    ),
    "no time": Attack(
        python="import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass",
        bash="ulimit -t 1; while :; do :; done",
    ),
    "no stack": Attack(
        python="import sys\nsys.setrecursionlimit(10**7)\ndef f(): return f()\nf()",
        bash="f() { f; }; f",
        after=5.0,
    ),
    "leaves by os._exit": Attack(python="import os; os._exit(77)", bash="exec false"),
    "an interpreter that dies": Attack(
        python="import ctypes; ctypes.string_at(0)", bash="kill -SEGV $$"
    ),
    "its variables are gone": Attack(
        python="import sys\nsys.modules.clear()\nget_ipython().__dict__.clear()\n1/0"
    ),
    "an exception without end": Attack(
        python="class Odd(Exception):\n    def __str__(self): raise self\n"
        "    __repr__ = __str__\nraise Odd"
    ),
}  # fmt: skip
