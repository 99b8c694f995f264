"""input() and getpass() of a Python body, through the front end's own prompt."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.kernel_driver import KernelDriver

pytestmark = pytest.mark.linux

ASK = "%%unshare --net --uts\nimport getpass\n"


def test_two_questions_in_a_row(kernel: KernelDriver) -> None:
    body = "print('before')\nprint(repr(input('name? ')), repr(getpass.getpass('secret? ')))"
    run = kernel.run(ASK + body, stdin=["Zoë 🐧", "p w"])
    assert run.prompts == ["name? ", "secret? "]
    assert run.stdout == "before\n'Zoë 🐧' 'p w'\n"
    assert run.status == "ok"


def test_many_questions_with_displays_between(kernel: KernelDriver) -> None:
    body = "for n in range(20):\n    display(int(input(n)))"
    run = kernel.run(ASK + body, stdin=[str(n * 7) for n in range(20)])
    assert run.prompts == [str(n) for n in range(20)]
    assert run.displays == [{"text/plain": str(n * 7)} for n in range(20)]


def test_a_program_of_the_cell_cannot_ask(kernel: KernelDriver) -> None:
    run = kernel.run("%%unshare --uts\nimport os\nprint(os.read(0, 9))")
    assert run.stdout == "b''\n"


def test_the_stop_button_at_a_question(kernel: KernelDriver) -> None:
    run = kernel.start(ASK + "print('asks')\ninput('? ')\nprint('not reached')")
    with pytest.raises(AssertionError, match="asks"):  # the driver's: no answer is left
        kernel.wait(run)
    kernel.interrupt()
    kernel.wait(run)
    assert run.stdout == "asks\n"
    assert (run.error or {})["ename"] == "KeyboardInterrupt"
    again = kernel.run(ASK + "print(input('again? '))", stdin=["yes"])
    assert (again.prompts, again.stdout) == (["again? "], "yes\n")


def test_a_caught_stop_lets_the_cell_go_on(kernel: KernelDriver) -> None:
    body = "try: input('? ')\nexcept KeyboardInterrupt: print('caught', input('then? '))"
    run = kernel.start(ASK + body)
    with pytest.raises(AssertionError, match="asks"):
        kernel.wait(run)
    kernel.interrupt()
    kernel.wait(run, stdin=["this"])
    assert run.prompts == ["? ", "then? "]
    assert run.stdout == "caught this\n"


def test_a_front_end_that_cannot_answer(kernel: KernelDriver) -> None:
    assert kernel.client is not None
    plain, inside = (
        kernel.client.execute_interactive(
            head + "input('? ')", allow_stdin=False, timeout=30, output_hook=lambda _: None
        )["content"]
        for head in ("", "%%unshare --uts\n")
    )
    assert inside["status"] == "error"
    assert (inside["ename"], inside["evalue"]) == (plain["ename"], plain["evalue"])


def test_the_debugger_of_the_terminal_works(kernel: KernelDriver) -> None:
    body = "def f(n):\n    breakpoint()\n    return n + 1\nprint('got', f(5))"
    run = kernel.run("%%unshare --uts\n" + body, stdin=["p n * 100", "!n = 10", "c"])
    assert len(run.prompts) == 3
    assert "500\n" in run.stdout
    assert run.stdout.endswith("got 11\n")


def test_a_copy_made_by_fork_cannot_ask(kernel: KernelDriver) -> None:
    body = (
        "import os\npid = os.fork()\n"
        "if pid == 0:\n    try: input('? ')\n    except EOFError as e: print(e)\n    os._exit(0)\n"
        "os.wait()\nprint(input('mine? '))"
    )
    run = kernel.run("%%unshare --uts\n" + body, stdin=["yes"])
    assert run.prompts == ["mine? "]
    assert run.stdout == "only the cell's first process can ask\nyes\n"


def test_what_else_the_cell_says_arrives_while_it_asks(kernel: KernelDriver) -> None:
    body = (
        "import subprocess\n"
        "lines = 'for n in 1 2 3 4 5; do echo line $n; done; echo over >&2'\n"
        "beside = subprocess.Popen(['sh', '-c', f'read go; {lines}'], stdin=subprocess.PIPE)\n"
        "beside.stdin.write(b'go\\n'); beside.stdin.close()\n"
        "input('? ')"
    )
    run = kernel.start(ASK + body)
    with pytest.raises(AssertionError, match="asks"):
        kernel.wait(run)
    kernel.wait(run, until=lambda run: "over" in run.stderr)
    assert run.stdout == "".join(f"line {n}\n" for n in range(1, 6))
    assert kernel.client is not None
    kernel.client.input("yes")
    assert kernel.wait(run).result == {"text/plain": "'yes'"}


def test_the_time_limit_holds_at_a_question(kernel: KernelDriver) -> None:
    run = kernel.start("%%unshare --uts --timeout 0.5\ninput('? ')")
    with pytest.raises(AssertionError, match="asks"):
        kernel.wait(run)
    kernel.wait(run)
    assert "ran into its --timeout" in (run.error or {})["evalue"]
    assert kernel.run("6 * 7").result == {"text/plain": "42"}


def test_a_cell_that_is_killed_at_a_question(kernel: KernelDriver) -> None:
    run = kernel.start("%%unshare --uts\nimport os\nprint(os.getpid())\ninput('? ')")
    with pytest.raises(AssertionError, match="asks"):
        kernel.wait(run)
    kernel.wait(run, until=lambda run: run.stdout.endswith("\n"))
    os.kill(int(run.stdout), signal.SIGKILL)
    kernel.wait(run)
    assert "was killed by SIGKILL" in (run.error or {})["evalue"]
