"""Program cells in a real kernel: what the notebook passes on, what it says, and who may what."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.kernel_driver import KernelDriver
from tests.support.skips import root_only

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kernel_driver import CellRun

pytestmark = pytest.mark.linux

ADDED = "added --user --map-root-user"
KINDS = "mnt uts ipc net pid user cgroup time"
STATE = r"""
for n in KINDS; do readlink /proc/$$/ns/$n; done
cat /proc/$$/uid_map /proc/$$/gid_map /proc/$$/setgroups /proc/$$/timens_offsets
grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Umask)' /proc/$$/status
readlink /proc/$$/cwd /proc/$$/root
umask; ulimit -a; nice
""".replace("KINDS", KINDS)


@pytest.fixture(scope="module")
def notebook() -> Iterator[KernelDriver]:
    """A kernel whose plain cells changed all that a program takes over."""
    with KernelDriver() as driver:
        driver.run(
            "import os, resource\n"
            "os.umask(0o027); os.nice(3); os.environ['FROM_THE_NOTEBOOK'] = 'a b'\n"
            "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (500, 900))\n"
            "os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})\n",
            raise_error=True,
        )
        yield driver


def out(kernel: KernelDriver, cell: str) -> str:
    run = kernel.run(cell)
    run.raise_error()
    return run.stdout


def state(text: str) -> str:
    """Without the numbers of new namespaces: those of the test's own are the old ones."""
    for kind in KINDS.split():
        own = re.escape(os.readlink(f"/proc/self/ns/{kind}"))
        text = re.sub(rf"{kind}:\[\d+\]", "new", re.sub(own, "old", text))
    return text


@pytest.mark.parametrize(
    "line",
    ["--user", "-r", "-c", "-rmuin", "-rmuinpCf --mount-proc", "-rfT --boottime=99", "-rw /usr"],
)
def test_as_unshare_in_the_same_notebook(notebook: KernelDriver, line: str) -> None:
    """By subprocess, which passes on what a program cell does."""
    code = f"""
import subprocess
print(subprocess.run(["unshare", *{line.split()!r}, "sh"], input={STATE!r}, text=True,
      capture_output=True, restore_signals=True).stdout)"""
    expected = out(notebook, code)
    assert "uid_map" not in expected
    assert state(out(notebook, f"%%unshare {line} sh\n{STATE}")).split() == state(expected).split()


def test_the_textbooks_cell(kernel: KernelDriver) -> None:
    lines = out(kernel, "%%unshare -rpf --mount-proc /bin/bash\nps -e -o pid=,args=\n").splitlines()
    assert [line.split()[:2] for line in lines] == [["1", "/bin/bash"], ["2", "ps"]]


def test_the_line_form(kernel: KernelDriver) -> None:
    assert out(kernel, "%unshare -r echo 'a  b' {x} $HOME") == "a  b {x} $HOME\n"


def test_what_was_set_in_plain_cells_holds(notebook: KernelDriver, tmp_path: Path) -> None:
    out(notebook, f"os.chdir({str(tmp_path)!r})")
    body = "pwd; umask; nice; ulimit -Sn; ulimit -Hn; ulimit -Hc; echo $FROM_THE_NOTEBOOK; nproc"
    found = out(notebook, f"%%unshare --user bash\n{body}").split("\n")
    out(notebook, "os.chdir('/')")
    assert found == [str(tmp_path), "0027", str(3 + os.nice(0)), "500", "900", "0", "a b", "1", ""]


def test_a_bad_end_fails_the_cell(kernel: KernelDriver) -> None:
    run = kernel.run("%%unshare --user sh\necho begun\nexit 3")
    assert run.error is not None
    assert (run.status, run.error["ename"]) == ("error", "CellFailed")
    assert "sh exited with status 3" in run.error["evalue"]
    assert run.stdout == "begun\n"
    assert "SIGKILL" in str(kernel.run("%%unshare --user sh\nkill -9 $$").error)


