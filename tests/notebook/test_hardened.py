"""Kernels with `--profile hardened`: Linux's state, the calls refused, and that they work."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nsmagic import Isolation, run
from nsmagic.linux.situation import read_situation
from nsmagic.notebook.boxing import Boxing
from nsmagic.notebook.kernelspecs import isolate
from nsmagic.run.spawning import close_spawner
from nsmagic.wish.errors import WishError
from nsmagic.wish.namespaces import NAMESPACES
from nsmagic.wish.paste import shell_lines, unshare_command
from nsmagic.wish.plan import Plan, make_plan
from nsmagic.wish.profiles import HARDENED, MASKED_FILES, READ_ONLY
from nsmagic.wish.seccomp import HARDENED as REFUSED
from nsmagic.wish.steps import Exec, Init, KeepBox, Seccomp
from nsmagic.wish.unshare import settle
from tests.support import boxed
from tests.support.boxed import HERE, box, descendants, running, wait_for_end
from tests.support.cell_run import UNTIL_STOPPED
from tests.support.groups import groups_with_limits
from tests.support.skips import needs, probe, root_only

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kernel_driver import KernelDriver
    from tests.support.user import Account

WISH = Isolation(profile="hardened")
LOOK = """
import json, os, socket
def status(pid):
    lines = open(f"/proc/{pid}/status").read().splitlines()
    return dict(line.split(":\\t", 1) for line in lines)
links = {n: os.readlink(f"/proc/self/ns/{n}") for n in os.listdir("/proc/self/ns")}
mounts = {line.split()[4]: line.split()[5] for line in open("/proc/self/mountinfo")}
print(json.dumps([status("self"), status(1), links, mounts, os.getcwd(),
                  {p: os.listdir(p) for p in ("/tmp", "/run", "/dev")}]))
"""
# What each call is given: nothing that it could act on, so that even EPERM of Linux's own is rare.
CALL = """
import ctypes, json
libc = ctypes.CDLL(None, use_errno=True)
found = {}
for name, number, first in CALLS:
    ctypes.set_errno(0)
    result = libc.syscall(*map(ctypes.c_long, (number, first, 0, 0, 0, 0, 0)))
    found[name] = ctypes.get_errno() if result == -1 else 0
