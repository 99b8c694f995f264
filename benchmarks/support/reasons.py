"""Why we are behind, by table and figure: the physical reasons that profiles showed.

No figures stand here: those that the page shows are measured.
"""

from __future__ import annotations

from typing import Final

_COPY = (
    "A Python cell is a copy of the kernel, which buys every variable without pickling: Linux "
    "copies its page tables at fork(2), copies or unshares some thousands of pages on first write, "
    "and frees all that at the end; the table of parts has their shares."
)
_PROGRAM = (
    "Linux' own share (unshare, clone, mounts, execve, the end) is the same for both, and the "
    "launcher that makes these calls is loaded before it is wanted. The rest is Python in the "
    "kernel: IPython's way to the magic, reading the line, the plan, a request to the spawner and "
    "back. Each system call of it gives the GIL to the threads of ipykernel that send, in just "
    "these milliseconds, that a cell has begun."
)
_PROGRAM_IN_BOX = (
    "Entering a box is more than the launcher does: the rest beside Linux' own share is Python, "
    "in the kernel and in a fork of the spawner that joins the namespaces and executes the program."
)
_LOAD = (
    "An extension that does something is Python to be read: the modules of nsmagic that no cell "
    "can do without. What a feature needs is imported by that feature."
)
REASONS: Final = {
    ("cells", "Python cell (%%unshare, pass)"): _COPY,
    ("pythons", "Python cell (%%unshare, pass)"): _COPY,
    ("pythons", "Python cell, uts only"): _COPY,
    ("pythons", "Python cell, --fresh"): "It starts the same clean Python, and then takes the "
    "cell's text, compiles it as IPython would and shows its value; the way to the helper and back "
    "is that of a program cell.",
    ("load", "%load_ext nsmagic"): _LOAD,
    ("load", "%load_ext nsmagic, less that"): _LOAD,
    ("cells", "program cell (%unshare true)"): _PROGRAM,
    ("memory", "program cell (%unshare true)"): _PROGRAM + " It does not grow with the kernel.",
    ("memory", "Python cell (%%unshare, pass)"): _COPY
    + " The larger the kernel, the more of it is the bare fork.",
    ("boxes", "a program cell in a box"): _PROGRAM_IN_BOX,
    ("boxes", "make one more box"): "A box has an init of its own, an entry in the ledger that "
    "names what a crash would leave, and is waited for until it stands.",
    ("lines", "Python cell"): "Each line is a write(2) to a pipe and wakes the kernel that reads "
    "it, where a plain cell collects lines in memory; what ends the cell costs the same for one "
    "line and for many.",
    ("streams", "Python cell"): "The copy's output goes through a pipe, is decoded, logged and "
    "counted.",
    ("graph", "sample to drawn, 95th percentile"): "A sample waits for the page's next frame and "
    "for every other program that wants the CPU.",
}
