"""`%%cgroup` in a real kernel, on hybrid v1 here and on pure v2 in the guest, as root and user."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nsmagic.linux.cgroups.kmsg import numbers_as_we
from tests.support.groups import groups_with_limits
from tests.support.skips import needs, probe, root_only

if TYPE_CHECKING:
    from tests.support.kernel_driver import CellRun, KernelDriver

pytestmark = [pytest.mark.linux, needs(groups_with_limits)]

EAT = "blob = bytearray(100 * 2**20)"
# Where this process is, and the memory limit of that group, whichever version it has.
LIMIT = """
from nsmagic.linux.cgroups.hierarchies import read_hierarchies
own = read_hierarchies().where("memory").own
files = [own / "memory.max", own / "memory.limit_in_bytes"]
print(own.name, *[file.read_text().strip() for file in files if file.exists()])
"""


@probe
def v1_beside_v2() -> str | None:
    """Is this a hybrid machine, whose cgroup v2 can be hidden?"""
    from nsmagic.linux.cgroups.hierarchies import read_hierarchies

    return None if read_hierarchies().verdict == "hybrid" else "no cgroup v1 here"


def notes(run: CellRun) -> str:
    return "\n".join(display["text/plain"] for display in run.displays)


def failure(run: CellRun) -> str:
    assert run.status == "error"
    return "\n".join((run.error or {})["traceback"]) if run.error else run.stderr


def groups_of(pid: int) -> list[str]:
    """Directories of this kernel's groups in every hierarchy."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] in {"cgroup", "cgroup2"}:
            found += [str(path) for path in Path(left.split()[4]).rglob(f"nsmagic-{pid}-*")]
    return found


@pytest.mark.parametrize(
    "head",
    ["%%cgroup mem=64M", f"%%cgroup memory.max=64M {sys.executable}",
     "%%cgroup memory.limit_in_bytes=64M\n%%unshare --pid --mount-proc"],
    ids=["python", "program", "stacked"],
)  # fmt: skip
def test_a_cell_that_wants_too_much_is_killed_and_says_so(kernel: KernelDriver, head: str) -> None:
    run = kernel.run(f"{head}\nprint('so far', flush=True)\n{EAT}")
    assert run.stdout == "so far\n"
    told = failure(run)
    assert "was killed by its memory limit of 64 MiB" in told
    peak = re.search(r"at its peak it used (\d+(?:\.\d+)?) MiB", told)
    assert peak is None or 60 < float(peak[1]) <= 64
    assert "oom_kill 0 -> 1" in told
    assert "mem=128M" in told
    if os.geteuid() == 0:
        assert re.search(r"Killed: python\S* \(PID \d+\), resident with \d", told)
        assert "Memory cgroup out of memory: Killed process" in told
    assert kernel.run("6 * 7").result == {"text/plain": "42"}
    assert groups_of(kernel.pid) == []