print(json.dumps(found))
"""
WORKS = """
import multiprocessing, subprocess, threading
thread = threading.Thread(target=print, args=("thread",))
thread.start(); thread.join()
print(subprocess.run(["cat", "/dev/null", "-"], input=b"child\\n", capture_output=True).stdout)
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(abs, [-1, -2]))
open("/tmp/scratch", "w").write("mine")
import os, pty
print(os.isatty(pty.openpty()[1]))
"""


@probe
def profile_works() -> str | None:
    """Can a profile be had here?  It needs what the magics need."""
    if platform.machine() not in {"x86_64", "aarch64"}:
        return "not x86-64 or aarch64: no table of system call numbers"
    try:
        done = run(WISH, ["true"])
    finally:
        close_spawner()
    return None if done.result.ok else done.stderr.decode()


pytestmark = [pytest.mark.linux, needs(profile_works)]


@pytest.fixture(scope="module", autouse=True)
def kernelspecs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("jupyter")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_DATA_DIR", str(folder))
        patch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
        boxed.write_spec(folder, "bash", boxed.bash_spec(folder))
        isolate("python3", Boxing(name="hard", profile="hardened"), HERE)
        isolate("bash", Boxing(name="hard-bash", profile="hardened"), HERE)
        yield folder


@pytest.fixture(scope="module")
def hard(kernelspecs: Path) -> Iterator[KernelDriver]:
    with running("hard") as driver:
        yield driver


@pytest.fixture
def ending_spawner() -> Iterator[None]:
    yield
    close_spawner()


def facts(driver: KernelDriver) -> list[Any]:
    found: list[Any] = json.loads(driver.run(LOOK, raise_error=True).stdout)
    return found


def test_neither_the_kernel_nor_its_init_may_do_anything(hard: KernelDriver) -> None:
    kernel, init, *_ = facts(hard)
    for status in (kernel, init):
        sets = {status[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}
        assert sets == {"0" * 16}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    # Nor do they get it by executing a program that gives it, as sudo(8) and passwd(1) do.
    text = "import subprocess\nprint(subprocess.getoutput('cat /proc/self/status'))"
    assert "CapEff:\t0000000000000000" in hard.run(text).stdout


def test_it_has_every_namespace_but_its_users_and_clocks(hard: KernelDriver) -> None:
    _, _, links, *_ = facts(hard)
    new = {row.name for row in NAMESPACES
           if os.readlink(f"/proc/self/ns/{row.name}") != links[row.name]}  # fmt: skip
    assert new - {"user"} == HARDENED.namespaces
    assert ("user" in new) == (os.geteuid() != 0)


def test_what_it_sees_and_may_write(hard: KernelDriver, tmp_path: Path) -> None:
    _, _, _, mounts, wd, listed = facts(hard)
    assert wd == str(Path.cwd())
    assert set(HARDENED.devices) | {"pts", "shm", "fd", "ptmx"} <= set(listed["/dev"])
    assert not any("sd" in name or "kvm" in name or "mem" in name for name in listed["/dev"])
    read_only = {path for path in READ_ONLY if Path(path).exists()}
    below_sys = {path for path in mounts if path.startswith("/sys/")}
    assert all("ro" in mounts[path].split(",") for path in read_only | below_sys)
    masked = [path for path in MASKED_FILES if Path(path).exists()]
    sizes = hard.run(f"[len(open(p).read()) for p in {masked}]").text
    assert sizes == str([0] * len(masked))
    refused = hard.run("open('/proc/sys/kernel/panic_on_oops', 'w').write('1')").error
    assert refused is not None
    assert refused["evalue"].startswith(("[Errno 30]", "[Errno 13]"))
    own = hard.run("open('/tmp/only-here', 'w').write('x')", raise_error=True)
    assert own.text == "1"
    assert not Path("/tmp/only-here").exists()
    file = tmp_path / "secret"  # below the old /tmp
    file.write_text("seen")
    assert hard.run(f"open({str(file)!r})").status == "error"


def test_the_filter_refuses_each_call_with_its_errno(hard: KernelDriver) -> None:
    column = "x86_64" if platform.machine() == "x86_64" else "generic"
    rows = [row for row in REFUSED if getattr(row, column) is not None]
    calls = [(row.name, getattr(row, column), row.bits or (row.only or (7,))[0]) for row in rows]
    done = hard.run(f"CALLS = {calls}\n{CALL}", raise_error=True)
    assert json.loads(done.stdout) == {row.name: row.error for row in rows}


def test_outside_those_calls_are_not_refused() -> None:
    """The errnos above are the filter's: ours, where there is none, are others."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(0) == 0
    assert libc.syscall(435, 0, 0) == -1
    assert ctypes.get_errno() == errno.EINVAL  # clone3


def test_the_kernel_works(hard: KernelDriver) -> None:
    done = hard.run(WORKS, raise_error=True)
    assert done.stdout == "thread\nb'child\\n'\n[1, 2]\nTrue\n"
    plot = "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()"
    done = hard.run(plot, raise_error=True)
    assert any("image/png" in data for data in done.displays)
    assert hard.run("import asyncio\nawait asyncio.sleep(0, 42)").text == "42"
    assert hard.run("!echo from a shell").stdout.strip() == "from a shell"


TALK = """
import socket
print(socket.if_nameindex())
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname(), timeout=5)
client.close(); server.close()
"""


def test_lo_is_up_so_that_its_programs_reach_each_other_and_the_debugger_works() -> None:
    with running("hard") as hard:
        assert hard.run(TALK, raise_error=True).stdout == "[(1, 'lo')]\n"
        assert hard.manager.kernel_spec is not None
        assert hard.manager.kernel_spec.metadata["debugger"] is True
        assert hard.client is not None
        arguments = {"clientID": "test", "adapterID": "", "linesStartAt1": True}
        request = {"type": "request", "seq": 1, "command": "initialize", "arguments": arguments}
        message = hard.client.session.msg("debug_request", request)
        hard.client.control_channel.send(message)
        reply = hard.client.get_control_msg(timeout=30)
        assert reply["parent_header"]["msg_id"] == message["header"]["msg_id"]
        assert reply["content"]["success"] is True


