"""The tools of the tests, tested: a leak check that sees nothing would let everything pass."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import leaks, skips
from tests.support.cell_run import UNTIL_STOPPED
from tests.support.programs import a_cgroup_mount, output
from tests.support.skips import root_only
from tests.support.user import NOBODY

if TYPE_CHECKING:
    from tests.support.kernel_driver import KernelDriver
    from tests.support.user import Account

INTERRUPTED_ONCE = """
def interrupt_once(handlers, name):
    async def once(stream, idents, parent, whole=handlers[name]):
        handlers[name] = whole
        raise KeyboardInterrupt
    handlers[name] = once

interrupt_once(get_ipython().kernel.shell_handlers, "execute_request")
del interrupt_once
"""


@pytest.mark.linux
class TestLeaks:
    def test_sees_a_detached_grandchild_and_waits_for_its_end(self) -> None:
        before = leaks.snapshot()
        read, write = os.pipe()
        script = f"import os; os.fork() and os._exit(0); os.setsid(); os.read({read}, 1)"
        subprocess.run([sys.executable, "-c", script], pass_fds=[read], check=True)
        os.close(read)
        assert list(leaks.snapshot().added(before)) == ["processes", "descriptors"]
        os.close(write)
        assert leaks.leaked(before) == {}

    def test_sees_a_bare_fork_that_changed_its_session(self) -> None:
        before = leaks.snapshot()
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            os.close(write)
            if os.fork() == 0:
                os.setsid()
                os.read(read, 1)
            os._exit(0)
        os.close(read)
        os.waitpid(child, 0)
        assert len(leaks.snapshot().added(before)["processes"]) == 1
        os.close(write)
        assert leaks.leaked(before) == {}

    def test_sees_a_zombie(self) -> None:
        before = leaks.snapshot()
        child = subprocess.Popen(["true"])
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        (text,) = leaks.snapshot().added(before)["processes"]
        assert text == f"{child.pid} (true) (zombie)"
        child.wait()

    def test_a_known_process_may_become_another_program(self) -> None:
        read, write = os.pipe()
        go = f"import os; os.read({read}, 1); os.execvp('cat', ['cat'])"
        command = [sys.executable, "-c", go]
        with subprocess.Popen(command, pass_fds=[read], stdin=subprocess.PIPE) as child:
            before = leaks.snapshot()
            os.write(write, b"x")
            while not leaks.describe(child.pid).endswith(" cat"):
                pass
            assert leaks.snapshot().added(before) == {}
        os.close(read)
        os.close(write)

    def test_sees_descriptors_and_files(self) -> None:
        before = leaks.snapshot()
        with tempfile.TemporaryDirectory(prefix="nsmagic-") as folder, Path("/dev/null").open():
            news = leaks.snapshot().added(before)
        assert news["files"] == [folder]
        assert [text.split(" -> ")[1] for text in news["descriptors"]] == ["/dev/null"]

    @root_only
    def test_sees_namespaces_held_by_a_descriptor(self) -> None:
        before = leaks.snapshot()
        with subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE) as child:
            assert child.stdin
            child.stdin.write(b"x")
            (name,) = wait_for_namespace(before)
            held = os.open(f"/proc/{child.pid}/ns/net", os.O_RDONLY)
            child.stdin.close()
        assert leaks.snapshot().added(before)["namespaces"] == [name]
        os.close(held)

    @root_only
    def test_sees_cgroups_mounts_and_links(self, tmp_path: Path) -> None:
        script = """
