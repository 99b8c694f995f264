"""What a front end sees of a cell that Linux refused: one message, and nothing of our machinery."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.kernel_driver import KernelDriver


def refused(kernel: KernelDriver, cell: str) -> str:
    """Run a cell of which a step must be refused; return the whole message without colours."""
    text = one_message(kernel, cell, "StepError")
    assert kernel.run("6 * 7").result == {"text/plain": "42"}, "the notebook goes on"
    return text


def one_message(kernel: KernelDriver, cell: str, ename: str) -> str:
    """Run a cell that must fail with one message; return that without colours."""
    run = kernel.run(cell)
    assert run.reply is not None
    assert run.error is not None, f"it worked: {run.stdout}"
    assert run.error["ename"] == run.reply["ename"] == ename, run.error
    assert [m.kind for m in run.own].count("error") == 1
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(run.error["traceback"]))
    assert text.startswith(f"{ename}: ")
    assert "Traceback" not in text
    assert "nsmagic/" not in text
    assert len(text.splitlines()) <= 3
    assert run.stdout == run.stderr == ""
    return text
