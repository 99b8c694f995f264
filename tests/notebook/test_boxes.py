"""Boxes through real kernels, as root and as an ordinary user: what stays, and how they end."""

from __future__ import annotations

import ast
import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nsmagic.linux.facts import Facts
from nsmagic.linux.processes import read_processes
from tests.notebook.ending import World, fresh_name, message
from tests.support.kernel_driver import KernelDriver
from tests.support.process import on_this_machine
from tests.support.sandboxes import readonly_cgroup, sandboxes_work
from tests.support.skips import needs, root_only

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.linux

DAEMON = "(setsid bash -c 'exec -a {name} sleep 1000' > /dev/null 2>&1 &)"


@pytest.fixture(scope="module", params=["kernel", "user_kernel"])
def any_kernel(request: pytest.FixtureRequest) -> KernelDriver:
    driver: KernelDriver = request.getfixturevalue(request.param)
    return driver


@pytest.fixture
def notebook(any_kernel: KernelDriver) -> Iterator[KernelDriver]:
    yield any_kernel
    any_kernel.run("%box rm --all", raise_error=True)


def value(notebook: KernelDriver, code: str) -> Any:  # noqa: ANN401 - whatever it is
    run = notebook.run(code, raise_error=True)
    assert run.result is not None, run
    return ast.literal_eval(run.result["text/plain"])


def refused(notebook: KernelDriver, cell: str) -> str:
    """What a line that makes no sense is answered, without traceback."""
    run = notebook.run(cell)
    assert run.reply is not None
    assert run.reply["status"] == "error", run
    return run.stderr.strip().removeprefix("UsageError: ")


def init_of(notebook: KernelDriver, name: str) -> int:
    """The PID of a box's init, as Linux knows it."""
    run = notebook.run(f"from nsmagic.run.boxes import boxes\nboxes().find({name!r}).pid")
    run.raise_error()
    assert run.result is not None
    pid = int(run.result["text/plain"])
    end = time.monotonic() + 5  # it is ready before it has executed what it becomes
    while (name := Path(f"/proc/{pid}/comm").read_text()).startswith(("memfd:", "nsmagic-launch")):
        assert time.monotonic() < end
        os.sched_yield()
    assert name == "nsmagic-init\n"
    return pid