def test_unless_it_may(kernel: KernelDriver) -> None:
    out(
        kernel,
        "%%unshare --user --no-raise-error --proc p --out o --err e sh\necho a; echo b >&2; exit 3",
    )
    assert out(kernel, "print(p.exit_code, repr(o), repr(e)); del p, o, e") == "3 'a\\n' 'b\\n'\n"


def test_a_timeout(kernel: KernelDriver) -> None:
    run = kernel.run("%%unshare --user --timeout 1 sh\necho begun\nexec sleep 1000")
    assert run.error is not None
    assert "--timeout" in run.error["evalue"]
    assert run.stdout == "begun\n"


def test_a_terminal(kernel: KernelDriver) -> None:
    shown = "echo \"<$line>\"; tty; stty size; printf '\\033[31mred\\033[0m'"
    body = f"read line\nthe line\n{shown}"
    found = out(kernel, f"%%unshare --user --tty bash --noediting\n{body}")
    for part in ("<the line>", "/dev/pts/", "24 100", "\x1b[31mred\x1b[0m"):
        assert part in found, found


@root_only
@pytest.mark.parametrize("program", ["", " sh"])
def test_a_file_named_as_the_notebook_names_it(
    kernel: KernelDriver, tmp_path: Path, program: str
) -> None:
    body = "print()" if not program else "true"
    (tmp_path / "by-descriptor").touch()
    out(kernel, f"import os; os.chdir({str(tmp_path)!r}); f = open('by-descriptor')")
    number = out(kernel, "print(f.fileno())").strip()
    try:
        out(kernel, f"%%unshare --uts=/proc/self/fd/{number}{program}\n{body}")
        out(kernel, f"%%unshare --ipc=by-name{program}\n{body}")
        for option, name in (("uts", "by-descriptor"), ("ipc", "by-name")):
            argv = [
                "nsenter",
                f"--{option}={tmp_path / name}",
                "readlink",
                f"/proc/self/ns/{option}",
            ]
            link = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
            assert link == f"{option}:[{(tmp_path / name).stat().st_ino}]"
            assert link != os.readlink(f"/proc/self/ns/{option}")
    finally:
        out(kernel, "f.close(); del f; os.chdir('/')")
        for name in ("by-descriptor", "by-name"):
            subprocess.run(["umount", tmp_path / name], check=False, capture_output=True)


@pytest.mark.parametrize("program", ["", " /bin/pwd"])
def test_a_directory_that_the_notebook_has_open(
    kernel: KernelDriver, tmp_path: Path, program: str
) -> None:
    out(kernel, f"import os; fd = os.open({str(tmp_path)!r}, os.O_RDONLY)")
    path = "/proc/self/fd/" + out(kernel, "print(fd)").strip()
    body = "" if program else "print(os.getcwd())"
    assert out(kernel, f"%%unshare -r --wd={path}{program}\n{body}") == f"{tmp_path}\n"
    if not program:
        (tmp_path / "only").touch()
        assert "['only']" in out(kernel, f"%%unshare -r --root={path}\nprint(os.listdir('/'))")
    out(kernel, "os.close(fd); del fd")


@root_only
def test_strict_is_the_lessons_enomem(kernel: KernelDriver) -> None:
    run = kernel.run("%%unshare --strict --pid bash\n/bin/echo one\n/bin/echo two")
    assert run.stdout == "one\n"
    assert run.stderr.count("fork: Cannot allocate memory") == 1
    assert run.status == "error"


