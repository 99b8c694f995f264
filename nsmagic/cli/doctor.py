"""`nsmagic doctor`: what works here and what does not, by trying it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from shutil import get_terminal_size

from nsmagic.doctor.groups import switches_kept
from nsmagic.doctor.report import LabVerdict, Report, lab_verdict, make_report, to_json, why_not
from nsmagic.doctor.text import lines
from nsmagic.labs import needs
from nsmagic.labs.catalogue import LABS
from nsmagic.run.groups import close_groups


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = (
        "Try what the labs use, each thing in a child that leaves nothing behind, and say of what "
        "does not work why, here, and what to type. Exit status: 0 if every lab runs fully, 1 if "
        "something one needs is missing."
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(arguments: argparse.Namespace) -> int:
    """Examine and tell."""
    report = make_report()
    report = replace(report, labs=tuple(_labs(report)))
    if arguments.json:
        print(json.dumps(to_json(report), indent=1))
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")  # https://no-color.org
        width = get_terminal_size((100, 24)).columns
        print("\n".join(lines(report, colour=colour, width=width)))
    return 0 if report.ok else 1


def _labs(report: Report) -> list[LabVerdict]:
    """Ask what the labs themselves ask when they start, and say why as the doctor knows it."""
    known = why_not(report.verdicts, report.system.usual)
    wanted = sorted({need for lab in LABS for step in lab.steps for need in step.needs})
    with switches_kept():
        try:
            met = {need: _tried(need) for need in wanted}
        finally:
            close_groups()
    reasons = {need: known.get(need) or said if said else "" for need, said in met.items()}
    return [
        lab_verdict(lab.name, lab.title, ((step.title, step.needs) for step in lab.steps), reasons)
        for lab in LABS
    ]


def _tried(need: str) -> str:
    try:
        return needs.why_not(need)
    except OSError as error:  # without /proc
        return f"{error.filename}: {error.strerror}"
