"""Why we are behind, by table and figure: the physical reasons that profiles showed.

No figures stand here: those that the page shows are measured.
"""

from __future__ import annotations

from typing import Final

_COPY = (
    "A Python cell is a copy of the kernel. Linux copies an entry for each of its pages at fork(2) "
    "and frees it at the end, and each page that either side writes meanwhile is copied or "
    "unshared by a page fault: that alone, bare, is in the tables of parts and of memory. It buys "
    "every variable of the notebook without pickling."
)
_PROGRAM = (
    "Linux' own share (unshare, clone, mounts, execve, the end) is the same for both, and the "
    "launcher that makes these calls is loaded before it is wanted. The rest is Python in the "
    "kernel: IPython's way to the magic, reading the line, the plan, a request to the spawner and "
    "back. Each system call of it gives the GIL to the threads of ipykernel that send, in just "
    "these milliseconds, that a cell has begun."
)
_LOAD = (
    "An extension that does something is Python to be read: the modules of nsmagic that no cell "
    "can do without. What a feature needs is imported by that feature."
)
_PIPE = (
    "Each line of a copy is a write(2) to a pipe and wakes the kernel that reads it, where a plain "
    "cell collects its lines in memory; and there is a cell to begin and to end, which weighs the "
    "more the shorter the output is."
)
REASONS: Final = {
    ("cells", "Python cell (%%unshare, pass)"): _COPY,
    ("pythons", "Python cell (%%unshare, pass)"): _COPY,
    ("pythons", "Python cell, uts only"): _COPY,
    ("memory", "Python cell (%%unshare, pass)"): _COPY,
    ("pythons", "Python cell, --fresh"): "It starts the same clean Python, which then compiles and "
    "runs the cell's text as IPython would, and it is ordered and awaited as a program cell is.",
    ("cells", "program cell (%unshare true)"): _PROGRAM,
    ("memory", "program cell (%unshare true)"): _PROGRAM,
    ("boxes", "a program cell in a box"): _PROGRAM,
    ("boxes", "make one more box"): "A box has an init of its own, an entry in the ledger that "
    "names what a crash would leave, and is waited for until it stands.",
    ("boxes", "%box lists all"): "It shows a table, and asks Linux of each box what it holds now.",
    ("lines", "Python cell"): _PIPE,
    ("lines", "program cell"): _PIPE,
    ("streams", "Python cell"): _PIPE,
    ("graph", "sample to drawn, 95th percentile"): "A sample waits for the page's next frame, and "
    "for every other program that wants the CPU.",
    ("load", "%load_ext nsmagic"): _LOAD,
    ("load", "%load_ext nsmagic, less that"): _LOAD,
}