class TestLessThanRoot:
    """An ordinary user, and uid 0 of a container: without CAP_SYS_ADMIN."""

    def both(self, kernel: KernelDriver, line: str) -> list[CellRun]:
        cells = [
            f"%%unshare {line} cat /proc/self/uid_map\n",
            f"%%unshare {line}\n!cat /proc/self/uid_map",
        ]
        return [kernel.run(cell) for cell in cells]

    def maps(self, kernel: KernelDriver, line: str) -> list[list[str]]:
        runs = self.both(kernel, line)
        for run in runs:
            run.raise_error()
        return [run.stdout.split() for run in runs]

    def test_a_user(self, user_kernel: KernelDriver) -> None:
        uid = out(user_kernel, "import os; print(os.getuid())").strip()
        first = user_kernel.run("%%unshare --net true\n")
        first.raise_error()
        assert ADDED in first.stdout + first.stderr + str(first.displays)
        assert self.maps(user_kernel, "--net") == [["0", uid, "1"]] * 2
        assert self.maps(user_kernel, "--net --map-user=7") == [["7", uid, "1"]] * 2
        assert self.maps(user_kernel, "--net --user") == [[], []]
        for run in self.both(user_kernel, "--net --strict"):
            assert "EPERM" in str(run.error)

    @root_only
    def test_root_without_sys_admin(self) -> None:
        with KernelDriver(prefix=["setpriv", "--bounding-set=-sys_admin"]) as kernel:
            assert self.maps(kernel, "--net") == [["0", "0", "1"]] * 2
            assert self.maps(kernel, "--map-users=0:0:10") == [["0", "0", "10"]] * 2


def test_what_the_cell_left_running_is_told(kernel: KernelDriver) -> None:
    run = kernel.run("%%unshare --uts bash\nsleep 1000 &\nsleep 1000 &\necho over")
    assert run.stdout == "over\n"
    notes = [bundle["text/plain"] for bundle in run.displays]
    assert notes == ["ended 2 processes that outlived the cell; a box keeps them: --name"]
    assert kernel.run("%%unshare --uts bash\nsleep 0 & wait").displays == []


INIT = "%%unshare --user --map-root-user --pid --mount-proc --init"


def test_an_init_of_ours(kernel: KernelDriver) -> None:
    who = 'echo $$ $(tr -d "\\0\\1" < /proc/1/cmdline) $(cat /proc/1/comm)'
    assert out(kernel, f"{INIT} bash\n{who}") == "2 nsmagic-init nsmagic-init\n"
    python = "import os\nprint(os.getpid(), open('/proc/1/comm').read())"
    assert out(kernel, f"{INIT}\n{python}").split() == ["2", "nsmagic-init"]
    run = kernel.run(f"{INIT} bash\nexit 7")
    assert "bash exited with status 7" in "".join(run.error["traceback"] if run.error else [])


def test_an_init_of_ours_reaps_and_forwards(kernel: KernelDriver) -> None:
    orphan = "exec 9< <( (sleep 0.01 & echo $!) )\nread -u 9 pid\ntail --pid=$pid -f /dev/null"
    gone = "until [ ! -e /proc/$pid ]; do :; done; echo reaped"
    assert out(kernel, f"{INIT} --timeout 20 bash\n{orphan}\n{gone}") == "reaped\n"
    told = "trap 'echo told; exit' TERM\nkill -TERM 1\nwhile :; do sleep 0.01; done"
    assert out(kernel, f"{INIT} --timeout 20 bash\n{told}") == "told\n"


GIVEN_UP = {
    "NoNewPrivs": "import ctypes; ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)",
    "Uid": "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)",
}


@root_only
@pytest.mark.parametrize("line", GIVEN_UP)
def test_rights_that_the_notebook_gave_up_do_not_come_back(
    fresh_kernel: KernelDriver, line: str
) -> None:
    look = f"%unshare grep {line}: /proc/self/status"
    before = fresh_kernel.run(look, raise_error=True).stdout
    fresh_kernel.run(GIVEN_UP[line], raise_error=True)
    refused = fresh_kernel.run(look).error or {}
    assert f"{line}" in refused["evalue"]
    assert "%reload_ext nsmagic" in "\n".join(refused["traceback"])
    fresh_kernel.run("%reload_ext nsmagic", raise_error=True)
    if line == "Uid":
        told = fresh_kernel.run("%%unshare --user --map-root-user\n1").error or {}
        assert "PR_SET_DUMPABLE" in "\n".join(told["traceback"])
    after = fresh_kernel.run(look, raise_error=True).stdout
    assert after != before
    own = f"next(each for each in open('/proc/self/status') if each.startswith('{line}:'))"
    now = fresh_kernel.run(own, raise_error=True).text
    assert ast.literal_eval(now) in after  # where IPython's history complains too