def test_a_small_limit_is_enough_for_a_forked_body(kernel: KernelDriver) -> None:
    kernel.run("ballast = bytearray(b'x' * (80 << 20))")
    run = kernel.run(f"%cgroup mem=16M\n{LIMIT}sum(ballast[::4096])")
    kernel.run("del ballast")
    assert run.stdout.split()[1] == str(16 << 20)
    assert run.stdout.startswith(f"nsmagic-{kernel.pid}-cell-")
    assert run.result == {"text/plain": str(ord("x") * (80 << 20) // 4096)}


def test_what_the_body_touches_is_charged_to_its_group(kernel: KernelDriver) -> None:
    body = f"mine = bytearray(b'x' * (20 << 20)){LIMIT}"
    body += "used = [own / 'memory.current', own / 'memory.usage_in_bytes']\n"
    body += "print(*[int(file.read_text()) > 20 << 20 for file in used if file.exists()])"
    run = kernel.run(f"%%cgroup mem=64M\n{body}", raise_error=True)
    assert run.stdout.split()[-1] == "True"


def test_a_child_that_is_killed_does_not_end_the_cell(kernel: KernelDriver) -> None:
    run = kernel.run(f"%%cgroup mem=64M bash\n{sys.executable} -c '{EAT}'\necho status $?")
    assert run.stdout == "status 137\n"
    assert run.status == "ok"
    assert "The cell went on, but its memory limit of 64 MiB (mem=64M) killed" in notes(run)


@root_only  # whom it was, only Linux's log tells
def test_who_is_killed_after_its_child_was_out_of_memory_is_not_out_of_memory(
    kernel: KernelDriver,
) -> None:
    if not numbers_as_we():
        pytest.skip("Linux's log numbers processes in another way than this PID namespace")
    run = kernel.run(f"%%cgroup mem=64M bash\n{sys.executable} -c '{EAT}'\nkill -9 $$")
    assert "bash was killed by SIGKILL" in failure(run)
    assert "its memory limit of 64 MiB (mem=64M) killed python" in notes(run)


def test_a_failure_that_may_pass_is_told_too(kernel: KernelDriver) -> None:
    run = kernel.run(f"%%cgroup mem=64M --no-raise-error {sys.executable}\n{EAT}")
    assert run.status == "ok"
    assert "was killed by its memory limit of 64 MiB" in notes(run)


def test_oomgroup_ends_the_whole_tree(kernel: KernelDriver) -> None:
    run = kernel.run(
        f"%%cgroup mem=64M oomgroup=1 bash\nsleep 60 &\n{sys.executable} -c '{EAT}'\necho not me"
    )
    assert run.stdout == ""
    assert "bash was killed by its memory limit of 64 MiB" in failure(run)


def test_a_fork_bomb_meets_the_pids_limit(kernel: KernelDriver) -> None:
    run = kernel.run(
        "%%cgroup pids=20\nimport os, time\nforked = 0\n"
        "try:\n    while True:\n        if os.fork() == 0:\n            time.sleep(60)\n"
        "        forked += 1\nexcept BlockingIOError as refused:\n    print(forked, refused)"
    )
    assert run.stdout == "19 [Errno 11] Resource temporarily unavailable\n"
    assert "The limit pids=20 was hit" in notes(run)
    assert "EAGAIN" in notes(run)


def test_one_process_fits_into_pids_1(kernel: KernelDriver) -> None:
    run = kernel.run("%%cgroup pids=1\nimport os\nprint(1)\nos.fork()")
    assert run.stdout == "1\n"
    assert (run.error or {})["ename"] == "BlockingIOError"


def test_memory_error_is_not_the_limits_doing(kernel: KernelDriver) -> None:
    run = kernel.run("%%cgroup mem=64M\nbytearray(1 << 60)")
    assert (run.error or {})["ename"] == "MemoryError"
    assert "MemoryError is Python's own" in notes(run)
    assert "The cgroup killed nothing" in notes(run)


def test_a_timeout_is_a_timeout_and_a_signal_a_signal(kernel: KernelDriver) -> None:
    run = kernel.run("%%cgroup mem=64M --timeout 0.3\nwhile True: pass")
    assert "ran into its --timeout" in failure(run)
    run = kernel.run("%%cgroup mem=64M\nimport os; os.kill(os.getpid(), 9)")
    assert "memory" not in failure(run)
    assert "the cell was killed by SIGKILL" in failure(run)


@pytest.mark.parametrize(
    "lines",
    [("%%cgroup pids=50", "%%unshare --cgroup --pid --mount-proc", "%%cgroup mem=64M"),
     ("%%unshare --pid --mount-proc", "", "%%cgroup mem=64M pids=50", "%%unshare --cgroup")],
    ids=["first", "last"],
)  # fmt: skip
def test_lines_stack_in_any_order(kernel: KernelDriver, lines: tuple[str, ...]) -> None:
    if os.geteuid() != 0:
        lines = tuple(line.replace("unshare", "unshare -Ur") for line in lines)
    body = "import os\nprint(os.getpid(), *open('/proc/self/cgroup'))"
    run = kernel.run("\n".join((*lines, body)), raise_error=True)
    pid, *groups = run.stdout.split()
    assert pid == "1"
    assert all(line.endswith(":/") for line in groups), "the root of the new cgroup namespace"


def test_limits_that_hold_for_later_cells(kernel: KernelDriver) -> None:
    held = kernel.run("%cgroup mem=64M pids=30")
    assert notes(held) == "isolated cells get mem=64M pids=30 from now on, until %cgroup off"
    assert f" {64 << 20}" in kernel.run(f"%%unshare -Ur\n{LIMIT}").stdout
    assert f" {32 << 20}" in kernel.run(f"%%cgroup mem=32M\n{LIMIT}").stdout, "its own key wins"
    assert "nsmagic-" not in kernel.run(LIMIT).stdout, "a plain cell is left alone"
    assert "mem=64M pids=30" in notes(kernel.run("%cgroup"))
    names = [kernel.run(f"%%unshare -Ur\n{LIMIT}").stdout.split()[0] for _ in range(2)]
    assert names[0] != names[1], "a fresh group for each"
    assert "holds no longer" in notes(kernel.run("%cgroup off"))
    assert "nsmagic-" not in kernel.run(f"%%unshare -Ur --pid\n{LIMIT}").stdout


def test_refused_limits_are_not_held(kernel: KernelDriver) -> None:
    assert "--bg" not in failure(kernel.run("%cgroup memm=64M"))
    assert "other options are of one cell" in failure(kernel.run("%cgroup mem=64M --bg"))
    assert "no limits were held" in notes(kernel.run("%cgroup off"))


def test_explain_and_dry_run(kernel: KernelDriver) -> None:
    run = kernel.run("%%cgroup mem=64M pids=20 --dry-run\nprint('no')")
    assert run.stdout == ""
    table = notes(run)
    for word in ("mkdir", "67108864", "pids.max"):
        assert word in table
    assert groups_of(kernel.pid) == []
    run = kernel.run("%%cgroup mem=64M --explain\nprint('yes')")
    assert run.stdout == "yes\n"
    assert "ok" in run.updates[-1]["data"]["text/plain"]


class TestVerbs:
    """With a cell in the background that keeps a CPU busy."""

    @pytest.fixture
    def busy(self, kernel: KernelDriver) -> str:
        kernel.run("%%cgroup mem=64M pids=10 --bg --proc job\nwhile True: pass", raise_error=True)
        return kernel.run("print(job.name)").stdout.strip()

    @pytest.fixture(autouse=True)
    def ended(self, kernel: KernelDriver, busy: str) -> object:
        yield
        kernel.run("job.kill()")
        assert busy not in notes(kernel.run("%cgroup"))

    def used(self, kernel: KernelDriver, name: str, seconds: float = 0.15) -> float:
        """CPU seconds that the group uses while the kernel waits."""
        run = kernel.run(
            "import time\nfrom nsmagic.run.groups import groups\n"
            f"group = groups().live[{name!r}].group\n"
            "a = group.sample()['cpu.usage']\n"
            f"time.sleep({seconds})\nprint(group.sample()['cpu.usage'] - a)",
            raise_error=True,
        )
        return float(run.stdout)

    def test_freeze_and_thaw(self, kernel: KernelDriver, busy: str) -> None:
        assert self.used(kernel, busy, 0.5) > 0
        assert re.search(f"froze {busy}, [12] process", notes(kernel.run(f"%cgroup freeze {busy}")))
        assert self.used(kernel, busy) == 0
        assert "frozen" in (kernel.run("%cgroup").result or {})["text/plain"]
        kernel.run(f"%cgroup thaw {busy}", raise_error=True)
        assert self.used(kernel, busy, 0.5) > 0

    def test_set_and_show(self, kernel: KernelDriver, busy: str) -> None:
        table = (kernel.run("%cgroup").result or {})["text/plain"]
        assert re.search(r"of\s.*64 MiB", table, re.DOTALL)
        assert re.search("[12] of 10", table), "one more while it is set up"
        run = kernel.run(f"%cgroup set {busy} mem=128M cpu=50%")
        assert "128M" in (run.result or {})["text/plain"]
        shown = kernel.run(f"%cgroup show {busy}").result or {}
        for text in ("memory.max=134217728", "memory.limit_in_bytes=134217728", "cpu.max=50000"):
            assert text in re.sub(r"<[^>]*>", "", shown["text/html"])
        some = kernel.run(f"%cgroup show {busy} memory.max pids.current", raise_error=True)
        rows = (some.result or {})["text/html"].count("<tr") - 1
        assert rows == 2, some.result
        said = failure(kernel.run(f"%cgroup show {busy} memm"))
        assert "no limit or reading 'memm' (nearest: mem" in said
        late = kernel.run(f"%cgroup set {busy} oomgroup=1")
        assert late.status == "ok" or "comes too late: on cgroup v1" in failure(late)
        assert "holds 1 process" in failure(kernel.run(f"%cgroup rm {busy}"))

    def test_kill(self, kernel: KernelDriver, busy: str) -> None:
        # Its setter-up may be about to go.
        assert re.search(
            f"killed [12] process.* of {busy}", notes(kernel.run(f"%cgroup kill {busy}"))
        )
        assert "was killed by SIGKILL" in failure(kernel.run("job.wait()"))

    def test_names_are_looked_up(self, kernel: KernelDriver, busy: str) -> None:
        for name in ("../../x", "/", "a\\nb", "cell-99"):
            run = kernel.run(f"get_ipython().run_line_magic('cgroup', 'kill \"{name}\"')")
            assert "has a group called" in failure(run)
            assert f"There is: {busy}." in failure(run)


def test_controllers_and_tree(kernel: KernelDriver) -> None:
    table = (kernel.run("%cgroup controllers").result or {})["text/plain"]
    for controller in ("memory", "cpu", "pids"):
        assert re.search(rf"^{controller} .* yes", table, re.MULTILINE)
    assert "this notebook" in (kernel.run("%cgroup tree").result or {})["text/plain"]


def test_groups_that_the_cell_made_go_too(kernel: KernelDriver) -> None:
    body = LIMIT + "(own / 'inner').mkdir()\n(own / 'inner' / 'most').mkdir()\nprint(own)"
    run = kernel.run(f"%%cgroup mem=64M\n{body}", raise_error=True)
    assert not Path(run.stdout.splitlines()[-1]).exists()


def test_groups_of_a_killed_kernel_go(fresh_kernel: KernelDriver) -> None:
    fresh_kernel.run("%%cgroup mem=64M pids=9 --bg\nwhile True: pass", raise_error=True)
    assert groups_of(fresh_kernel.pid)
    spawner = int(fresh_kernel.run(
        "from nsmagic.run.spawning import spawner; print(spawner().process.pid)"
    ).stdout)  # fmt: skip
    gone, pid = os.pidfd_open(spawner), fresh_kernel.pid
    os.kill(pid, signal.SIGKILL)
    assert select.select([gone], [], [], 10)[0], "the spawner ends with its kernel"
    os.close(gone)
    assert groups_of(pid) == []


@root_only
def test_who_may_make_no_group_is_told_so(user_kernel: KernelDriver) -> None:
    run = user_kernel.run("%%cgroup mem=64M pids=9\nprint('not reached')")
    told = failure(run)
    assert run.stdout == ""
    assert "mem" in told
    assert "may not be written by uid" in told or "no cgroup" in told
    assert "jupyter lab" in told, "how to start a notebook that may"
    assert "isolated cells get" not in notes(user_kernel.run("%cgroup mem=64M"))
    table = (user_kernel.run("%cgroup controllers").result or {})["text/plain"]
    assert re.search(r"^memory .* no: ", table, re.MULTILINE)
    assert user_kernel.run("%%unshare -Ur\nprint('works')").stdout == "works\n"


@root_only
@needs(v1_beside_v2)
def test_version_1_alone() -> None:
    from tests.support.kernel_driver import KernelDriver

    hide = 'umount $(findmnt -nt cgroup2 -o TARGET) && exec "$0" "$@"'
    with KernelDriver(prefix=["unshare", "-m", "sh", "-c", hide]) as kernel:
        run = kernel.run(
            f"%%cgroup mem=64M oomgroup=1 bash\nsleep 60 &\n{sys.executable} -c '{EAT}'"
        )
        assert "bash was killed by its memory limit of 64 MiB" in failure(run)
        run = kernel.run("%%cgroup mem=64M bash\nsetsid sleep 60 & (sleep 60 &)")
        assert "ended 2 processes" in notes(run), "by the freezer of version 1"
        kernel.run("%%cgroup pids=9 --bg\nwhile True: pass", raise_error=True)
        assert "froze cell-3" in notes(kernel.run("%cgroup freeze cell-3"))
        assert "killed" in notes(kernel.run("%cgroup kill cell-3"))
        kernel.run("%%cgroup pids=9 --bg --proc job\nwhile True: pass", raise_error=True)
        kernel.run("%cgroup freeze cell-4", raise_error=True)
        kernel.run("job.kill()", raise_error=True)  # a frozen process dies only when it thaws
        assert groups_of(kernel.pid) == []


def test_a_box_whose_group_was_removed(fresh_kernel: KernelDriver) -> None:
    kernel = fresh_kernel
    kernel.run("%%cgroup pids=99 --name web\n1", raise_error=True)
    kernel.run("%unshare --name other --uts", raise_error=True)
    kernel.run("%cgroup kill web", raise_error=True)
    kernel.run("%cgroup rm web", raise_error=True)
    assert "the box 'web' has ended" in kernel.run("%nsenter -t web true").stderr
    kernel.run("%box rm --all", raise_error=True)
    assert groups_of(kernel.pid) == []


def test_a_frozen_box_is_not_entered(fresh_kernel: KernelDriver) -> None:
    kernel = fresh_kernel
    kernel.run("%%cgroup pids=99 --name web\n1", raise_error=True)
    kernel.run("%cgroup freeze web", raise_error=True)
    lines = ("%nsenter -t web true", "%sxs host,web -- true", "%box term web")
    for cell in ("%%nsenter -t web\n1", *lines):
        assert "%cgroup thaw web" in kernel.run(cell).stderr
    inside = "[each.name for each in __import__('nsmagic').Box.find('web').group.glob('*/')]"
    assert kernel.run(inside).text == "[]"
    kernel.run("%cgroup thaw web", raise_error=True)
    assert kernel.run("%%nsenter -t web\n1").text == "1"


@pytest.mark.parametrize("cell", ["%%nsenter -t web {}\n1", "%nsenter -t web {} true"])
def test_a_cell_that_is_frozen_before_its_first_line_stops(
    cell: str, fresh_kernel: KernelDriver
) -> None:
    kernel = fresh_kernel
    kernel.run("%unshare --uts --name web true", raise_error=True)
    group = kernel.run("__import__('nsmagic').Box.find('web').group").result
    if group is None or (path := group["text/plain"].partition("'")[2].rstrip("')")) == "":
        pytest.skip("boxes without limits have no group here")
    Path(path, "cgroup.freeze").write_text("1")
    assert "--timeout" in failure(kernel.run(cell.format("--timeout 1")))
    Path(path, "cgroup.freeze").write_text("0")
    assert kernel.run("%%nsenter -t web\n1").text == "1"
    assert [entry.name for entry in Path(path).iterdir() if entry.is_dir()] == []


def test_a_limit_without_its_value_is_no_program(kernel: KernelDriver) -> None:
    assert "as in mem=64M" in failure(kernel.run("%%cgroup mem = 64M\n1"))


@needs(v1_beside_v2)
def test_version_1_has_no_limit_of_swap_alone(kernel: KernelDriver) -> None:
    assert "%%cgroup mem=64M swap=10M" in failure(kernel.run("%%cgroup swap=10M\n1"))
    assert kernel.run("%%cgroup mem=max\n1").text == "1"
    assert kernel.run("%%cgroup swap=max\n1").text == "1"


def test_a_box_without_limits_has_no_group_for_the_verbs(kernel: KernelDriver) -> None:
    kernel.run("%unshare --uts --name bare --replace true", raise_error=True)
    for line in ("set bare mem=1M", "show bare", "freeze bare"):
        assert "the box 'bare' has no limits" in failure(kernel.run(f"%cgroup {line}"))
    kernel.run("%box rm bare", raise_error=True)