def called(name: str) -> list[int]:
    """The processes whose command line begins with a name."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and (entry / "cmdline").read_bytes().startswith(
                name.encode()
            ):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def wait_for(pidfd: int, seconds: float = 10) -> float:
    since = time.monotonic()
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(seconds * 1000), "it did not end"
    os.close(pidfd)
    return time.monotonic() - since


def test_a_hostname_set_in_one_cell_is_read_in_the_next(notebook: KernelDriver) -> None:
    notebook.run(
        "%%unshare --name web --uts --pid --mount-proc\n"
        "import os, subprocess\n"
        "subprocess.run(['hostname', 'inside'], check=True)",
        raise_error=True,
    )
    assert notebook.run("%nsenter -t web --uts hostname", raise_error=True).stdout == "inside\n"
    assert value(notebook, "%%nsenter -t web\nimport os\nos.uname().nodename") == "inside"
    pid = init_of(notebook, "web")
    words = ["nsenter", "-t", str(pid), "-U", "--preserve-credentials", "-u", "hostname"]
    if Facts(pid).ns()["user"] == Facts(os.getpid()).ns()["user"]:
        words.remove("-U")
    told = subprocess.run(words, capture_output=True, text=True, check=True)
    assert told.stdout == "inside\n"
    assert os.uname().nodename != "inside"


@pytest.mark.parametrize("body", ["", " true"], ids=["python", "program"])
def test_a_box_that_is_removed_while_a_cell_starts(notebook: KernelDriver, body: str) -> None:
    notebook.run("%unshare --name web --pid --mount-proc", raise_error=True)
    notebook.run(
        "from nsmagic.run.boxes import boxes\n"
        "from nsmagic.run.tree import Tree\n"
        "begin = Tree.begin\n"
        "def remove_it_first(tree):\n"
        "    Tree.begin = begin\n"
        "    boxes().remove('web')\n"
        "    tree.begin()\n"
        "Tree.begin = remove_it_first",
        raise_error=True,
    )
    run = notebook.run(f"%%nsenter -t web{body}\n1")
    what = "true" if body else "the cell"
    assert f"the box 'web' ended while {what} was starting in it" in message(run)
    assert notebook.run("%box").status == "ok"


def test_entering_one_or_making_one_asks_nothing_of_the_others(notebook: KernelDriver) -> None:
    """Else each cell would take the longer the more boxes there are."""
    for name in ("a", "b", "c"):
        notebook.run(f"%unshare --name {name} --uts", raise_error=True)
    notebook.run(
        "from nsmagic.run.boxes import Box\nasked, alive = set(), Box.alive.fget\n"
        "Box.alive = property(lambda box: asked.add(box.name) or alive(box))"
    )
    notebook.run("%nsenter -t b true\n%unshare --name d --uts true", raise_error=True)
    assert value(notebook, "sorted(asked)") == ["b", "d"]
    notebook.run("Box.alive = property(alive)", raise_error=True)


def test_cells_are_processes_of_the_box(notebook: KernelDriver) -> None:
    notebook.run("import os\n%unshare --name web --pid --mount-proc", raise_error=True)
    first, second = (
        value(notebook, "%%nsenter -t web\nos.getpid(), os.getppid(), os.getcwd()")
        for _ in range(2)
    )
    assert 1 < first[0] < second[0]
    assert first[1] == 0, "its parent is outside"
    assert first[2] == value(notebook, "os.getcwd()")
    listed = notebook.run("%nsenter -t web ps -e -o pid=,args=", raise_error=True).stdout
    assert listed.splitlines()[0].split() == ["1", "nsmagic-init"]


def test_the_init_reaps_what_is_orphaned(notebook: KernelDriver) -> None:
    notebook.run("%unshare --name web --pid --mount-proc", raise_error=True)
    body = "for i in 1 2 3; do (setsid sh -c 'exit 3' &); done\n"
    notebook.run(f"%%nsenter -t web bash\n{body}", raise_error=True)
    loop = "while ps -e -o stat= | grep -q Z; do :; done; ps -e -o comm="
    left = notebook.run(f"%%nsenter -t web bash\n{loop}", raise_error=True).stdout.split()
    assert left == ["nsmagic-init", "bash", "ps"]


def test_a_mount_is_seen_in_it_and_nowhere_outside(notebook: KernelDriver, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.geteuid() and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    notebook.run(
        f"%%unshare --name web --mount --pid bash\nmount -t tmpfs mine {tmp_path}",
        raise_error=True,
    )
    pid = init_of(notebook, "web")
    (seen,) = [each for each in Facts(pid).mountinfo() if each.target == str(tmp_path)]
    assert (seen.kind, seen.source) == ("tmpfs", "mine")
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert str(tmp_path) not in Path(f"/proc/{notebook.pid}/mountinfo").read_text()
    run = notebook.run(f"%%nsenter -t web\nopen('{tmp_path}/file', 'w').write('x')")
    run.raise_error()
    assert notebook.run(f"%nsenter -t web ls {tmp_path}").stdout == "file\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", ["--pid --mount-proc", "--uts"])
def test_what_a_cell_leaves_running_stays_and_ends_with_the_box(
    options: str, notebook: KernelDriver
) -> None:
    name = fresh_name()
    notebook.run(
        f"%%unshare --name web {options} bash\n{DAEMON.format(name=name)}\n"
        f"until pgrep -f '^{name} '; do :; done > /dev/null",
        raise_error=True,
    )
    has_group = notebook.run("boxes().find('web').group is None").result
    if options == "--uts" and has_group == {"text/plain": "True"}:
        assert called(name) == [], "where neither a PID namespace nor a cgroup holds it"
        return
    (pid,) = called(name)
    notebook.run("%nsenter -t web true", raise_error=True)
    assert called(name) == [pid]
    since = time.monotonic()
    notebook.run("%box rm web", raise_error=True)
    assert time.monotonic() - since < on_this_machine(1)
    assert called(name) == []


def test_a_stopped_cell_goes_whole_and_the_box_stays(notebook: KernelDriver) -> None:
    kept, stopped = fresh_name(), fresh_name()
    notebook.run(
        f"%%unshare --name web --pid --mount-proc bash\n{DAEMON.format(name=kept)}\n"
        f"until pgrep -f '^{kept} '; do :; done > /dev/null",
        raise_error=True,
    )
    run = notebook.run(
        "%%nsenter -t web --timeout 0.5 bash\n"
        f"trap '' INT TERM; (exec -a {stopped} sleep 1000) & (exec -a {stopped} sleep 1000) &\n"
        "while :; do wait; done"
    )
    assert "ran into its --timeout" in message(run)
    assert called(stopped) == []
    assert len(called(kept)) == 1
    assert notebook.run("%nsenter -t web echo here").stdout == "here\n"


def test_a_signal_from_outside_ends_it(notebook: KernelDriver) -> None:
    name = fresh_name()
    body = f"trap 'echo told; exit 5' TERM; (exec -a {name} sleep 1000) & wait"
    notebook.run(f"%%unshare --name web --pid --bg --proc job bash\n{body}", raise_error=True)
    while not called(name):
        pass
    pidfd = os.pidfd_open(init_of(notebook, "web"))
    signal.pidfd_send_signal(pidfd, signal.SIGHUP)
    signal.pidfd_send_signal(pidfd, signal.SIGTERM)
    wait_for(pidfd)
    assert called(name) == []
    run = notebook.run("job.wait()")
    assert "exited with status 5" in message(run)
    assert "told" in notebook.run("print(job.log.read_text())").stdout
    text = refused(notebook, "%nsenter -t web true")
    assert text == "the box 'web' has ended: its init got SIGTERM\nRun the cell that made it again."
    notebook.run("%unshare --name web --pid true", raise_error=True)


ENDS_MEANWHILE = """
import os, signal
from nsmagic.run import boxes as module
def end_and_read(enter, names, read=module.read_target):
    (pid,) = names
    os.kill(pid, signal.SIGKILL)
    while os.path.exists(f"/proc/{pid}/ns/uts"):
        pass
    module.read_target = read
    return read(enter, names)
