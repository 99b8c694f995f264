"""Whole kernels in a box: a life like any kernel's, seen from Jupyter, and nothing left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from nbclient.client import NotebookClient
from nbclient.exceptions import CellExecutionError

from nsmagic.linux.copies import build_rootfs
from nsmagic.linux.rootfs import plan_rootfs
from nsmagic.notebook.boxing import Boxing
from nsmagic.notebook.kernelspecs import isolate
from nsmagic.wish.rootfs import RootfsWish
from tests.support import boxed
from tests.support.boxed import HERE, MODULE, box, descendants, running, wait_for_end
from tests.support.cell_run import UNTIL_STOPPED, CellError, CellRun, Message
from tests.support.sandboxes import docker_default, sandboxes_work
from tests.support.skips import needs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kernel_driver import KernelDriver
    from tests.support.user import Account

pytestmark = pytest.mark.linux


@pytest.fixture(scope="module", autouse=True)
def kernelspecs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory with the boxed kernels of these tests."""
    folder = tmp_path_factory.mktemp("jupyter")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_DATA_DIR", str(folder))
        patch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
        boxed.write_spec(folder, "bash", boxed.bash_spec(folder))
        box("py-boxed")
        box("py-ports", provisioned=False)
        box("bash-boxed", base="bash")
        yield folder


@pytest.fixture(scope="module", params=["py-boxed", "py-ports"])
def py(request: pytest.FixtureRequest, kernelspecs: Path) -> Iterator[KernelDriver]:
    """A boxed Python, once by the provisioner and once as front ends without provisioners do."""
    with running(request.param) as driver:
        yield driver


def test_it_lives_in_a_world_of_its_own(py: KernelDriver) -> None:
    seen = py.run(
        "import json, os, socket\n"
        "links = {n: os.readlink(f'/proc/self/ns/{n}') for n in os.listdir('/proc/self/ns')}\n"
        "print(json.dumps([os.getpid(), os.getppid(), socket.if_nameindex(), links,\n"
        "                  sorted(p for p in os.listdir('/proc') if p.isdigit())]))"
    )
    pid, parent, net, links, pids = json.loads(seen.stdout)
    assert (pid, parent, net) == (2, 1, [[1, "lo"]])
    assert pids == ["1", "2"]
    ours = {name: os.readlink(f"/proc/self/ns/{name}") for name in links}
    differ = {name for name in ours if ours[name] != links[name]}
    assert differ == {"user", "mnt", "net", "pid", "pid_for_children"}
    assert py.manager.transport == ("ipc" if py.manager.kernel_name == "py-boxed" else "tcp")


def test_interrupt(py: KernelDriver) -> None:
    run = sleeping(py)
    py.interrupt()
    assert error_of(py.wait(run)).startswith("KeyboardInterrupt")
    assert py.run("1 + 1").text == "2"


def test_interrupt_reaches_what_the_kernel_started(py: KernelDriver) -> None:
    py.run("import subprocess; child = subprocess.Popen(['sleep', '60'])", raise_error=True)
    run = sleeping(py)
    py.interrupt()
    assert error_of(py.wait(run)).startswith("KeyboardInterrupt")
    assert py.run("child.wait(5)").text == "-2"


def test_interrupt_by_message(py: KernelDriver) -> None:
    assert py.client is not None
    run = sleeping(py)
    py.client.control_channel.send(py.client.session.msg("interrupt_request", {}))
    assert error_of(py.wait(run)).startswith("KeyboardInterrupt")


def test_input_and_much_output(py: KernelDriver) -> None:
    run = py.run("word = input('word? ')\nprint(word * 500_000)", stdin=["abcd"])
    assert run.prompts == ["word? "]
    assert len(run.stdout) == 2_000_001


def test_cells_nest(py: KernelDriver) -> None:
    nested = "%load_ext nsmagic\nx = 41"
    py.run(nested, raise_error=True)
    run = py.run("%%unshare --user --map-root-user --pid --mount-proc --uts\n"
                 "import os\nprint(os.getpid(), x + 1)")  # fmt: skip
    assert run.stdout == "1 42\n"
    py.run("%%unshare --net /bin/sh\ntest $(ls /proc | wc -l) -gt 1", raise_error=True)
    py.run("%unload_ext nsmagic\ndel x")


