"""A program cell between the notebook and execve(2): what the program is given, and what not."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nsmagic.run.launchorder import program_file
from nsmagic.run.spawning import close_spawner, spawner
from tests.run.direct import Cell
from tests.support.skips import needs, probe, root_only

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.run.direct import Ran

PYTHON = [os.path.realpath(sys.executable), "-I", "-S"]
STATUS = ["--uts", "cat", "/proc/self/status"]


@probe
def new_uts_namespaces() -> str | None:
    """For an ordinary user they need a user namespace too."""
    done = subprocess.run(["unshare", "-ru", "true"], capture_output=True, text=True, check=False)
    return done.stderr.strip() or None


pytestmark = [pytest.mark.linux, needs(new_uts_namespaces)]


@pytest.fixture(scope="module", autouse=True, params=["launcher", "python"])
def one_spawner(request: pytest.FixtureRequest) -> Iterator[None]:
    """A spawner that was started while signals were ignored and blocked, and both its helpers."""
    if request.param == "launcher" and not program_file().exists():
        pytest.skip(f"no launcher for {platform.machine()}")
    odd = {signal.SIGUSR1, signal.SIGCHLD, signal.SIGXFSZ, signal.SIGRTMAX}
    before = {number: signal.signal(number, signal.SIG_IGN) for number in odd}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR2})
    spawner()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number, handler in before.items():
        signal.signal(number, handler)
    if request.param == "launcher":
        assert spawner().launches
    spawner().launches = request.param == "launcher"
    yield
    close_spawner()


def python(code: str, *words: str) -> Ran:
    return good(Cell().program(["--uts", *PYTHON, "-c", code, *words]))


def good(ran: Ran) -> Ran:
    assert ran.result.ok, (ran.err, ran.result)
    return ran


def field(ran: Ran, name: str) -> str:
    return good(ran).out.partition(f"{name}:\t")[2].partition("\n")[0]


@pytest.mark.parametrize(
    ("program", "body", "out"),
    [
        (["cat"], "zwei\n\tdrei ohne Ende", "zwei\n\tdrei ohne Ende"),
        (["cat"], "", ""),
        (["sh", "-s", "a b"], 'echo "$1|$0"', "a b|sh\n"),
        (["bash"], "read x\ndata\necho $x", "data\n"),
        ([*PYTHON, "-"], "print('ä', 41 + 1)\n", "ä 42\n"),
        (["tail", "-c", "3"], "x" * 1_000_000 + "end", "end"),
    ],
    ids=["cat", "empty", "sh", "bash", "python", "long"],
)
def test_the_body_is_the_standard_input(program: Sequence[str], body: str, out: str) -> None:
    assert good(Cell().program(["--uts", *program], body)).out == out


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_exit_codes(code: int) -> None:
    result = Cell().program(["--uts", "sh", "-c", f"exit {code}"]).result
    assert (result.exit_code, result.killed_by, result.ok) == (code, "", code == 0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGPIPE])
@pytest.mark.parametrize("fenced", [True, False])
def test_an_end_by_a_signal(number: signal.Signals, fenced: bool) -> None:
    command = f"ulimit -c 0; kill -{number.value} $$"
    result = Cell(fenced=fenced).program(["--uts", "sh", "-c", command]).result
    assert (result.exit_code, result.killed_by) == (None, number.name)


def test_a_writer_ends_when_its_reader_did() -> None:
    ran = Cell().program(["--uts", "bash"], 'yes | head -1; echo "${PIPESTATUS[@]}"')
    assert good(ran).out == "y\n141 0\n"  # 128 + SIGPIPE


@pytest.mark.parametrize("options", [[], ["--mount"], ["--pid"], ["--time"], ["--pid", "--time"]])
@pytest.mark.parametrize("fenced", [True, False])
def test_signals_are_as_a_new_program_expects(options: list[str], fenced: bool) -> None:
    ran = Cell(fenced=fenced).program([*options, *STATUS])
    # Of what this test inherited, 32 and 33 stay: libc keeps them to itself, signal(7).
    of_libc = 0b11 << 31
    for name in ("SigIgn", "SigBlk", "SigCgt", "SigPnd", "ShdPnd"):
        assert int(field(ran, name), 16) & ~of_libc == 0, name


def test_arguments_arrive_as_they_are() -> None:
    words = ["a b", "", "'\"$HOME`", "né", "\n", "-x", "--", "\udcff\udc80", "*", "{x}", "한글"]
    assert python("import sys; print(ascii(sys.argv[1:]))", *words).out == ascii(words) + "\n"


def test_the_environment_byte_by_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environb, b"ODD\xff", b"\xfe\n=\x80")
    monkeypatch.setitem(os.environb, b"EMPTY", b"")
    out = good(Cell().program(["--uts", "cat", "/proc/self/environ"])).out
    entries = os.fsencode(out).split(b"\0")[:-1]
    assert dict(entry.split(b"=", 1) for entry in entries) == dict(os.environb)


def test_a_cleared_environment_still_finds_programs() -> None:
    out = good(Cell().program(["--uts", "--clear-env", "cat", "/proc/self/environ"])).out
    assert out == ""


def test_umask_limits_and_affinity_hold() -> None:
    cpus, umask = os.sched_getaffinity(0), os.umask(0o027)
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    os.sched_setaffinity(0, {max(cpus)})
    resource.setrlimit(resource.RLIMIT_CORE, (0, limits[1]))
    try:
        ran = Cell().program(STATUS)
        core = good(Cell().program(["--uts", "cat", "/proc/self/limits"])).out
    finally:
        os.sched_setaffinity(0, cpus)
        os.umask(umask)
        resource.setrlimit(resource.RLIMIT_CORE, limits)
    assert field(ran, "Umask") == "0027"
    assert field(ran, "Cpus_allowed_list") == str(max(cpus))
    assert next(line for line in core.splitlines() if "core" in line).split()[4] == "0"
    assert field(Cell().program(STATUS), "Umask") == f"{umask:04o}", "and back again"


def test_the_directory_is_the_notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert good(Cell().program(["--uts", "readlink", "/proc/self/cwd"])).out == f"{tmp_path}\n"


def test_also_one_that_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    out = good(Cell().program(["--uts", "readlink", "/proc/self/cwd"])).out
    assert out == f"{gone} (deleted)\n"


OPEN = """
import os
def is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
print([number for number in range(2000) if is_open(number)])
"""


@pytest.mark.parametrize("fenced", [True, False])
def test_three_descriptors_and_no_more(fenced: bool) -> None:
    ours = os.open("/", os.O_RDONLY)
    os.set_inheritable(ours, True)
    try:
        ran = Cell(fenced=fenced).program(["--uts", *PYTHON, "-c", OPEN])
    finally:
        os.close(ours)
    assert good(ran).out == "[0, 1, 2]\n"


WHO = "import os; print(os.getpid() == os.getsid(0) == os.getpgid(0))"
DEATH = "import ctypes as c; n = c.c_int(); c.CDLL(None).prctl(2, c.byref(n)); print(n.value)"


@pytest.mark.parametrize("fenced", [True, False])
@pytest.mark.parametrize("options", [["--uts"], ["--pid"], ["--time"], ["--pid", "--strict"]])
def test_it_leads_its_own_session(options: list[str], fenced: bool) -> None:
    if os.geteuid() and "--strict" in options:
        options = ["-r", *options]
    ran = Cell(fenced=fenced).program([*options, *PYTHON, "-c", WHO])
    assert good(ran).out == "True\n"


@root_only
@pytest.mark.parametrize("options", [[], ["-S", "0"], ["-G", "0"], ["-p", "-G", "65534"]])
def test_it_ends_with_its_parent_whatever_its_ids(options: list[str]) -> None:
    found = shutil.which("python3", path="/usr/bin:/bin")
    if found is None:
        pytest.skip("no Python that every user may run")
    ran = Cell().program([*options, "--uts", found, "-c", DEATH])
    assert good(ran).out == f"{signal.SIGKILL.value}\n"


def test_a_timeout_ends_it_and_keeps_the_output() -> None:
    ran = Cell(timeout=1).program(["--uts", "sh", "-c", "echo begun; exec sleep 1000"])
    assert (ran.result.stopped, ran.out) == ("timeout", "begun\n")


@root_only
def test_a_pid_namespace_without_fork_as_unshare_has_it() -> None:
    body = "/bin/echo one\n/bin/echo two\n"
    reference = subprocess.run(
        ["unshare", "--pid", "bash"], input=body, capture_output=True, text=True, check=False
    )
    ran = Cell().program(["--pid", "--strict", "bash"], body)
    assert (ran.out, ran.err) == (reference.stdout, reference.stderr)
    assert ran.result.exit_code == reference.returncode
    assert "Cannot allocate memory" in ran.err
    assert ran.out == "one\n"


@pytest.mark.parametrize("fenced", [True, False])
def test_what_an_unforked_cell_leaves_is_ended(fenced: bool) -> None:
    body = "sh -c 'setsid sleep 1000 & sleep 1000' &\nexit 0"
    ran = Cell(fenced=fenced).program(["-r", "--pid", "--strict", "bash"], body)
    assert good(ran).result.left >= 1  # and the fixture looks for what is still there


class TestTerminal:
    def run(self, *program: str, body: str = "", options: Sequence[str] = ("--uts",)) -> Ran:
        return good(Cell(tty=True).program([*options, *program], body))

    @pytest.mark.parametrize("options", [["--uts"], ["--pid"], ["--time"]])
    def test_all_three_are_the_controlling_terminal(self, options: list[str]) -> None:
        code = "import os; print(*map(os.isatty, range(3)), os.getpgrp() == os.tcgetpgrp(0))"
        ran = self.run(*PYTHON, "-c", code, options=options)
        assert ran.out == "True True True True\r\n"

    def test_size_and_dev_tty(self) -> None:
        ran = self.run("sh", "-c", "stty size; echo here > /dev/tty")
        assert ran.out == "24 100\r\nhere\r\n"

    def test_the_body_is_typed_and_then_its_end(self) -> None:
        assert (
            self.run("sh", "-c", 'read x; read y; echo "$x|$y"', body="1 2\n3").out == "1 2|3\r\n"
        )
        assert self.run("cat", body="last line without end").out == "last line without end"

    @pytest.mark.parametrize("program", [["wc", "-c"], ["sh", "-c", "sleep 0.3; wc -c"]])
    def test_a_long_body(self, program: list[str]) -> None:
        body = "".join(f"{number:099}\n" for number in range(1000))
        assert self.run(*program, body=body).out == "100000\r\n"

    def test_a_python_body_too(self) -> None:
        cell = Cell(tty=True)
        ran = cell.python(["--uts"], lambda: f"{os.isatty(0)} {os.get_terminal_size(1)[0]}")
        assert good(ran).out == "True 100"