import os, subprocess, sys
from pathlib import Path
from tests.support import leaks
leaks.own_directories.add(sys.argv[1])
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
before = leaks.snapshot()
subprocess.run(["mount", "-t", "tmpfs", "none", sys.argv[1]], check=True)
subprocess.run("ip link add nsmagic0 type veth peer nsmagic1".split(), check=True)
news = leaks.snapshot().added(before)
assert sorted(news) == ["links", "mounts"], news
assert news["links"] == ["nsmagic0", "nsmagic1"]
"""
        program = ["unshare", "--mount", "--net", sys.executable, "-c", script, str(tmp_path)]
        assert output(program) == ""
        before = leaks.snapshot()
        folder = Path(a_cgroup_mount(), f"nsmagic-test-{os.getpid()}")
        folder.mkdir()
        assert leaks.snapshot().added(before) == {"cgroups": [str(folder)]}
        leaks.clean_up({"cgroups": [str(folder)]})
        assert not folder.exists()

    def test_kills_what_is_left(self) -> None:
        before = leaks.snapshot()
        child = subprocess.Popen(["sleep", "60"])
        leaks.clean_up(leaks.snapshot().added(before))
        assert child.wait() == 0 or child.returncode == -signal.SIGKILL


def wait_for_namespace(before: leaks.Snapshot) -> list[str]:
    while "namespaces" not in (news := leaks.snapshot().added(before)):
        pass
    return news["namespaces"]


class TestSkips:
    def test_the_list_is_matched_from_the_start(self) -> None:
        assert skips.allowed("Skipped: needs root")
        assert not skips.allowed("Skipped: the sun shines, needs root")

    def test_a_probe_asks_once_and_turns_oserror_into_a_reason(self) -> None:
        calls = []

        @skips.probe
        def can_read_the_moon() -> str | None:
            calls.append(1)
            return Path("/moon").read_text()

        assert can_read_the_moon() == (
            "can read the moon: [Errno 2] No such file or directory: '/moon'"
        )
        assert can_read_the_moon()
        assert calls == [1]

    def test_must_work_turns_a_skip_into_a_failure(self) -> None:
        inner = Path(__file__).parent / "support" / "skip_me.py"
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", str(inner)]
        for value, passed in (("", True), ("1", False)):
            done = subprocess.run(
                command,
                env=os.environ | {"NSMAGIC_MUST_WORK": value},
                capture_output=True,
                text=True,
                check=False,
                cwd=Path(__file__).parents[1],
            )
            assert (done.returncode == 0) is passed, done.stdout
        assert "was skipped: Skipped: the weather" in done.stdout
        assert "1 failed, 1 skipped" in done.stdout


class TestKernelDriver:
    def test_streams_results_and_order(self, kernel: KernelDriver) -> None:
        run = kernel.run("import sys; print('a'); print('b', file=sys.stderr); display(1); 6 * 7")
        assert (run.stdout, run.stderr, run.status) == ("a\n", "b\n", "ok")
        assert run.displays == [{"text/plain": "1"}]
        assert run.result == {"text/plain": "42"}
        kinds = [message.kind for message in run.own if message.kind != "stream"]
        assert kinds == ["status", "execute_input", "display_data", "execute_result", "status"]

    def test_errors(self, kernel: KernelDriver) -> None:
        run = kernel.run("1 / 0")
        assert run.status == "error"
        assert (run.error or {})["ename"] == "ZeroDivisionError"
        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            run.raise_error()

    def test_answers_input(self, kernel: KernelDriver) -> None:
        run = kernel.run("print(input('who? '))", stdin=["me"])
        assert (run.stdout, run.prompts) == ("me\n", ["who? "])

    def test_interrupt_and_until(self, kernel: KernelDriver) -> None:
        run = kernel.start(f"print('on', flush=True)\n{UNTIL_STOPPED}")
        kernel.wait(run, until=lambda seen: seen.stdout)
        kernel.interrupt()
        assert (kernel.wait(run).error or {})["ename"] == "KeyboardInterrupt"

    def test_a_cell_that_does_not_end(self, kernel: KernelDriver) -> None:
        with pytest.raises(TimeoutError, match="the cell did not end"):
            kernel.run(UNTIL_STOPPED, timeout=0.2)
        assert kernel.run("1").status == "ok"

    def test_a_request_that_ipykernel_never_answers(self, kernel: KernelDriver) -> None:
        """As when the stop button is pressed before ipykernel begins with the cell's code."""
        kernel.run(INTERRUPTED_ONCE, raise_error=True)
        lost = kernel.wait(kernel.start("1"), until=lambda run: run.idle)
        after = kernel.run("6 * 7")
        assert (lost.reply, after.text) == (None, "42")
        assert lost.request not in after.replies

    def test_a_spare_helper_is_no_leak_and_an_isolated_one_is(self, kernel: KernelDriver) -> None:
        before = leaks.snapshot()
        kernel.run("%unshare true", raise_error=True)
        assert leaks.leaked(before) == {}
        run = kernel.start("%unshare --user sleep 60")
        while not {"processes", "namespaces"} <= leaks.snapshot().added(before).keys():
            pass  # ends with the test's timeout
        kernel.interrupt()
        kernel.wait(run)

    def test_nsmagic_is_loaded(self, fresh_kernel: KernelDriver) -> None:
        run = fresh_kernel.run("'nsmagic' in get_ipython().extension_manager.loaded")
        assert run.result == {"text/plain": "True"}


class TestUser:
    def test_programs_and_kernels_run_as_the_user(
        self, as_user: Account, user_kernel: KernelDriver
    ) -> None:
        uid = NOBODY if os.geteuid() == 0 else os.geteuid()
        assert as_user.run(["id", "-u"]).stdout == f"{uid}\n"
        run = user_kernel.run("import os, nsmagic; print(os.getresuid(), nsmagic.__file__)")
        assert run.stdout == f"{(uid,) * 3} {as_user.project}/nsmagic/__init__.py\n"
        assert user_kernel.run("open('/etc/shadow')").status == "error"

    def test_capabilities_are_gone(self, as_user: Account) -> None:
        assert "CapEff:\t0000000000000000" in as_user.run(["cat", "/proc/self/status"]).stdout


def test_one_look_is_cheap() -> None:
    leaks.snapshot()  # the first one learns which processes are not ours
    used = []
    with socket.socket():
        for _ in range(10):
            start = time.process_time()
            leaks.snapshot()
            used.append(time.process_time() - start)
    assert min(used) < 0.010, f"{min(used) * 1000:.1f} ms of CPU for a look"