def test_the_servers_tokens_stay_outside() -> None:
    tokens = {"JUPYTER_TOKEN": "nst-token", "JUPYTERHUB_API_TOKEN": "nst-token"}
    with running("py-boxed", env={**tokens, "NST_OTHER": "kept"}) as py:
        run = py.run(
            "import os, pathlib\n"
            "seen = [p.read_bytes() for p in pathlib.Path('/proc').glob('[0-9]*/environ')]\n"
            "len(seen), any(b'nst-token' in each for each in seen), os.environ['NST_OTHER']"
        )
    assert run.text == "(2, False, 'kept')"


def test_restart_and_death() -> None:
    with running("py-boxed") as py:
        address = py.manager.get_connection_info()
        py.manager.restart_kernel()
        assert py.manager.get_connection_info() == address
        ready(py)
        assert py.run("import os; os.getpid()").result == {"text/plain": "2"}
        py.manager.restart_kernel(now=True)
        ready(py)
        assert error_of(py.run("os")) == "NameError: name 'os' is not defined"
        # Killed from outside: the cell that runs is told, and then the program ends.
        run = sleeping(py)
        os.kill(kernel_of(py), signal.SIGKILL)
        py.wait(run)
        assert error_of(run) == "KernelDied: the kernel py-boxed was killed by SIGKILL"
        assert run.reply is not None
        assert run.reply["ename"] == "KernelDied"
        assert run.reply["execution_count"] == 2
        assert wait_for_end(py.pid)
        assert not py.manager.is_alive()
        py.manager.restart_kernel(now=True)
        ready(py)
        assert py.run("6 * 7").result == {"text/plain": "42"}


@pytest.mark.parametrize("name", ["py-boxed", "py-ports"])
def test_encryption_goes_from_end_to_end(name: str) -> None:
    manager = KernelManager(kernel_name=name, transport_encryption="required")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=30)
        reply = client.execute_interactive("1 + 1", timeout=20)
        assert reply["content"]["status"] == "ok"
        # What is said in the place of a dead kernel would have to be encrypted as by it.
        client.execute("import os; os.kill(os.getpid(), 9)")
        assert wait_for_end(manager.provisioner.pid)  # type: ignore[union-attr]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_cells_that_wait_are_aborted_when_the_kernel_dies() -> None:
    with running("py-ports") as py:
        run = sleeping(py)
        waiting = py.start("2")
        os.kill(kernel_of(py), signal.SIGSEGV)

        def errors(seen: CellRun) -> list[Message]:
            return [message for message in seen.messages if message.kind == "error"]

        py.wait(waiting, until=lambda seen: seen.reply and errors(seen))
        assert waiting.status == "aborted"
        (error,) = errors(waiting)
        assert error.parent == run.request
        assert "it crashed" in error.content["evalue"]


def test_several_at_once() -> None:
    with running("py-boxed") as one, running("py-boxed") as two, running("py-ports") as three:
        kernels = (one, two, three)
        for number, kernel in enumerate(kernels):
            kernel.run(f"x = {number}", raise_error=True)
        worlds = {
            kernel.run("import os; os.readlink('/proc/self/ns/net')").text for kernel in kernels
        }
        assert len(worlds) == 3
        assert [kernel.run("x").text for kernel in kernels] == ["0", "1", "2"]


@pytest.mark.parametrize("name", ["py-boxed", "bash-boxed"])
def test_as_vs_code_starts_it(name: str, tmp_path: Path) -> None:
    """It knows no provisioners, and fills in {connection_file} where it stands first only."""
    spec = KernelSpecManager().get_kernel_spec(name)
    argv = list(spec.argv)
    file, _ = write_connection_file(str(tmp_path / "kernel-v2.json"))
    argv[argv.index("{connection_file}")] = file
    assert "{connection_file}" in argv
    client = BlockingKernelClient(connection_file=file)
    client.load_connection_file()
    with subprocess.Popen(argv, env={**os.environ, **spec.env}) as program:
        client.start_channels(hb=False)
        try:
            client.wait_for_ready(timeout=30)
            texts: list[str] = []

            def note(message: dict[str, Any]) -> None:
                texts.append(str(message["content"].get("text", "")))

            code = "echo $PPID" if name == "bash-boxed" else "import os; print(os.getpid())"
            client.execute_interactive(code, output_hook=note, timeout=30)
            assert "".join(texts).strip() == "2"
            below = descendants(program.pid)
        finally:
            client.stop_channels()
            program.terminate()  # as it disposes of a kernel
    assert all(wait_for_end(pid) for pid in below)


