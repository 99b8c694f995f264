"""What the long run writes down: the facts, and a page for people."""

from __future__ import annotations

from collections import Counter
from typing import Any

_TITLES = ("place", "death", "scene")


def facts_of(parts: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The facts of each part; one that broke has only `failed`, and where it ran."""
    shapes = {"kills": _kills, "cells": _cells}
    return {
        name: {**told, "passed": False} if "failed" in told else shapes[name](told)
        for name, told in parts.items()
    }


def _kills(told: dict[str, Any]) -> dict[str, Any]:
    facts = dict(told)
    rounds = facts.pop("rounds")
    bad = [row for row in rounds if row["left"] or row["wrong"]]
    took = sorted(row["took"] for row in rounds if not row["wrong"])
    shares = {"median": 0.5, "95 %": 0.95, "longest": 1.0}
    facts |= {"kernels": len(rounds), "passed": not bad, "bad": bad}
    facts["clean after s"] = {n: took[int(p * (len(took) - 1))] for n, p in shares.items()}
    for title in _TITLES:
        facts[f"by {title}"] = dict(sorted(Counter(str(row.get(title)) for row in rounds).items()))
    return facts


def _cells(told: dict[str, Any]) -> dict[str, Any]:
    return {**told, "passed": not (told["wrong"] or told["left"] or told["answer"] != "42")}


def page(facts: dict[str, dict[str, Any]]) -> str:
    """The same as Markdown."""
    lines = [
        "# The long torture run", "",
        "Written by `make torture-long`; all figures are in [torture.json](torture.json).", "",
    ]  # fmt: skip
    pages = {"kills": _page_of_kills, "cells": _page_of_cells}
    for name, write in pages.items():
        if name in facts:
            lines += [facts[name]["failed"], ""] if "failed" in facts[name] else write(facts[name])
    return "\n".join(lines)


def _about(part: dict[str, Any]) -> str:
    return (
        f"{part['day']}, version {part['version']}, seed {part['seed']}, Linux {part['linux']}, "
        f"{part['processors']} processors, cgroup {part['cgroups']}, Python {part['python']}."
    )


def _page_of_kills(kills: dict[str, Any]) -> list[str]:
    after = kills["clean after s"]
    told = (
        f"In {kills['seconds']} s, {kills['at once']} at once.  **{len(kills['bad'])} left "
        "anything behind or did not come to the kill.**  Until all was gone it took "
        f"{after['median']} s (median), {after['95 %']} s (95 %), {after['longest']} s (longest)."
    )
    title = f"## {kills['kernels']:,} kernels killed by SIGKILL at random moments"
    lines = [title, "", _about(kills), "", told, ""]
    for title in _TITLES:
        lines += [f"| {title} | kernels |", "|---|---|"]
        lines += [f"| {name} | {count} |" for name, count in kills[f"by {title}"].items()]
        lines.append("")
    return lines


def _page_of_cells(cells: dict[str, Any]) -> list[str]:
    told = (
        f"In {cells['seconds']} s, as {cells['place']}, while kernels beside it were killed.  "
        f"**{len(cells['wrong'])} went wrong.**  What grows is mostly what IPython remembers."
    )
    head = ["| | before | after a tenth | after all |", "|---|---|---|---|"]
    first = cells["steps"][1]
    rows = [
        f"| {name} | {cells['before'][name]:,} | {first[name]:,} | {now:,} |"
        for name, now in cells["after"].items()
    ]
    title = f"## {cells['cells']:,} cells in one kernel"
    return [title, "", _about(cells), "", told, "", *head, *rows, ""]
