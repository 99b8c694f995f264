"""docs/isolation.md: what the probes found, as two tables, and what each kind of cell adds."""

from __future__ import annotations

import os
import re
from pathlib import Path

from nsmagic.linux.cgroups.hierarchies import read_hierarchies
from tests.isolation.kinds import KINDS
from tests.isolation.probes import PROBES
from tests.isolation.probing import Row

PAGE = Path(__file__).resolve().parents[2] / "docs" / "isolation.md"
# What also depends on the machine: Yama, the cgroup version, who may make user namespaces.
VARY = ("memory", "proc_environ", "trace", "keyring", "leave_group", "more_namespaces")
WRITE = os.environ.get("NSMAGIC_WRITE_DOCS") == "1"
WHO = {"root": "As root", "user": "As an ordinary user"}


def machine() -> str:
    """What the rows of `VARY` depend on, in one line."""
    yama = Path("/proc/sys/kernel/yama/ptrace_scope")
    scope = yama.read_text().strip() if yama.exists() else "none"
    found = read_hierarchies()
    version = " and ".join(["v1"] * bool(found.v1) + ["v2"] * bool(found.v2)) or "none"
    return f"yama {scope}, cgroups {version}"


def legend() -> str:
    """The kinds of cell by number, and what each of them adds."""
    lines = ["| | typed | what it adds |", "|---|---|---|"]
    for number, kind in enumerate(KINDS, start=1):
        lines.append(f"| {number} | `{kind.title}` | {kind.adds} |")
    return "\n".join(lines)


def table(rows: dict[str, Row]) -> str:
    """What can be reached, one line a probe, one column a kind of cell."""
    numbers = {kind.title: str(n) for n, kind in enumerate(KINDS, start=1)}
    shown = [title for title in numbers if title in rows]
    lines = ["| | " + " | ".join(numbers[title] for title in shown) + " |"]
    lines.append("|---|" + ":-:|" * len(shown))
    for name, probe in PROBES.items():
        what = (probe.__doc__ or "").strip().splitlines()[0].rstrip(".")
        cells = ["yes" if rows[title][name] else "–" for title in shown]
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def section(text: str, name: str) -> str:
    """What stands between the marks `name` in the page."""
    found = re.search(rf"<!-- {name} -->\n\n(.*?)\n\n<!-- end -->", text, re.DOTALL)
    assert found is not None, f"the page has no section {name!r}"
    return found[1]


def with_section(text: str, name: str, content: str) -> str:
    """The page with another content between these marks."""
    old = section(text, name)
    return text.replace(
        f"<!-- {name} -->\n\n{old}\n\n<!-- end -->",
        f"<!-- {name} -->\n\n{content}\n\n<!-- end -->",
    )


def written(name: str, content: str) -> str:
    """The section as it is in the page, after it was renewed if that was asked for."""
    text = PAGE.read_text()
    if WRITE:
        text = with_section(text, name, content)
        PAGE.write_text(text)
    return section(text, name)


def differing(found: str, other: str) -> str:
    """The table with only the rows that are not in another one; "Nothing." without any."""
    head, rows = found.splitlines()[:2], found.splitlines()[2:]
    new = [row for row in rows if row not in other.splitlines()]
    return "\n".join([*head, *new]) if new else "Nothing."


def comparable(text: str, here: str, there: str) -> list[str]:
    """The lines of a table that must be the same on both machines."""
    vary = [(PROBES[name].__doc__ or "").strip().splitlines()[0].rstrip(".") for name in VARY]
    lines = text.splitlines()
    return (
        lines
        if here == there
        else [line for line in lines if not any(line.startswith(f"| {what} |") for what in vary)]
    )