def test_a_kernel_that_is_not_python() -> None:
    with running("bash-boxed", setup="true") as bash:
        run = bash.run("x=41\necho $((x + 1)) $PPID")
        assert run.stdout.split() == ["42", "2"]  # the shell is the child of PID 2
        run = bash.start("sleep 60")
        while not any(line.startswith("sleep 60") for line in descendants(bash.pid).values()):
            pass  # it announces its start to nobody
        bash.interrupt()
        bash.wait(run)
        assert bash.run("echo $x").stdout.strip() == "41"


@pytest.mark.parametrize("name", ["py-boxed", "py-ports"])
def test_sigkill_of_the_program_leaves_nothing(name: str) -> None:
    with running(name) as py:
        py.run("import subprocess; subprocess.Popen(['setsid', 'sleep', '600'])", raise_error=True)
        below = descendants(py.pid)
        assert len(below) >= 4  # spawner, init, kernel, sleep
        os.kill(py.pid, signal.SIGKILL)
        assert all(wait_for_end(pid) for pid in below)
        if name == "py-boxed":  # the spawner swept before it ended
            assert not Path(py.manager.ip).parent.exists()
        py.manager.restart_kernel(now=True)
        ready(py)
        assert py.run("1").text == "1"
    # The fixture of all tests looks for sockets, directories, cgroups and namespaces.


