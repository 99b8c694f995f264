"""Tab and Shift-Tab as a front end asks for them: complete_request and inspect_request."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.completer import provisionalcompleter

from nsmagic.notebook.catalogue import CATALOGUE, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from IPython.core.interactiveshell import InteractiveShell

    from tests.support.kernel_driver import KernelDriver


@pytest.fixture(scope="module")
def notebook(kernel: KernelDriver, tmp_path_factory: pytest.TempPathFactory) -> KernelDriver:
    """A kernel in a folder with a few files, and with a variable."""
    folder = tmp_path_factory.mktemp("cwd")
    (folder / "my dir/inner").mkdir(parents=True)
    (folder / "root/usr/bin").mkdir(parents=True)
    for name in ("a file", "afile", "root/usr/bin/only-there"):
        (folder / name).touch()
    kernel.run(f"import os; os.chdir({str(folder)!r}); answer = 42", raise_error=True)
    return kernel


def complete(kernel: KernelDriver, code: str) -> dict[str, str]:
    """Complete at the end of the cell; return the cells that one may get, with what they mean."""
    assert kernel.client is not None
    reply = kernel.client.complete(code, len(code), reply=True, timeout=20)["content"]
    start, end = reply["cursor_start"], reply["cursor_end"]
    found: list[dict[str, Any]] = reply["metadata"].get("_jupyter_types_experimental", [])
    return {code[:start] + each["text"] + code[end:]: each["type"] for each in found}


def ends(kernel: KernelDriver, code: str) -> list[str]:
    """Return the last words of the cells that one may get."""
    return [cell.rpartition(" ")[2] for cell in complete(kernel, code)]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("%%unshare --prop", ["--propagation"]),
        ("%%unshare --propagation=s", ["--propagation=slave", "--propagation=shared"]),
        ("%%unshare --propagation u", ["unchanged"]),
        ("%%unshare --kill-child=SIGTE", ["--kill-child=SIGTERM"]),
        ("%%unshare -p --map-user=roo", ["--map-user=root"]),
        ("%%unshare -S6553", ["-S65534"]),
        ("%%unshare --return answ", ["answer"]),
        ("%%unshare --return=x,answ", ["--return=x,answer"]),
        ("%%unshare --timeout ", ["2.5"]),
        ("%%unshare --root af", []),
        ("%%unshare --root ro", ["root/"]),
        ("%%unshare --root root only", ["only-there"]),
        ("%%unshare --bogus --p", []),
        ("%%unshare -p\n\n%%unshare --prop", ["--propagation"]),
        ("# a comment\n%unshare --prop", ["--propagation"]),
        ("%%chroot root /usr/bin/o", ["/usr/bin/only-there"]),
        ("%%chroot --userspec=root:roo", ["--userspec=root:root"]),
        ("%%chroot --groups=adm,roo", ["--groups=adm,root"]),
        ("x = %lsns -o +NS,NPR", ["+NS,NPROCS"]),
        ("%lsns -t us", ["user"]),
        ("%lsns -Tpar", ["-Tparent"]),
        ("%nsdiff self ho", ["host"]),
        ("%rootfs root/ onl", []),
        ("%rootfs --wi", ["--with"]),
    ],
)  # fmt: skip
def test_tab(notebook: KernelDriver, code: str, expected: list[str]) -> None:
    assert ends(notebook, code) == expected


def test_tab_in_names_with_spaces(notebook: KernelDriver) -> None:
    assert list(complete(notebook, "%%chroot my")) == [r"%%chroot my\ dir/"]
    assert list(complete(notebook, '%%chroot "my d')) == ['%%chroot "my dir/']
    assert list(complete(notebook, r"%%chroot my\ dir/in")) == ["%%chroot 'my dir/inner/'"]
    assert r"%rootfs x --with a\ file" in complete(notebook, "%rootfs x --with a")


def test_a_pid_comes_with_its_command(notebook: KernelDriver) -> None:
    found = complete(notebook, f"%nsdiff self {str(os.getpid())[:-1]}")
    command = Path("/proc/self/cmdline").read_bytes().partition(b"\0")[0].decode()
    assert Path(command).name in found[f"%nsdiff self {os.getpid()}"]


@pytest.mark.linux
def test_boxes_come_by_name(notebook: KernelDriver) -> None:
    notebook.run("%unshare --replace --name tabbed --user", raise_error=True)
    for line in ("%%nsenter -t ", "%box rm ", "%lsns -p ", "%nsdiff ", "%sxs host,"):
        (cell,) = complete(notebook, f"{line}tabb")
        assert cell == f"{line}tabbed"
    assert "PID" in complete(notebook, "%box show tabb")["%box show tabbed"]
    notebook.run("%box rm tabbed", raise_error=True)
    assert complete(notebook, "%box rm tabb") == {}


def test_exercises_come_by_name_those_of_the_lab_first(notebook: KernelDriver) -> None:
    notebook.run("import subprocess; nap = subprocess.Popen(['sleep', '60'])", raise_error=True)
    assert ends(notebook, "%lab check fam") == ["family"]
    assert ends(notebook, "%lab start 0")[:2] == ["01-processes", "02-chroot"]
    assert ends(notebook, "%lab predict dotd") == ["dotdot"]
    assert ends(notebook, "%lab predict dotdot ")[:2] == ["jail", "outside"]
    assert ends(notebook, "%lab predict dotdot o") == ["outside"]
    assert ends(notebook, "%lab predict my-threads 1") == []
    assert ends(notebook, "%lab check family on nap") == ["nap"]
    notebook.run("%lab start 04", raise_error=True)
    assert ends(notebook, "%lab hint ")[0] == "cable"
    notebook.run("%lab reset\nnap.kill(); nap.wait(); del nap, subprocess", raise_error=True)


def test_elsewhere_python_is_completed_as_before(notebook: KernelDriver) -> None:
    assert "%%unshare -p\nanswer" in complete(notebook, "%%unshare -p\nansw")
    assert "answer" in complete(notebook, "answ")
    assert not any("--pid" in cell for cell in complete(notebook, "answer\n%%unshare --p"))
    assert "%%chroot" in complete(notebook, "%%chr")


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_shift_tab_shows_the_table_and_an_example(notebook: KernelDriver, entry: Entry) -> None:
    assert notebook.client is not None
    magics = "get_ipython().magics_manager.magics['line']"
    if notebook.run(f"{entry.name!r} in {magics}").result == {"text/plain": "False"}:
        return  # a table without its magic: `test_overview` has the other direction
    code = f"%{entry.name} --"
    reply = notebook.client.inspect(code, 3, reply=True, timeout=20)["content"]
    assert reply["found"]
    text = reply["data"]["text/plain"]
    for row in entry.table.rows:
        assert row.hidden or f"--{row.name}" in text
    assert entry.table.example.splitlines()[0] in text


def inspect(kernel: KernelDriver, code: str, cursor: int) -> str:
    assert kernel.client is not None
    reply = kernel.client.inspect(code, cursor, reply=True, timeout=20)["content"]
    return str(reply["data"].get("text/plain", "")) if reply["found"] else ""


@pytest.mark.parametrize(
    ("line", "at", "first"),
    [
        ("%%unshare --uts --prop", "--uts", "-u, --uts"),
        ("%%unshare --propagation slave", "slave", "--propagation slave|shared|private"),
        ("%%unshare -pf", "pf", "-f, --fork"),
        ("%%unshare ", " ", "unshare [options]"),
        ("%%chroot --userspec=5 root", "5", "--userspec <user>:<group>"),
        ("x = %lsns -t net", "net", "-t, --type"),
    ],
)
def test_shift_tab_anywhere_in_the_line(
    notebook: KernelDriver, line: str, at: str, first: str
) -> None:
    text = inspect(notebook, line + "\nanswer", line.index(at) + len(at))
    assert text.startswith(first), text[:200]
    assert "For example:" in text
    assert "int" in inspect(notebook, line + "\nanswer", len(line) + 3)


@pytest.fixture
def shell(ip: InteractiveShell, tmp_path: Path) -> Iterator[InteractiveShell]:
    """A shell without a kernel: terminal IPython asks the same Completer."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield ip
    os.chdir(before)


def test_tab_in_a_terminal(shell: InteractiveShell) -> None:
    def texts(code: str) -> list[str]:
        completer: Any = shell.Completer
        with provisionalcompleter():
            return [each.text for each in completer.completions(code, len(code))]

    assert texts("%%unshare --propagation=u") == ["unchanged"]
    assert texts("%%unshare --uts\n%%chroot --skip") == ["--skip-chdir"]
    shell.run_line_magic("reload_ext", "nsmagic")
    assert texts("%%unshare --prop") == ["--propagation"]
    shell.run_line_magic("unload_ext", "nsmagic")
    assert "--propagation" not in texts("%%unshare --prop")
    shell.run_line_magic("load_ext", "nsmagic")
