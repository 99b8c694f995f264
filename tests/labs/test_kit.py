"""`%lab` as learners and teachers use it, on a real kernel, also with bad input."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nsmagic.labs.progress import Progress
from nsmagic.linux.ids import SystemNames
from nsmagic.wish.errors import WishError
from nsmagic.wish.lab import LabWish, read_lab
from tests.support.kernel_driver import KernelDriver
from tests.support.process import spawners
from tests.support.sandboxes import docker_default, sandboxes_work
from tests.support.skips import needs, root_only

if TYPE_CHECKING:
    from tests.support.cell_run import CellRun

MARKED = "NSMAGIC_LAB"


def text(run: CellRun) -> str:
    assert run.error is None, run.error
    assert run.result is not None
    return str(run.result["text/plain"])


def value(kernel: KernelDriver, expression: str) -> str:
    return text(kernel.run(expression)).strip("'")


class TestLine:
    @pytest.mark.parametrize(
        ("line", "wish"),
        [
            ("", LabWish()),
            ("start 1", LabWish(verb="start", name="1")),
            ("check a on b --strict", LabWish(verb="check", name="a", on="b", strict=True)),
            ("--strict check a", LabWish(verb="check", name="a", strict=True)),
            ("predict q -- -1", LabWish(verb="predict", name="q", guess="-1")),
            (
                "predict q it is unchanged",
                LabWish(verb="predict", name="q", guess="it is unchanged"),
            ),
            ("hint", LabWish(verb="hint")),
            ("solution --all", LabWish(verb="solution", all=True)),
            ("solution --all a", LabWish(verb="solution", name="a", all=True)),
        ],
    )
    def test_what_is_understood(self, line: str, wish: LabWish) -> None:
        assert read_lab(line, SystemNames()) == wish

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("chek a", "nearest: check"),
            ("check", "needs a word"),
            ("check a b", "too many words"),
            ("check a on", "too many words"),
            ("guard now", "too many words"),
            ("start 'x", "never closed"),
            ("--stric start x y", "too many words"),
            ("check a --all", "--all goes with solution"),
            ("solution --all a b", "too many words"),
        ],
    )
    def test_what_is_not(self, line: str, said: str) -> None:
        with pytest.raises(WishError, match=said):
            read_lab(line, SystemNames())


class TestProgress:
    def test_it_is_private_and_survives(self, tmp_path: Path) -> None:
        Progress(tmp_path / "new").tried("a", done=False)
        Progress(tmp_path / "new").tried("a", done=True)
        known = Progress(tmp_path / "new")
        assert known.exercises()["a"]["tries"] == 2
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", known.exercises()["a"]["done"])
        assert known.path.stat().st_mode & 0o777 == 0o600
        assert known.path.parent.stat().st_mode & 0o777 == 0o700

    def test_the_first_guess_counts(self, tmp_path: Path) -> None:
        known = Progress(tmp_path)
        known.guessed("q", "7", "8", right=False)
        known.guessed("q", "8", "8", right=True)
        assert known.guesses()["q"] == {"guess": "7", "answer": "8", "right": False}

    @pytest.mark.parametrize("content", ["{", "[]", '{"exercises": 1}', "\xff", ""])
    def test_a_broken_file_is_set_aside(self, tmp_path: Path, content: str) -> None:
        known = Progress(tmp_path)
        known.path.write_text(content, encoding="latin-1")
        known.tried("a", done=True)
        assert "begins anew" in known.trouble
        assert known.path.with_suffix(".broken").read_text(encoding="latin-1") == content
        assert json.loads(known.path.read_text())["exercises"]["a"]["tries"] == 1

    def test_two_notebooks_at_once(self, tmp_path: Path) -> None:
        def many() -> None:
            for _ in range(50):
                Progress(tmp_path).tried("a", done=False)

        threads = [threading.Thread(target=many) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert Progress(tmp_path).exercises()["a"]["tries"] == 100

    def test_no_room_is_said_and_not_raised(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        known = Progress(tmp_path / "file" / "below")
        known.tried("a", done=True)
        assert "not kept" in known.trouble


@pytest.mark.linux
class TestMagic:
    def test_nothing_was_started(self, fresh_kernel: KernelDriver) -> None:
        for line in ("check family", "guard", "reset", "hint"):
            error = fresh_kernel.run(f"%lab {line}").error
            assert error is not None
            assert "no lab was started" in error["evalue"]
        assert "%lab alone lists the labs" in fresh_kernel.run("%lab start").stderr

    def test_who_is_checked(self, kernel: KernelDriver) -> None:
        kernel.run("%lab start 01", raise_error=True)
        kernel.run(
            "import subprocess\nfamily = 'a text'\nold = subprocess.Popen(['true']); old.wait()\n"
            "cat = subprocess.Popen(['cat'], stdin=subprocess.PIPE)\n"
            "dead = subprocess.Popen(['true'])\n"
            "import os; os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)\n"
            "told = subprocess.Popen(['sh', '-c', f'read {word[:5]}; : {word}'], stdin=-1)",
            raise_error=True,
        )
        said = {
            "family": "holds str, which is no process",
            "on old": "old has ended",
            "on nobody": "no variable called nobody",
            "on 4194305": "there is no process 4194305",
            "on cat": "is not in the command line of A: cat",
            "on dead": "dead has ended",
            f"on {value(kernel, 'cat.pid')}": "is not in the command line of A",
            "on {cat.pid}": "is not in the command line of A",
        }
        for whom, words in said.items():
            line = f"%lab check family {whom.removeprefix('family')}"
            assert words in " ".join(text(kernel.run(line)).split()), line
        assert "✓ A has the word" in " ".join(text(kernel.run("%lab check family on told")).split())
        kernel.run("%lab reset", raise_error=True)

    def test_a_guess_is_understood_in_any_case(self, kernel: KernelDriver) -> None:
        kernel.run("%lab start 01", raise_error=True)
        assert "right" in text(kernel.run("%lab predict fork-list Unchanged")).split()
        assert "nearest: unchanged" in kernel.run("%lab predict fork-list unchangd").stderr
        kernel.run("%lab reset", raise_error=True)

    def test_reset_stops_a_cell_and_leaves_our_own_helpers(self, kernel: KernelDriver) -> None:
        kernel.run("%lab start 01", raise_error=True)
        kernel.run("%unshare true", raise_error=True)  # the next program's launcher stands ready
        kernel.run("%unshare --bg --proc napping sleep 500", raise_error=True)
        removed = text(kernel.run("%lab reset"))
        assert "cell " in removed
        assert "playground" in removed
        assert len(removed.splitlines()) == 4, removed  # with the title and its line
        ended = kernel.run("napping.wait()").error
        assert ended is not None
        assert "was ended by kill()" in ended["evalue"]

    @needs(sandboxes_work)
    def test_what_is_forbidden_is_explained_as_the_doctor_does(self) -> None:
        with KernelDriver(prefix=docker_default([])) as kernel:
            said = " ".join(text(kernel.run("%lab start 03", raise_error=True)).split())
            assert "%nsmagic doctor says what to type" in said
            assert "filter on this process" in said
            assert "unshare failed" not in said
            kernel.run("%lab reset", raise_error=True)

    def test_the_word_is_new_each_time(self, kernel: KernelDriver) -> None:
        kernel.run("%lab start 01", raise_error=True)
        first = value(kernel, "word")
        kernel.run("%lab start 01", raise_error=True)
        assert value(kernel, "word") != first
        kernel.run("%lab reset", raise_error=True)

    @pytest.mark.parametrize("again", ["%lab reset", "%lab start 02\n%lab reset"])
    def test_a_playground_that_the_learner_removed(self, kernel: KernelDriver, again: str) -> None:
        kernel.run("import os, shutil\n%lab start 01\nshutil.rmtree(playground)")
        kernel.run(again, raise_error=True)
        assert Path(value(kernel, "os.getcwd()")).is_dir()

    def test_hints_come_one_by_one_and_progress_knows(self, fresh_kernel: KernelDriver) -> None:
        fresh_kernel.run("%env NSMAGIC_STATE_DIR=" + os.environ["XDG_STATE_HOME"] + "/hints")
        fresh_kernel.run("%lab start 01", raise_error=True)
        lengths = [len(text(fresh_kernel.run("%lab hint")).splitlines()) for _ in range(4)]
        assert lengths == sorted(lengths)
        assert lengths[0] < lengths[1] < lengths[2] == lengths[3]
        assert "SIGSTOP" in text(fresh_kernel.run("%lab solution"))
        (row,) = (
            line
            for line in text(fresh_kernel.run("%lab progress")).splitlines()
            if "family" in line
        )
        assert "the solution" in row
        fresh_kernel.run("%lab reset", raise_error=True)

    def test_reset_ends_what_the_lab_started_and_nothing_else(
        self, fresh_kernel: KernelDriver
    ) -> None:
        before = "import subprocess, os\nother = subprocess.Popen(['sleep', '500'])"
        fresh_kernel.run(before, raise_error=True)
        fresh_kernel.run("%lab start 01", raise_error=True)
        cells = "child = subprocess.Popen(['setsid', 'sh', '-c', 'sleep 501 & sleep 502'])"
        fresh_kernel.run(cells, raise_error=True)
        folder = Path(value(fresh_kernel, "str(playground)"))
        word = value(fresh_kernel, "word")
        assert folder.is_dir()
        fresh_kernel.run("%lab reset", raise_error=True)
        assert not folder.exists()
        assert value(fresh_kernel, "os.getcwd()") != str(folder)
        assert not [pid for pid in os.listdir("/proc") if pid.isdecimal() and marked(pid, word)]
        assert value(fresh_kernel, "str(other.poll())") == "None"
        fresh_kernel.run("other.kill(); other.wait()", raise_error=True)

    def test_a_killed_kernel_leaves_a_playground_that_is_swept(
        self, fresh_kernel: KernelDriver
    ) -> None:
        fresh_kernel.run("%lab start 01\n!touch kept\n%unshare true", raise_error=True)
        folder = Path(value(fresh_kernel, "str(playground)"))
        (found,) = spawners(fresh_kernel.pid)
        spawner = os.pidfd_open(found)
        assert (folder / "kept").exists()
        os.kill(fresh_kernel.pid, signal.SIGKILL)
        ended, _, _ = select.select([spawner], [], [], 10)  # the last thing it does is to sweep
        os.close(spawner)
        assert ended
        assert not folder.exists()

    def test_a_teacher_writes_one(self, kernel: KernelDriver) -> None:
        cell = """
