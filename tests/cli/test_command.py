"""The command line as a person meets it: the installed `nsmagic`, real shells, real statuses."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nsmagic
from nsmagic.cli.main import COMMANDS
from tests.support.process import on_this_machine
from tests.support.programs import output
from tests.support.skips import needs, probe, root_only

NSMAGIC = [sys.executable, "-m", "nsmagic.cli"]


def run(*words: str, typed: str = "", merged: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NSMAGIC, *words], input=typed, stdout=subprocess.PIPE, text=True, check=False, timeout=30,
        env=os.environ | {"PATH": os.defpath},  # no directory in it that is closed to us
        stderr=subprocess.STDOUT if merged else subprocess.PIPE,
    )  # fmt: skip


def complete(line: str) -> list[str]:
    """What bash would offer at the end of the line."""
    env = os.environ | {
        "_ARGCOMPLETE": "3",  # words before the command's own: python -m
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SHELL": "bash",
        "_ARGCOMPLETE_COMP_WORDBREAKS": " \t\n\"'><=;|&(:",
        "COMP_TYPE": "9",
        "COMP_LINE": f"python -m {line}",
        "COMP_POINT": str(len(f"python -m {line}")),
    }
    read, write = os.pipe()
    script = f'exec 8>&{write}; exec 9>/dev/null; exec "$@"'
    subprocess.run(
        ["bash", "-c", script, "-", *NSMAGIC], env=env, pass_fds=[write], check=True, timeout=30
    )
    os.close(write)
    with open(read, encoding="utf-8") as told:
        return [word.strip() for word in told.read().split("\n")]


def test_version_is_the_packages_and_imports_little() -> None:
    assert run("--version").stdout == f"nsmagic {nsmagic.__version__}\n"
    code = "import sys; from nsmagic.cli.main import main\n"
    code += "try: main(['--version'])\nexcept SystemExit: print(len(sys.modules), *sys.modules)"
    loaded = output([sys.executable, "-c", code]).split()
    assert {"IPython", "traitlets", "argcomplete", "ctypes"}.isdisjoint(loaded)


def test_help_names_every_command_and_no_command_is_a_usage_error() -> None:
    done = run()
    assert done.returncode == 0
    for row in COMMANDS:
        assert row.name in done.stdout
        assert run(row.name, "--help").returncode == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["dotcor"], "nsmagic dotcor: no such command; the nearest is doctor"),
        (["lab", "--prot=1"], "nsmagic lab: unrecognized arguments: --prot=1"),
        (["unshare", "--nte"], "unshare has no option --nte; the nearest is --net"),
        (["unshare", "--uts", "--bg", "true"], "--bg is for notebooks\nPut & behind"),
        (["unshare", "--return=x", "true"], "--return is for notebooks"),
        (["unshare", "--allow-pickle", "true"], "--allow-pickle is for notebooks"),
        (["unshare", "--no-raise-error", "true"], "--no-raise-error is for notebooks"),
        (["unshare", "--uts", "--monotonic=5", "true"], "--monotonic needs a time namespace"),
    ],
)
def test_a_wrong_line_is_told_in_two_lines_at_most_with_status_2(
    words: list[str], told: str
) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert done.stdout == ""


@pytest.mark.linux
def test_closed_standard_files_are_no_trouble(tmp_path: Path) -> None:
    for words in (["unshare", "--uts", "touch", str(tmp_path / "made")], ["clean"]):
        closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "-", *NSMAGIC, *words]
        assert subprocess.run(closed, check=False, timeout=30).returncode == 0
    assert (tmp_path / "made").exists()


@pytest.mark.linux
class TestTwin:
    def test_namespaces_output_and_status_are_the_programs(self) -> None:
        code = "import os; print(os.getpid(), os.readlink('/proc/self/ns/net'))"
        done = run("unshare", "--pid", "--net", "--mount-proc", sys.executable, "-c", code)
        pid, net = done.stdout.split()
        assert pid == "1"
        assert net != str(Path("/proc/self/ns/net").readlink())
        assert run("unshare", "--uts", "sh", "-c", "exit 3").returncode == 3

    def test_standard_input_is_the_callers(self) -> None:
        assert run("unshare", "--uts", "cat", typed="text\n").stdout == "text\n"

    def test_ends_by_the_programs_signal(self) -> None:
        done = run("unshare", "--uts", "sh", "-c", "kill -TERM $$")
        assert done.returncode == -signal.SIGTERM

    @pytest.mark.parametrize(
        ("words", "status", "told"),
        [
            (["--root=/nope", "true"], 125, "/nope does not exist here."),
            (["--uts", "no-such-program"], 127, "No directory of PATH has a program"),
            (["--uts", "/etc/passwd"], 126, "is not marked as executable"),
            (["--time", "--monotonic=-99999999999", "true"], 125, "monotonic clock shows"),
        ],
    )
    def test_a_refusal_says_why_with_the_status_of_chroot(
        self, words: list[str], status: int, told: str
    ) -> None:
        done = run("unshare", *words)
        assert done.returncode == status
        assert told in done.stderr

    def test_timeout_ends_it_all(self) -> None:
        begun = time.monotonic()
        done = run("unshare", "--pid", "--timeout=0.3", "sh", "-c", "sleep 60 & wait")
        assert done.returncode == 124
        assert time.monotonic() - begun < on_this_machine(5)

    def test_explain_shows_the_steps_on_standard_error_before_the_program_writes(self) -> None:
        done = run("unshare", "--explain", "--uts", "hostname", merged=True)
        lines = done.stdout.splitlines()
        assert lines[-1] == os.uname().nodename
        assert any("CLONE_NEWUTS" in line and " ok " in line for line in lines)

    def test_dry_run_runs_nothing(self, tmp_path: Path) -> None:
        done = run("unshare", "--dry-run", "--net", "touch", str(tmp_path / "made"))
        assert done.returncode == 0
        assert "CLONE_NEWNET" in done.stdout
        assert not (tmp_path / "made").exists()

    def test_the_end_of_the_command_ends_the_program(self) -> None:
        program = subprocess.Popen(
            [*NSMAGIC, "unshare", "--pid", "sh", "-c", "echo up; sleep 60"], stdout=subprocess.PIPE
        )
        assert program.stdout is not None
        assert program.stdout.readline() == b"up\n"
        program.terminate()
        assert program.stdout.read() == b""  # nobody is left who could write
        assert program.wait() == -signal.SIGTERM
        program.stdout.close()

    @root_only
    def test_a_range_of_ids_is_mapped_from_outside(self) -> None:
        words = ["--map-users=0:100000:10", "--map-groups=0:100000:10", "cat", "/proc/self/uid_map"]
        assert run("unshare", *words).stdout.split() == ["0", "100000", "10"]

    @root_only
    def test_a_namespace_kept_in_a_file_is_the_users(self, tmp_path: Path) -> None:
        file = tmp_path / "net"
        subprocess.run(["mount", "--bind", "--make-private", tmp_path, tmp_path], check=True)
        try:
            assert run("unshare", f"--net={file}", "true").returncode == 0
            assert run("nsenter", f"--net={file}", "true").returncode == 0
            listed = run("clean").stdout
            assert f"yours, so it stays: namespace {file} of kernel" in listed
            assert listed.strip().endswith(f"umount {file} && rm {file}")
        finally:
            subprocess.run(["umount", file], check=True)
            subprocess.run(["umount", tmp_path], check=True)
        assert run("clean").stdout == "Nothing is left of kernels that died.\n"

    def test_signals_are_forwarded_if_asked(self) -> None:
        script = "trap 'echo got it; exit 5' TERM; echo up; while :; do sleep 0.05; done"
        program = subprocess.Popen(
            [*NSMAGIC, "unshare", "--uts", "--forward-signals", "sh", "-c", script],
            stdout=subprocess.PIPE,
        )
        assert program.stdout is not None
        assert program.stdout.readline() == b"up\n"
        program.terminate()
        assert program.stdout.read() == b"got it\n"
        assert program.wait() == 5
        program.stdout.close()

    def test_nsenter_goes_into_a_process(self) -> None:
        script = "hostname inside; echo up; exec sleep 60"
        other = subprocess.Popen(
            [*NSMAGIC, "unshare", "--uts", "sh", "-c", script], stdout=subprocess.PIPE
        )
        assert other.stdout is not None
        assert other.stdout.readline() == b"up\n"
        (child,) = Path(f"/proc/{other.pid}/task/{other.pid}/children").read_text().split()
        user = ["--user", "--preserve-credentials"] if os.geteuid() else []
        done = run("nsenter", "-t", child, *user, "--uts", "hostname")
        other.terminate()
        other.wait()
        other.stdout.close()
        assert done.stdout == "inside\n"
        assert "there are no boxes" in run("nsenter", "-t", "web", "--uts", "true").stderr

    def test_chroot_into_another_root(self, tmp_path: Path) -> None:
        (tmp_path / "here").touch()
        code = "import os; os.chdir('/'); print(os.listdir())"
        done = run("chroot", str(tmp_path), sys.executable, "-c", code)
        assert done.returncode == 127
        assert "in the new root" in done.stderr
        assert run("chroot", "/", "pwd").stdout == "/\n"

    @pytest.mark.timeout(20)
    def test_job_control_on_a_terminal(self) -> None:
        import pty

        pid, fd = pty.fork()
        if pid == 0:
            os.execv(NSMAGIC[0], [*NSMAGIC, "unshare", "--pid", "bash", "--norc", "-i"])
        seen = b""

        def until(sign: bytes) -> None:
            nonlocal seen
            while sign not in seen:
                assert select.select([fd], [], [], 5)[0], seen
                seen += os.read(fd, 4096)
            seen = seen.partition(sign)[2]

        for typed, answer in (
            (b"echo pid=$$\n", b"pid=1\r\n"),
            (b"sh -c 'echo up; exec sleep 60'\n", b"up\r\n"),
            (b"\x03", b"bash-"),
            (b"echo rc=$?\n", b"rc=130\r\n"),
            (b"sh -c 'echo up; exec sleep 60'\n", b"up\r\n"),
            (b"\x1a", b"Stopped"),
            (b"exit 7\n", b"There are stopped jobs"),
        ):
            os.write(fd, typed)
            until(answer)
        os.write(fd, b"exit 7\n")
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):  # the terminal is hung up
            until(b"never")
        os.close(fd)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


@probe
def groups_work() -> str | None:
    """Can groups with a memory limit be made here?"""
    done = run("cgroup", "mem=64M", "true")
    return "no cgroup can be made here" if done.returncode else None


@pytest.mark.linux
@needs(groups_work)
class TestCgroup:
    def test_the_program_is_limited_from_its_first_instruction(self) -> None:
        done = run("cgroup", "pids=7", "cat", "/proc/self/cgroup")
        assert "/nsmagic-" in done.stdout
        assert "limits, read back: pids=7" in done.stderr

    def test_out_of_memory_is_told(self) -> None:
        done = run("cgroup", "mem=32M", sys.executable, "-c", "b = bytearray(100 << 20)")
        assert done.returncode == -signal.SIGKILL
        assert "the program was killed by its memory limit of 32 MiB" in done.stderr

    def test_the_group_goes_with_us(self) -> None:
        script = "sleep 60 & grep -m1 nsmagic /proc/self/cgroup; wait"
        program = subprocess.Popen(
            [*NSMAGIC, "cgroup", "pids=9", "sh", "-c", script], stdout=subprocess.PIPE, text=True
        )
        assert program.stdout is not None
        name = program.stdout.readline().rpartition("/")[2].strip()
        assert name.startswith("nsmagic-")
        assert list(Path("/sys/fs/cgroup").rglob(name))
        program.terminate()
        assert program.wait() == 128 + signal.SIGTERM
        program.stdout.close()
        assert not list(Path("/sys/fs/cgroup").rglob(name))


def test_completion_knows_commands_options_and_values() -> None:
    assert {row.name for row in COMMANDS} <= set(complete("nsmagic.cli "))
    assert complete("nsmagic.cli la") == ["lab"]
    assert "--no-browser" in complete("nsmagic.cli lab --")
    assert "--mount-proc" in complete("nsmagic.cli unshare --pid --mo")
    assert complete("nsmagic.cli unshare --propagation=sl") == ["slave"]
    assert "python3" in complete("nsmagic.cli kernel isolate py")
    assert complete("nsmagic.cli kernel remove ns") == ["nsmagic"]
    assert {"mem=", "memhigh="} <= set(complete("nsmagic.cli cgroup me"))


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_code_for_the_shell_is_valid_and_names_the_command(shell: str) -> None:
    code = run("completion", shell)
    assert "nsmagic" in code.stdout
    if shell == "bash":
        assert output(["bash", "-n", "-c", code.stdout]) == ""