def test_a_cell_in_it_is_told_whose_filter_refuses_it_a_namespace() -> None:
    with running("hard", setup="%load_ext nsmagic") as kernel:
        done = kernel.run("%unshare --uts true")
        assert done.error is not None
        assert "This kernel is in a box with --profile" in "\n".join(done.error["traceback"])
        doctor = (kernel.run("%nsmagic doctor").result or {})["text/plain"]
        assert "a box with --profile of nsmagic" in doctor
        assert "docker run -" not in doctor  # which would change nothing
        text = "\n".join((kernel.run("%%cgroup mem=64M\n1").error or {})["traceback"])
        assert "nsmagic kernel isolate ... --cgroup" in text
        assert "docker" not in text


def test_interrupt_restart_and_sigkill_as_in_any_box() -> None:
    with running("hard") as kernel:
        run = kernel.start(f"print('on', flush=True)\n{UNTIL_STOPPED}")
        kernel.wait(run, until=lambda run: "on" in run.stdout)
        kernel.interrupt()
        assert (kernel.wait(run).error or {})["ename"] == "KeyboardInterrupt"
        kernel.manager.restart_kernel()
        assert kernel.client is not None
        kernel.client.wait_for_ready(timeout=30)
        kernel.run("import subprocess; subprocess.Popen(['setsid', 'sleep', '600'])")
        below = descendants(kernel.pid)
        os.kill(kernel.pid, signal.SIGKILL)
        assert all(wait_for_end(pid) for pid in below)
        assert not Path(kernel.manager.ip).parent.exists()


def test_a_kernel_that_is_not_python() -> None:
    with running("hard-bash", setup="true") as bash:
        done = bash.run("grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; ls /run; pwd")
        lines = done.stdout.split("\n")
        assert lines[:3] == ["CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"]
        assert bash.run("unshare --user true || echo refused").stdout.endswith("refused\n")


@needs(groups_with_limits)
def test_with_limits_as_well() -> None:
    limited = Boxing(name="hard-limited", cgroup="mem=256M pids=60", profile="hardened")
    isolate("python3", limited, HERE)
    with running("hard-limited") as kernel:
        groups = kernel.run("print(open('/proc/self/cgroup').read())").stdout.split()
        assert all(line.endswith(":/") for line in groups)  # each the root that it sees
        done = kernel.run("blob = bytearray(400 * 2**20)")
        assert done.error is not None
        assert "killed by its memory limit of 256 M" in done.error["evalue"]


def test_in_a_root_of_its_own(kernelspecs: Path) -> None:
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    boxed.write_spec(kernelspecs, "here", {"argv": argv, "display_name": "", "language": "python"})
    rooted = Boxing(name="hard-rooted", profile="hardened", root="/proc/self/root")
    isolate("here", rooted, HERE)
    with running("hard-rooted") as kernel:
        status, *_, listed = facts(kernel)
        assert status["Seccomp"] == "2"
        assert set(HARDENED.devices) <= set(listed["/dev"])


@pytest.mark.usefixtures("ending_spawner")
def test_a_program_by_the_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # below /tmp, and still seen
    Path("data").write_text("here\n")
    done = run(WISH, ["sh", "-c", "cat data; pwd; ls /tmp; umount /proc || exit 7"])
    words = done.stdout.decode().split()
    assert words[:2] == ["here", str(tmp_path)]
    kept = {Path(path).parts[2] for path in (tmp_path, Path.home()) if path.is_relative_to("/tmp")}
    assert set(words[2:]) == kept
    assert done.result.exit_code == 7


