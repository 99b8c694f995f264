"""Run a cell, then paste its plan into bash, and print what Linux says of both.

Run it in namespaces that can be thrown away: `paste_here.py FOLDER MAGIC LINE`.  FOLDER is ours to
fill.
"""

from __future__ import annotations

import builtins
import ctypes
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from nsmagic.linux import cgroups
from nsmagic.linux.situation import read_situation
from nsmagic.notebook.request import read_request
from nsmagic.wish.paste import shell_lines
from nsmagic.wish.plan import make_plan
from nsmagic.wish.steps import RunPython
from tests.support.plain_shell import plain_shell

NAME = "the-cell"
PR_SET_NAME = 15
BODY = f"libc.prctl({PR_SET_NAME}, {NAME.encode()!r}, 0, 0, 0)\ninput()"
STATUS = ("Uid", "Gid", "Groups", "CapAmb", "NoNewPrivs")


def facts(pid: int) -> dict[str, Any]:
    """What the process lives in, free of numbers that differ between two equal processes."""
    proc = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    own = {link.name: os.readlink(link) for link in Path("/proc/self/ns").iterdir()}
    files = ("uid_map", "gid_map", "setgroups", "timens_offsets")
    return {
        "new": sorted(n for n, ns in own.items() if os.readlink(proc / "ns" / n) != ns),
        "mounts": sorted(mount(line) for line in (proc / "mountinfo").read_text().splitlines()),
        "levels": len(status["NSpid"].split()),
        "cwd": os.readlink(proc / "cwd"),
        "root": os.readlink(proc / "root"),
        "cgroup": re.sub(r"-(cell-\d+|paste)$", "", (proc / "cgroup").read_text().strip()),
        **{name: (proc / name).read_text().split() for name in files},
        **{name: status[name].split() for name in STATUS},
    }


def mount(line: str) -> str:
    """A line of mountinfo without the numbers of mounts, devices and peer groups."""
    left, _, right = line.partition(" - ")
    root, point, options, *peers = left.split()[3:]
    kinds = [peer.partition(":")[0] for peer in peers]
    kept = re.sub(r"\[\d+\]", "[]", root)  # a namespace that a file keeps
    return " ".join([kept, point, options, *kinds, "-", right.split()[0]])


def processes_called(name: str) -> list[int]:
    return [int(p.parent.name) for p in Path("/proc").glob("[0-9]*/comm")
            if p.read_text() == f"{name}\n"]  # fmt: skip


def cell_facts(magic: str, line: str) -> dict[str, Any]:
    """The facts of a cell while it waits for an answer to its `input()`."""
    shell = plain_shell()
    found: dict[str, Any] = {}

    def answer(_: object = "") -> str:
        (pid,) = processes_called(NAME)
        found.update(facts(pid))
        return ""

    builtins.input = answer
    shell.user_ns["libc"] = ctypes.CDLL(None)
    shell.run_cell(f"%%{magic} {line}\n{BODY}").raise_error()  # type: ignore[no-untyped-call]
    return found


def innermost(pid: int) -> int:
    """The last of the shells that were opened one in the other."""
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        pid = int(children[-1])
    return pid


def pasted_facts(lines: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    """The facts of the shell that reads what follows the pasted lines; and all that was printed."""
    with subprocess.Popen(
        ["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as bash:
        assert bash.stdin is not None
        assert bash.stdout is not None
        bash.stdin.write("\n".join([*lines, "echo pasted", ""]))
        bash.stdin.flush()
        printed = ""
        for line in bash.stdout:
            if line == "pasted\n":
                return facts(innermost(bash.pid)), printed
            printed += line
        raise AssertionError(f"the pasted shell ended: {printed}")


def bare_root(root: Path) -> None:
    """A root with bash and no other program: neither mount(8) nor setpriv(1)."""
    linked = subprocess.run(["ldd", "/bin/bash"], check=True, capture_output=True, text=True)
    for file in ["/bin/bash", *re.findall(r"/\S+", linked.stdout)]:
        copy = root / file.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(Path(file).read_bytes())
        copy.chmod(0o755)
    for folder in ("proc", "tmp"):
        (root / folder).mkdir()


def main() -> None:
    folder, magic, line = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    bare_root(folder / "root")
    request = read_request(magic, line, BODY)
    place = cgroups.private_place()
    group = None
    if place is not None and "pid" not in request.wish.namespaces:
        group = str(place / f"nsmagic-{os.getpid()}-paste")
    situation = read_situation(request.wish, group)
    plan = make_plan(request.wish, situation, RunPython(), init=request.ours.init)
    lines = shell_lines(plan)[:-1]
    cell = cell_facts(magic, line)
    for _, file in request.wish.persist:
        subprocess.run(["umount", file], check=True)
    shell, printed = pasted_facts(lines)
    print(json.dumps({"lines": lines, "cell": cell, "shell": shell, "printed": printed}))


if __name__ == "__main__":
    main()
