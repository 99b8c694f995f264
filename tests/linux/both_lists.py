"""Make namespaces, then list them with lsns(8) and with ours; print both as JSON.

`both_lists.py [OPTION OF LSNS]...` runs as PID 1 of a PID namespace with its own /proc, so nobody
else's processes come and go meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

from nsmagic.linux.ids import SystemNames
from nsmagic.linux.lsns import lsns
from nsmagic.linux.namespaces import read_links
from nsmagic.notebook.listing import Listing
from nsmagic.wish.lsns import read_lsns

# A tab, spaces, more than a terminal is wide, and no end of line: what a command line may hold.
LONG = "echo ready; read line; exit 0 # \t" + "many  words " * 20
MAKERS = (
    ("unshare", "-n", "--", "sh", "-c", LONG),
    ("unshare", "-n", "--", "unshare", "-m", "--", "sh", "-c", LONG),
    ("unshare", "-u", "-i", "-C", "--", "sh", "-c", LONG),
    ("unshare", "-p", "-f", "--", "sh", "-c", LONG),
    ("unshare", "-p", "-f", "--", "unshare", "-p", "-f", "--", "sh", "-c", LONG),
    ("unshare", "-T", "-f", "--", "sh", "-c", LONG),
    ("unshare", "-U", "-r", "-n", "--", "sh", "-c", LONG),
    ("unshare", "-U", "-r", "--", "unshare", "-U", "-u", "--", "sh", "-c", LONG),
    # Several processes in one namespace, the parent not the shell that says "ready".  What runs in
    # the background has no standard input to wait for.
    (
        "unshare",
        "-n",
        "--",
        "sh",
        "-c",
        "sh -c 'echo ready; exec sleep 1000' & read line; kill $!; wait",
    ),
)


def main(options: list[str]) -> None:
    """Print {"lsns": text, "ours": text, "hidden": processes, "own": inode numbers}."""
    with contextlib.ExitStack() as stack:
        for argv in MAKERS:
            child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert child.stdin is not None
            assert child.stdout is not None
            stack.callback(child.wait, 20)
            stack.callback(child.stdin.close)
            stack.callback(child.stdout.close)
            assert child.stdout.readline() == "ready\n", argv
        theirs = subprocess.run(
            ["lsns", *options], capture_output=True, text=True, check=True, timeout=20,
            env=os.environ | {"LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        wish = read_lsns(" ".join(options), SystemNames())
        lines, hidden = lsns(wish, {})
        report = {
            "lsns": theirs.stdout, "ours": Listing(lines, wish).text(), "hidden": hidden,
            "own": [links.ino for links in read_links("/proc/self").values()],
        }  # fmt: skip
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