@root_only
@pytest.mark.usefixtures("ending_spawner")
def test_another_user_has_no_more() -> None:
    from dataclasses import replace

    done = run(replace(WISH, setuid=1000, setgid=1000), ["cat", "/proc/self/status"])
    status = dict(line.split(":\t", 1) for line in done.stdout.decode().splitlines())
    assert status["Uid"].split() == ["1000"] * 4
    assert {status[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}


def test_as_an_ordinary_user(user_alone: Account) -> None:
    program = """
import nbformat
from nbclient.client import NotebookClient
from nsmagic.notebook.boxing import Boxing
from nsmagic.notebook.kernelspecs import Place, isolate
done = isolate("python3", Boxing(name="mine", profile="hardened"), Place(user=True))
print(*done.notes)
cell = "print(*(l for l in open('/proc/self/status') if l[:6] in ('CapBnd', 'NoNewP', 'Seccom')))"
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
NotebookClient(notebook, kernel_name="mine", timeout=60).execute()
print(notebook.cells[0].outputs[0]["text"])
"""
    done = user_alone.run([user_alone.python, "-c", program])
    words = done.stdout.split()
    assert words[:3] == ["added", "--user", "--map-root-user:"], done.stderr
    assert words[-8:-2] == ["CapBnd:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"]


def plan(wish: Isolation) -> Plan:
    settled = settle(wish)
    return make_plan(settled, read_situation(settled), Exec(argv=("true",)), init=True)


def test_the_filter_is_the_last_step_before_our_init() -> None:
    *_, last, init, body = plan(WISH).steps
    assert (type(last), type(init), type(body)) == (Seccomp, Init, Exec)
    assert unshare_command(plan(WISH)) == ""  # none of unshare(1) does it all


@root_only
def test_the_shell_lines_lead_to_the_same_state() -> None:
    lines = [line for line in shell_lines(plan(WISH))[:-2] if not line.startswith("keyctl")]
    look = "cat /proc/self/status; ls /dev /tmp /run; findmnt -no OPTIONS /sys; pwd"
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "slave", "bash"], text=True, capture_output=True,
        input="\n".join([*lines, look]), check=False,
    )  # fmt: skip
    assert done.stderr == ""
    shell = done.stdout
    for words in ("CapBnd:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"):
        assert words in shell
    assert "ptmx" in shell
    assert "kvm" not in shell
    assert "ro,relatime" in shell
    assert shell.endswith(f"{Path.cwd()}\n")


@pytest.mark.parametrize(
    ("boxing", "message"),
    [
        (Boxing(name="a", profile="herdened"), "there is no profile 'herdened'"),
        (Boxing(name="a", profile="hardened", unshare="--mount --propagation shared"), "exclude"),
        (Boxing(name="a", profile="hardened", unshare="--propagation=unchanged -m"), "exclude"),
        (Boxing(name="a", profile="hardened", unshare="--user --keep-caps"), "exclude each other"),
    ],
)
def test_wishes_that_a_profile_refuses(boxing: Boxing, message: str) -> None:
    with pytest.raises(WishError, match=message):
        isolate("python3", boxing, HERE)


def test_a_box_cannot_have_a_profile_that_its_cells_would_not_have() -> None:
    with pytest.raises(WishError, match="cells that enter a box are none"):
        make_plan(settle(WISH), read_situation(WISH), KeepBox(box="web"))


def test_a_machine_without_a_table_is_told_before_anything_is_made() -> None:
    from dataclasses import replace

    situation = replace(read_situation(WISH), machine="s390x")
    with pytest.raises(WishError, match="no table of system call numbers for s390x"):
        make_plan(settle(WISH), situation, Exec(argv=("true",)))


def test_the_command_line_prints_the_steps(capfd: pytest.CaptureFixture[str]) -> None:
    from nsmagic.cli.main import main

    line = "kernel isolate python3 --name dry --profile hardened --dry-run --user"
    assert main(line.split()) == 0
    said = capfd.readouterr().out
    for words in ("own /tmp", "own /dev", "cap-bound", "no-new-privs", "PR_SET_SECCOMP", "exec "):
        assert words in said
    with pytest.raises(WishError, match="no kernel 'dry'"):
        box("other", base="dry")