def test_sigkill_of_the_server_leaves_nothing(tmp_path: Path) -> None:
    server = """
import sys
from jupyter_client.manager import KernelManager
manager = KernelManager(kernel_name="py-boxed", connection_file=sys.argv[1])
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=30)
client.execute("import time; time.sleep(600)")
print(manager.provisioner.pid, flush=True)
sys.stdin.read()
"""
    file = tmp_path / "connection.json"
    with subprocess.Popen(
        [sys.executable, "-c", server, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        program = int(process.stdout.readline())
        folder = Path(json.loads(file.read_text())["ip"]).parent
        assert folder.exists()
        below = descendants(program)
        process.kill()
    assert all(wait_for_end(pid) for pid in (program, *below))
    assert not folder.exists()


@pytest.mark.parametrize("unshare", ["--mount --uts", "--user --map-root-user --uts", "--time"])
def test_without_a_pid_namespace(unshare: str) -> None:
    box("other", unshare, replacing=True)
    with running("other") as kernel:
        kernel.run("import subprocess; subprocess.Popen(['setsid', 'sleep', '600'])")
        assert kernel.run("import os; os.getpid()").text != "2"
        run = sleeping(kernel)
        kernel.interrupt()
        assert error_of(kernel.wait(run)).startswith("KeyboardInterrupt")


def test_a_box_that_linux_refuses_fails_every_cell_with_the_reason() -> None:
    box("refused", "--time --boottime=-999999999", replacing=True)
    with pytest.raises(CellError) as failed, running("refused"):
        pass
    assert "the kernel refused did not start: write(" in str(failed.value)
    assert "ERANGE" in str(failed.value)
    assert "The boottime clock shows" in str(failed.value)


@needs(sandboxes_work)
def test_in_docker_every_cell_says_what_docker_refuses() -> None:
    with pytest.raises(CellError) as failed, running("py-boxed", prefix=docker_default([])):
        pass
    assert "the kernel py-boxed did not start: unshare(" in str(failed.value)
    assert "seccomp" in str(failed.value)


def test_a_kernel_that_cannot_start_says_what_it_wrote(kernelspecs: Path) -> None:
    argv = [sys.executable, "-c", "import nonexistent", "{connection_file}"]
    boxed.write_spec(kernelspecs, "broken", {"argv": argv, "display_name": "B", "language": "b"})
    box("broken-boxed", base="broken")
    with pytest.raises(CellError) as failed, running("broken-boxed"):
        pass
    assert "did not start: it exited with status 1 before it answered" in str(failed.value)
    assert "No module named 'nonexistent'" in str(failed.value)


def test_in_the_machines_own_root(kernelspecs: Path) -> None:
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    boxed.write_spec(kernelspecs, "here", {"argv": argv, "display_name": "", "language": "python"})
    isolate("here", Boxing(name="rooted", unshare="--mount", root="/proc/self/root"), HERE)
    with running("rooted") as kernel:
        assert kernel.run("1 + 1").text == "2"


def test_in_another_root_both_meet_below_it(kernelspecs: Path, tmp_path: Path) -> None:
    root = tmp_path / "deep" / ("x" * 90) / "root"  # deeper than a socket's path may be
    (root / "tmp").mkdir(parents=True)
    build_rootfs(plan_rootfs(RootfsWish(directory=str(root), programs=("sh", "cat", "ls"))))
    script = "cat $0; ls -a /tmp/nsmagic-*; exit 3"
    argv = ["/bin/sh", "-c", script, "{connection_file}"]
    boxed.write_spec(kernelspecs, "sh", {"argv": argv, "display_name": "", "language": "sh"})
    isolate("sh", Boxing(name="deep", unshare="--pid", root=str(root)), HERE)
    with pytest.raises(CellError) as failed, running("deep"):
        pass
    said = str(failed.value)
    assert "exited with status 3 before it answered" in said
    assert '"transport": "ipc"' in said
    assert '"ip": "/tmp/nsmagic-' in said
    assert not list((root / "tmp").iterdir())


@pytest.mark.parametrize("name", ["py-boxed", "nsmagic"])
def test_nbclient(name: str) -> None:
    cells = ["import os\nos.getpid()", "%%bash\necho hello", "raise OSError('on purpose')"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    client = NotebookClient(notebook, kernel_name=name, timeout=60)
    with pytest.raises(CellExecutionError, match="on purpose"):
        client.execute()
    first, second, _ = notebook.cells
    assert (first.outputs[0]["data"]["text/plain"] == "2") == (name == "py-boxed")
    assert second.outputs[0]["text"] == "hello\n"


def test_the_lab_kernel_has_the_magics_and_links() -> None:
    with running("nsmagic") as lab:
        assert (
            lab.run("%%unshare --pid --mount-proc\nimport os\nprint(os.getpid())").stdout == "1\n"
        )
        assert lab.client is not None
        reply = lab.client.kernel_info(reply=True, timeout=20)
        links = {link["text"]: link["url"] for link in reply["content"]["help_links"]}
        assert links["namespaces(7)"].startswith("https://")
        assert "pandas Reference" not in links


def test_the_lab_kernel_can_be_boxed() -> None:
    box("lab-boxed", base="nsmagic")
    with running("lab-boxed") as lab:
        assert lab.run("%unshare --uts hostname").status == "ok"
        assert lab.run("import os; os.getpid()").text == "2"


def test_nbclient_shows_why_a_kernel_died() -> None:
    code = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    with pytest.raises(CellExecutionError, match="the kernel py-boxed was killed by SIGKILL"):
        NotebookClient(notebook, kernel_name="py-boxed", timeout=60).execute()
    (error,) = notebook.cells[0].outputs
    assert (error.output_type, error.ename) == ("error", "KernelDied")


def test_as_an_ordinary_user(user_alone: Account) -> None:
    program = """
import nbformat
from jupyter_client.manager import KernelManager
from nbclient.client import NotebookClient
from nsmagic.linux.copies import build_rootfs
from nsmagic.linux.rootfs import plan_rootfs
from nsmagic.wish.rootfs import RootfsWish
from nsmagic.notebook.boxing import Boxing
from nsmagic.notebook.kernelspecs import Place, isolate
done = isolate("python3", Boxing(name="mine", unshare="--pid --mount-proc --net"), Place(user=True))
print(done.notes[0])
cells = ["import os, socket", "os.getpid(), os.getuid(), socket.if_nameindex()"]
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
NotebookClient(notebook, kernel_name="mine", timeout=60).execute()
print(notebook.cells[1].outputs[0]["data"]["text/plain"])
"""
    done = user_alone.run([user_alone.python, "-c", program])
    assert done.stdout.splitlines() == [
        "added --user --map-root-user: this needs CAP_SYS_ADMIN, which you lack here",
        "(2, 0, [(1, 'lo')])",
    ], done.stderr


def ready(kernel: KernelDriver) -> None:
    assert kernel.client is not None
    kernel.client.wait_for_ready(timeout=30)


def sleeping(kernel: KernelDriver) -> CellRun:
    """Start a cell that goes on until it is stopped, and wait until it does."""
    run = kernel.start(f"print('on', flush=True)\n{UNTIL_STOPPED}")
    return kernel.wait(run, until=lambda run: "on" in run.stdout)


def kernel_of(kernel: KernelDriver) -> int:
    """The boxed kernel's PID, as seen from here."""
    (pid,) = [
        pid for pid, line in descendants(kernel.pid).items()
        if "ipykernel_launcher" in line and MODULE not in line
    ]  # fmt: skip
    return pid


def error_of(run: CellRun) -> str:
    error = run.error or {}
    return f"{error.get('ename')}: {error.get('evalue')}"
