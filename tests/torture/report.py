"""What the long run writes down: the facts, and a page for people."""

from __future__ import annotations

from collections import Counter
from typing import Any

_TITLES = ("place", "death", "scene")


def summary(about: dict[str, Any], kills: dict[str, Any], cells: dict[str, Any]) -> dict[str, Any]:
    """The facts; `kills` and `cells` hold only `failed` where a program broke."""
    rounds = kills.get("rounds", [])
    bad = [row for row in rounds if row["left"] or row["wrong"]]
    took = sorted(row["took"] for row in rounds if not row["wrong"]) or [0.0]
    shares = {"median": 0.5, "95 %": 0.95, "longest": 1.0}
    facts = {
        "kernels": len(rounds),
        "seconds": kills.get("seconds"),
        "bad": bad,
        "failed": kills.get("failed", ""),
        "clean after s": {name: took[int(part * (len(took) - 1))] for name, part in shares.items()},
    }
    for title in _TITLES:
        facts[f"by {title}"] = dict(sorted(Counter(row.get(title) for row in rounds).items()))
    passed = bool(rounds) and not bad and not facts["failed"]
    passed = passed and "failed" not in cells and not cells["wrong"] and not cells["left"]
    return {**about, "passed": passed, "kills": facts, "cells": cells}


def page(facts: dict[str, Any]) -> str:
    """The same as Markdown."""
    kills, cells, after = facts["kills"], facts["cells"], facts["kills"]["clean after s"]
    about = (
        f"{facts['day']}, version {facts['version']}, seed {facts['seed']}, "
        f"Linux {facts['linux']}, {facts['processors']} processors, cgroup {facts['cgroups']}, "
        f"Python {facts['python']}."
    )
    killed = (
        f"In {kills['seconds']} s, {facts['at once']} at once; {len(kills['bad'])} were bad: "
        "something was left, or it did not come to the kill.  Until all was gone it took "
        f"{after['median']} s (median), {after['95 %']} s (95 %), {after['longest']} s (longest)."
    )
    lines = [
        "# The long torture run", "",
        "Written by `make torture-long`; all figures are in [torture.json](torture.json).", "",
        about, "", "**Nothing was left, nothing hung.**" if facts["passed"] else "**It failed.**",
        "", f"## {kills['kernels']:,} kernels killed by SIGKILL at random moments", "", killed, "",
        kills["failed"],
    ]  # fmt: skip
    for title in _TITLES:
        lines += [f"| {title} | kernels |", "|---|---|"]
        lines += [f"| {name} | {count} |" for name, count in kills[f"by {title}"].items()]
        lines.append("")
    return "\n".join([*lines, *_cells(cells), ""])


def _cells(cells: dict[str, Any]) -> list[str]:
    if "failed" in cells:
        return ["## Cells", "", cells["failed"]]
    told = (
        f"In {cells['seconds']} s, as {cells['place']}; {len(cells['wrong'])} went wrong.  "
        "Meanwhile the kernels above were killed."
    )
    head = ["| | before | after a tenth | after all |", "|---|---|---|---|"]
    first = cells["steps"][1]
    rows = [
        f"| {name} | {cells['before'][name]:,} | {first[name]:,} | {now:,} |"
        for name, now in cells["after"].items()
    ]
    return [f"## {cells['cells']:,} cells in one kernel", "", told, "", *head, *rows]