from nsmagic.labs.exercises import Fact, exercise

@exercise(id="nap", lab="01-processes", title="A nap", task="Leave `sleep` running.", on="nap",
          hints=("sleep", "sleep(1)", "Popen"), solution="...")
def nap(it, here):
    yield Fact(it.argv[:1] == ("sleep",), "it sleeps", f"it runs {it.command}")
"""
        for _ in range(2):  # it is written by trying
            kernel.run(cell, raise_error=True)
        kernel.run("%lab start 01", raise_error=True)
        assert "not done yet" in text(kernel.run("%lab check nap"))
        kernel.run("import subprocess; nap = subprocess.Popen(['cat'], stdin=-1)", raise_error=True)
        assert "wrong: it runs cat" in text(kernel.run("%lab check nap"))
        kernel.run("nap = subprocess.Popen(['sleep', '500'])", raise_error=True)
        assert "✓  done" in text(kernel.run("%lab check nap"))
        stolen = kernel.run(cell.replace('"nap"', '"crew"'))
        assert stolen.error is not None
        assert "two checks are called crew" in stolen.error["evalue"]
        kernel.run("%lab reset", raise_error=True)


def marked(pid: str, word: str) -> bool:
    try:
        return f"{MARKED}={word}".encode() in Path("/proc", pid, "environ").read_bytes()
    except OSError:
        return False


ALONE = """
import json, socket, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "nsmagic")
shell.user_ns.update(socket=socket, old=socket.gethostname())
shell.run_line_magic("lab", "start 01")
seen = []
for cell in json.loads(sys.argv[1]):
    assert shell.run_cell(cell).success, cell
    report = shell.run_line_magic("lab", "guard")
    seen.append([change.sentinel.name for change in report.changes if change.new or change.gone])
shell.run_line_magic("lab", "reset")
print(json.dumps(seen))
"""


@pytest.mark.linux
@root_only
def test_the_guard_sees_what_changes() -> None:
    """In namespaces of its own, where nobody else changes anything."""
    changes = {
        "host name": ("!hostname gone", "!hostname {old}"),
        "mounts": ("!mount -t tmpfs none /mnt", "!umount /mnt"),
        "network links": ("!ip link add guard0 type veth peer guard1", "!ip link del guard0"),
        "System V IPC": ("shm = !ipcmk -M 4096", "!ipcrm -m {shm[-1].split()[-1]}"),
        "our listening ports": ("s = socket.create_server(('127.0.0.1', 0))", "s.close()"),
        "sysctls": (
            "!echo 1 > /proc/sys/net/ipv4/ip_forward",
            "!echo 0 > /proc/sys/net/ipv4/ip_forward",
        ),
    }
    cells = [cell for pair in changes.values() for cell in pair]
    argv = ["unshare", "--mount", "--uts", "--ipc", "--net", "sh", "-c"]
    argv += ['ip link set lo up; exec "$@"', "sh", sys.executable, "-c", ALONE, json.dumps(cells)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen == [found for name in changes for found in ([name], [])]