module.read_target = end_and_read
"""


def test_what_became_of_it_is_told_also_if_it_ends_while_we_look(notebook: KernelDriver) -> None:
    notebook.run("%unshare --name web --uts true", raise_error=True)
    notebook.run(ENDS_MEANWHILE, raise_error=True)
    text = refused(notebook, "%nsenter -t web true")
    assert text.startswith("the box 'web' has ended: its init was killed by SIGKILL")


@pytest.mark.parametrize("options", ["--pid", "--uts"])
def test_the_end_of_its_init_is_the_end_of_all(options: str, notebook: KernelDriver) -> None:
    name = fresh_name()
    body = f"(exec -a {name} sleep 1000)"
    notebook.run(f"%%unshare --name web {options} --bg --proc job bash\n{body}", raise_error=True)
    while not (pids := called(name)):
        pass
    pidfd = os.pidfd_open(pids[0])
    os.kill(init_of(notebook, "web"), signal.SIGKILL)
    assert "was killed by SIGKILL" in message(notebook.run("job.wait()"))
    wait_for(pidfd)  # a job waits for its own process, and they die in any order
    assert called(name) == []
    assert "killed by SIGKILL" in refused(notebook, "%nsenter -t web true")


def test_a_hundred_processes_are_gone_in_a_second(notebook: KernelDriver) -> None:
    name = fresh_name()
    body = f"for i in {{1..100}}; do {DAEMON.format(name=name)}; done\n"
    wait = f"until [ $(pgrep -c -f '^{name} ') = 100 ]; do :; done"
    notebook.run(f"%%unshare --name web --pid --net --mount-proc bash\n{body}{wait}",
                 raise_error=True)  # fmt: skip
    assert len(called(name)) == 100
    since = time.monotonic()
    notebook.run("%box rm web", raise_error=True)
    assert time.monotonic() - since < on_this_machine(1)
    assert called(name) == []


def test_a_failed_step_leaves_nothing_and_a_failed_body_the_box(notebook: KernelDriver) -> None:
    world = World()
    run = notebook.run("%%unshare --name web --pid --mount --root /nonexistent\n1")
    assert "/nonexistent does not exist here" in message(run)
    assert world.news() == {}
    assert "none: %unshare" in str(notebook.run("%box").result)
    assert "ZeroDivisionError" in message(notebook.run("%%unshare --name web --pid\n1 / 0"))
    assert value(notebook, "%%nsenter -t web\nimport os\nos.getpid() > 1") is True


NAMES = {
    "''": "is not a letter and then up to 63",
    "..": "is not a letter",
    "a/b": "is not a letter",
    "'a\nb'": "is not a letter",
    "x" * 300: "is not a letter",
    "1234": "is not a letter",
    "-": "is not a letter",
    "self": "is the word for",
    "host": "is the word for",
    "'a b'": "is not a letter",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_that_no_box_can_have(name: str, kernel: KernelDriver) -> None:
    world = World()
    code = f"get_ipython().run_line_magic('unshare', {f'--name {name} --uts true'!r})"
    assert NAMES[name] in refused(kernel, code)
    assert world.news() == {}


def test_a_name_that_is_taken(notebook: KernelDriver) -> None:
    first = "%unshare --name web --uts hostname first"
    notebook.run(first, raise_error=True)
    pid = init_of(notebook, "web")
    text = refused(notebook, "%%unshare --name web --uts\n1")
    assert text.splitlines() == [
        f"there is a box 'web' already (PID {pid}, made by {first})",
        "%%unshare --replace --name web --uts   removes it first; so does %box rm web",
    ]
    assert notebook.run("%nsenter -t web hostname").stdout == "first\n"
    typed = text.splitlines()[1].partition("   ")[0]
    for _ in range(2):  # re-running the cell works
        assert notebook.run(f"{typed} hostname", raise_error=True).stdout != "first\n"
    assert init_of(notebook, "web") != pid
    end = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists():  # until the spawner has reaped it
        assert time.monotonic() < end


def test_two_kernels_do_not_meet(notebook: KernelDriver, fresh_kernel: KernelDriver) -> None:
    for number, kernel in enumerate((notebook, fresh_kernel)):
        kernel.run(f"%unshare --name web --uts hostname k{number}", raise_error=True)
    assert notebook.run("%nsenter -t web hostname").stdout == "k0\n"
    fresh_kernel.run("%box rm web", raise_error=True)
    assert notebook.run("%nsenter -t web hostname").stdout == "k0\n"


def start(way: str) -> KernelDriver:
    return KernelDriver(prefix=readonly_cgroup([]) if way == "no cgroup" else ())


@needs(sandboxes_work)
@pytest.mark.parametrize(
    ("death", "way"),
    [("kill", "cgroup"), ("kill", "no cgroup"), ("term", "cgroup"), ("both killed", "cgroup"),
     ("unload", "cgroup"), ("unload", "no cgroup")],
)  # fmt: skip
def test_boxes_end_with_their_kernel(death: str, way: str) -> None:
    world, name = World(), fresh_name()
    with start(way) as kernel:
        for number, options in enumerate(("--pid --net", "--uts")):
            kernel.run(
                f"%%unshare --name box{number} {options} bash\n{DAEMON.format(name=name)}",
                raise_error=True,
            )
        processes = world.pids()
        since = time.monotonic()
        if death == "unload":
            kernel.run("%unload_ext nsmagic", raise_error=True)
            assert called(name) == []
            kernel.run("%load_ext nsmagic", raise_error=True)
        elif death == "both killed":
            inits = {p.ppid for p in read_processes().values() if is_init(p.pid, processes)}
            for pid in (*inits, kernel.pid):
                os.kill(pid, signal.SIGKILL)
        else:
            os.kill(kernel.pid, signal.SIGKILL if death == "kill" else signal.SIGTERM)
        if death in {"kill", "term"}:
            world.wait_for_end(processes, since)
    if death == "both killed":
        with KernelDriver():  # whose spawner sweeps, and ends what was in a cgroup alone
            world.wait_for_end(processes, since)
            while news := world.news().get("cgroups"):
                assert time.monotonic() < since + 20, news
    assert called(name) == []


def is_init(pid: int, among: list[int]) -> bool:
    try:
        return pid in among and Path(f"/proc/{pid}/comm").read_text() == "nsmagic-init\n"
    except OSError:
        return False


def test_output_goes_on_into_the_log(notebook: KernelDriver) -> None:
    notebook.run("import os, tempfile\nos.chdir(tempfile.mkdtemp())", raise_error=True)
    notebook.run("os.mkfifo('go')\n%unshare --name web --pid", raise_error=True)
    made = notebook.run(f"%%nsenter -t web bash\n{LATER}", raise_error=True)
    assert made.stdout == "early\n"
    assert sorted(log_of_web(notebook).splitlines()) == ["later", "oops"]
    run = notebook.start("%box logs web -f")
    notebook.wait(run, until=lambda run: "oops" in run.stdout)
    notebook.interrupt()
    assert notebook.wait(run).error is None


def test_where_the_working_directory_was_removed(notebook: KernelDriver) -> None:
    here = value(notebook, "__import__('os').getcwd()")
    notebook.run("import os, tempfile\nos.chdir(d := tempfile.mkdtemp())\nos.rmdir(d)")
    try:
        assert notebook.run("%%unshare --name web --uts\n1", raise_error=True).text == "1"
        notebook.run("%nsenter -t web true", raise_error=True)
    finally:
        notebook.run(f"os.chdir({here!r})", raise_error=True)


def test_the_log_begins_anew_where_somebody_removed_it(notebook: KernelDriver) -> None:
    notebook.run("import os, tempfile\nos.chdir(tempfile.mkdtemp())", raise_error=True)
    notebook.run("os.mkfifo('go')\n%unshare --name web --pid", raise_error=True)
    for _ in range(2):
        notebook.run(f"%%nsenter -t web bash\n{LATER}", raise_error=True)
        assert sorted(log_of_web(notebook).splitlines()) == ["later", "oops"]
        notebook.run("__import__('nsmagic').Box.find('web').log.unlink()", raise_error=True)


def test_a_character_that_two_reads_part(notebook: KernelDriver) -> None:
    notebook.run("import os, tempfile\nos.chdir(tempfile.mkdtemp())", raise_error=True)
    notebook.run("os.mkfifo('go')\n%unshare --name web --pid", raise_error=True)
    notebook.run(f"%%nsenter -t web bash\n{LATER}", raise_error=True)
    log_of_web(notebook)
    write = "__import__('nsmagic').Box.find('web').log.write_text('x' * (2**16 - 1) + 'é', 'utf-8')"
    notebook.run(write, raise_error=True)
    assert notebook.run("%box logs web", raise_error=True).stdout.lstrip("x") == "é"


# The cell is over when it is told to go on.
LATER = "echo early\n(read < go; echo later; echo oops >&2; exec sleep 1000) &"


def log_of_web(notebook: KernelDriver) -> str:
    """Tell what LATER left to go on, and return the log once it has."""
    notebook.run("open('go', 'w').write('\\n')", raise_error=True)
    end = time.monotonic() + 10
    while "oops" not in (shown := notebook.run("%box logs web", raise_error=True).stdout):
        assert time.monotonic() < end
    return shown


def test_box_show_tells_what_linux_tells(notebook: KernelDriver) -> None:
    notebook.run("%unshare --name web --user -r --pid --net --mount-proc", raise_error=True)
    run = notebook.run("%box show web", raise_error=True)
    assert run.result is not None
    text, pid = run.result["text/plain"], init_of(notebook, "web")
    links = Facts(pid).ns()
    assert re.search(rf"nsmagic-init +1 +{pid} ", text)
    for kind in ("pid", "net", "user", "mnt"):
        assert re.search(rf"{kind} .*○ {links[kind].ino}  no", text), kind
    (line,) = Facts(pid).uid_map()
    assert f"0 is {line.outer}" in text
    assert "lo: 0 B in, 0 B out" in text
    assert re.search(r"/proc +proc +proc +rw,nosuid", text)
    assert "<table>" in run.result["text/html"]
    listed = notebook.run("%box", raise_error=True).result
    assert listed is not None
    assert re.search(rf"web +{pid} +mnt net pid user +1 ", listed["text/plain"])


def test_other_magics_know_it_by_its_name(notebook: KernelDriver) -> None:
    notebook.run("%unshare --name web --uts", raise_error=True)
    pid = init_of(notebook, "web")
    run = notebook.run("%nsdiff web", raise_error=True)
    assert f"web ({pid})" in str(run.result)
    assert re.search(rf"uts .* {pid} +web", str(notebook.run("%lsns -t uts").result))
    left = notebook.run("%%unshare --name two --net --uts\n1\n", raise_error=True)
    assert left.result == {"text/plain": "1"}
    assert "created" in str(notebook.run("%nsdiff --last").result)


LINES = {
    "%box remove": "%box has no verb 'remove' (nearest: rm)",
    "%box rm": "%box rm: which box?",
    "%box rm --all web": "%box rm takes names or --all, not both",
    "%box show a b": "%box show is about one box",
    "%box show nix": "no box is called 'nix'",
    "%box --all": "--all goes with %box rm",
    "%box show web -f": "--follow goes with %box logs",
    "%box -x": "box has no option -x",
}


@pytest.mark.parametrize("line", LINES)
def test_lines_of_box_that_make_no_sense(line: str, kernel: KernelDriver) -> None:
    assert LINES[line] in refused(kernel, line)


def test_a_box_with_a_root_of_its_own(notebook: KernelDriver) -> None:
    notebook.run("import os, tempfile\nos.chdir(tempfile.mkdtemp())", raise_error=True)
    notebook.run("%rootfs appdir bash ls", raise_error=True)
    inside = "import os\nos.getcwd(), sorted(os.listdir('/')), os.getpid() > 1"
    seen = value(notebook, f"%%unshare --name jail --pid --mount --root appdir\n{inside}")
    assert seen[0] == "/"
    assert "lib" in seen[1]
    assert "etc" not in seen[1]
    assert value(notebook, f"%%nsenter -t jail\n{inside}") == seen
    ran = notebook.run("%%nsenter -t jail bash\npwd\necho /*", raise_error=True)
    assert ran.stdout.splitlines() == ["/", " ".join(f"/{name}" for name in seen[1])]
    text = message(notebook.run("%%nsenter -t jail\nimport wave"))
    assert "It was not imported before the change of root" in text
    text = message(notebook.run("%nsenter -t jail /bin/cat"))
    assert "/bin/cat" in text
    assert "ENOENT" in text
    notebook.run("import shutil\nshutil.rmtree(os.getcwd()); os.chdir('/')", raise_error=True)


def test_ids_are_the_cells_and_not_the_boxs(notebook: KernelDriver) -> None:
    own = value(notebook, "import os\nos.getuid()")
    line = "--name web --pid --user -r" if own else "--name web --pid --setuid 7 --setgid 8"
    first = value(notebook, f"%%unshare {line}\nimport os\nos.getuid(), os.getgid()")
    assert first == ((0, 0) if own else (7, 8))
    later = notebook.run("%%nsenter -t web bash\nid -u; id -g", raise_error=True).stdout.split()
    assert later == ["0", "0"]


def test_new_namespaces_inside_of_a_box(notebook: KernelDriver) -> None:
    notebook.run("%unshare --name web --uts --net --user -r hostname box", raise_error=True)
    body = (
        "import os\nos.system('hostname cell')\nos.uname().nodename, os.listdir('/sys/class/net')"
    )
    seen = value(notebook, f"%%nsenter -t web\n%%unshare --uts --mount\n{body}")
    assert seen[0] == "cell"
    assert notebook.run("%nsenter -t web hostname").stdout == "box\n"


def test_explain_shows_the_making_and_the_entering(notebook: KernelDriver) -> None:
    run = notebook.run("%%unshare --name web --net --dry-run\n1", raise_error=True)
    making, entering = (shown["text/plain"] for shown in run.displays)
    assert "sleep infinity   # all of it at once" in making
    assert "nsenter -t PID" in entering
    assert "none: %unshare" in str(notebook.run("%box").result)
    run = notebook.run("%%unshare --name web --net --explain\n1", raise_error=True)
    pid = init_of(notebook, "web")
    assert any(f"nsenter -t {pid}" in shown["text/plain"] for shown in run.displays)


@root_only
def test_limits_are_those_of_the_box(kernel: KernelDriver) -> None:
    kernel.run("%%cgroup pids=30\n%%unshare --name web --pid\n1", raise_error=True)
    body = "import subprocess\nfor count in range(40): subprocess.Popen(['sleep', '1000'])"
    assert "BlockingIOError" in message(kernel.run(f"%%nsenter -t web\n{body}"))
    assert "has no limits of its own: web" in refused(
        kernel, "%%cgroup pids=5\n%%nsenter -t web\n1"
    )
    kernel.run("%box rm web", raise_error=True)


@needs(sandboxes_work)
def test_where_there_is_no_cgroup() -> None:
    kept, stopped = fresh_name(), fresh_name()
    with start("no cgroup") as kernel:
        kernel.run(
            f"%%unshare --name web --pid --mount-proc bash\n{DAEMON.format(name=kept)}\n"
            f"until pgrep -f '^{kept} '; do :; done > /dev/null",
            raise_error=True,
        )
        run = kernel.run(
            "%%nsenter -t web --timeout 0.5 bash\ntrap '' INT TERM\n"
            f"(exec -a {stopped} sleep 1000) & (exec -a {stopped} sleep 1000)"
        )
        assert "ran into its --timeout" in message(run)
        assert called(stopped) == []
        assert len(called(kept)) == 1
        kernel.run(f"%%unshare --name two --uts bash\n{DAEMON.format(name=stopped)}")
        assert called(stopped) == [], "nothing could hold it"
        assert kernel.run("%nsenter -t two echo here").stdout == "here\n"
        kernel.run("%box rm --all", raise_error=True)
        assert called(kept) == []


def test_removed_while_cells_run_in_it(notebook: KernelDriver) -> None:
    for _ in range(3):
        name = fresh_name()
        notebook.run("%unshare --name web --uts --pid", raise_error=True)
        cell = f"%%nsenter -t web --bg --proc job bash\n(exec -a {name} sleep 1000)"
        notebook.run(cell, raise_error=True)
        while not called(name):
            pass
        notebook.run("%box rm web", raise_error=True)
        text = message(notebook.run("job.wait()"))
        assert "was killed by SIGKILL" in text


def test_its_spawner_is_killed(fresh_kernel: KernelDriver) -> None:
    fresh_kernel.run("%unshare --name web --uts --pid", raise_error=True)
    code = "from nsmagic.run.spawning import spawner\nprocess = spawner().process\nprocess.kill()"
    pidfd = os.pidfd_open(init_of(fresh_kernel, "web"))
    fresh_kernel.run(f"{code}\nprocess.wait()", raise_error=True)
    wait_for(pidfd)
    assert "its init ended with the spawner" in refused(fresh_kernel, "%nsenter -t web true")
    fresh_kernel.run("%unshare --name web --uts true", raise_error=True)
    assert fresh_kernel.run("%nsenter -t web echo again").stdout == "again\n"


IN_KERNEL = """
import os
from nsmagic.run.boxes import boxes
def now():
    group = boxes().find("plain").group
    groups = [] if group is None else [each.name for each in group.iterdir() if each.is_dir()]
    return groups, len(os.listdir("/proc/self/fd"))
"""


def test_a_refused_cell_leaves_no_group_in_the_box_and_no_descriptor(
    notebook: KernelDriver,
) -> None:
    notebook.run("%unshare --name plain --uts", raise_error=True)
    notebook.run(IN_KERNEL, raise_error=True)
    groups, descriptors = value(notebook, "now()")
    for line in ("%%nsenter -t plain --plot", "%%nsenter -t plain --plot --bg --tty"):
        assert "has no cgroup of its own to draw" in refused(notebook, f"{line}\n1")
    left, more = value(notebook, "now()")
    assert left == groups
    assert more < descriptors + 5  # a few of ipykernel's own come and go; a try left five
