"""What to say when Linux refuses a step: one table by step, errno and circumstance."""

from __future__ import annotations

from nsmagic.wish.steps import Step


def hint_for(step: Step, number: int) -> str:
    """Return why this step fails with this errno, and what to type; empty if nothing is known."""
    return ""
