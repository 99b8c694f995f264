"""`nsmagic kernel install|isolate|remove`: what is written, and what is refused."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.provisioning.factory import KernelProvisionerFactory

from nsmagic.notebook.boxing import Boxing, read_boxing
from nsmagic.notebook.kernelspecs import Place, install_lab, isolate, remove
from nsmagic.wish.errors import WishError
from tests.support.boxed import HERE, PROJECT, WALLS, box, write_spec


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Jupyter's data directory, with python3 as ipykernel writes it."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    argv = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    metadata = {"debugger": True, "supported_encryption": ["curve"]}
    write_spec(tmp_path, "python3", {
        "argv": argv, "display_name": "Python 3", "language": "python", "metadata": metadata,
        "interrupt_mode": "message", "env": {"A": "b"}, "kernel_protocol_version": "5.5",
    })  # fmt: skip
    return tmp_path


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_lab_kernel_is_there_after_installation() -> None:
    # The real one, of the environment: its wheel brought it.
    shared = Path(sys.prefix, "share", "jupyter", "kernels", "nsmagic")
    spec = json.loads((shared / "kernel.json").read_text())
    assert spec["display_name"] == "Container Lab (Python)"
    assert {path.name for path in shared.iterdir()} == {
        "kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg",
    }  # fmt: skip


def test_installing_beside_python3_changes_nothing_of_it(data: Path) -> None:
    before = snapshot(data)
    lab = install_lab(HERE)
    boxed = box("py-boxed")
    assert {path: snapshot(data)[path] for path in before} == before
    remove("py-boxed")
    assert not boxed.directory.exists()
    remove("nsmagic")
    assert not lab.directory.exists()
    assert snapshot(data) == before
    with pytest.raises(WishError, match="belongs to the installed nsmagic"):
        remove("nsmagic")


def test_the_lab_kernel_for_another_environment_names_this_python(tmp_path: Path) -> None:
    other = tmp_path / "env"
    done = install_lab(Place(prefix=str(other)), name="lab2", display_name="Lab 2")
    assert done.directory == other / "share" / "jupyter" / "kernels" / "lab2"
    spec = json.loads((done.directory / "kernel.json").read_text())
    assert (spec["argv"][0], spec["display_name"]) == (sys.executable, "Lab 2")
    assert (done.directory / "logo-64x64.png").read_bytes()[:4] == b"\x89PNG"


def test_others_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        done = install_lab(Place(prefix=str(tmp_path / "env")), name="lab2")
    finally:
        os.umask(before)
    for path in (done.directory, *done.directory.iterdir()):
        assert path.stat().st_mode & 0o444 == 0o444, path


def test_a_boxed_kernel_keeps_what_its_base_says() -> None:
    done = box("Py-Boxed")
    spec = KernelSpecManager().get_kernel_spec("py-boxed")
    assert done.name == "py-boxed"
    assert len(done.notes) == 1
    assert "debugger is off" in done.notes[0]
    assert (spec.interrupt_mode, spec.env, spec.language) == ("message", {"A": "b"}, "python")
    assert spec.kernel_protocol_version == "5.5"
    # debugpy needs 127.0.0.1, which is down in a new network namespace.
    assert spec.metadata == {
        "debugger": False, "supported_encryption": ["curve"],
        "kernel_provisioner": {"provisioner_name": "nsmagic-provisioner", "config": {}},
    }  # fmt: skip
    assert KernelProvisionerFactory.instance().is_provisioner_available(spec)
    boxing, file, command = read_boxing(spec.argv[spec.argv.index("-f") :])
    assert boxing == Boxing(name="py-boxed", unshare=WALLS)
    assert command == [sys.executable, "-m", "ipykernel_launcher", "-f", file]


def test_without_a_new_network_the_debugger_stays() -> None:
    box("a", "--user --map-root-user --pid --mount-proc", provisioned=False)
    spec = KernelSpecManager().get_kernel_spec("a")
    assert spec.metadata == {"debugger": True, "supported_encryption": ["curve"]}


def test_in_another_root_python_is_that_roots_own(tmp_path: Path) -> None:
    isolate("python3", Boxing(name="a", root=str(tmp_path)), HERE)
    argv = KernelSpecManager().get_kernel_spec("a").argv
    assert argv[argv.index("--") + 1] == "python3"


def test_what_is_added_is_said() -> None:
    done = box("a", "--pid --map-root-user")
    assert done.notes == ("/proc still shows the outside: add --mount-proc",)


@pytest.mark.parametrize(
    ("unshare", "message"),
    [
        ("--bogus", "unshare has no option --bogus"),
        ("--pid /bin/bash", "names a program (/bin/bash); the kernel is the program"),
        ("--pid --bg", "--bg is for cells, not for whole kernels"),
        ("--pid --name web", "--name is for cells"),
        ("--pid --return x", "--return is for cells"),
        ("--pid --no-raise-error", "--no-raise-error is for cells"),
        ("--setgroups=never", "unshare --setgroups: 'never'"),
        ("", "a box without walls"),
    ],
)
def test_a_box_that_makes_no_sense_is_refused_when_it_is_asked_for(
    data: Path, unshare: str, message: str
) -> None:
    before = snapshot(data)
    with pytest.raises(WishError) as caught:
        box("a", unshare)
    assert message in str(caught.value)
    assert snapshot(data) == before


def test_names_that_are_taken(data: Path) -> None:
    box("a")
    before = snapshot(data)
    for name in ("python3", "a", "A"):
        with pytest.raises(WishError, match="already"):
            box(name)
    with pytest.raises(WishError, match="already"):
        install_lab(HERE, name="python3")
    with pytest.raises(WishError, match="already"):
        isolate("python3", Boxing(name="python3", unshare=WALLS), HERE, replacing=True)
    assert snapshot(data) == before
    box("a", "--uts", replacing=True)
    assert "--unshare=--uts" in KernelSpecManager().get_kernel_spec("a").argv


@pytest.mark.parametrize("name", ["", "a b", "../a", "ä", "a\n"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(WishError, match="no name for a kernel"):
        box(name)


def test_kernels_that_cannot_be_boxed(data: Path) -> None:
    with pytest.raises(WishError, match="there is no kernel 'pyton3'") as caught:
        box("a", base="pyton3")
    assert "python3" in caught.value.hint
    box("a")
    with pytest.raises(WishError, match="in a box already"):
        box("b", base="a")
    metadata = {"kernel_provisioner": {"provisioner_name": "local-provisioner", "config": {}}}
    write_spec(data, "c", {"argv": ["c"], "display_name": "C", "language": "c",
                           "metadata": metadata})  # fmt: skip
    box("d", base="c")


def test_a_kernel_of_somebody_else_is_not_removed(data: Path) -> None:
    with pytest.raises(WishError, match="not a kernel of nsmagic"):
        remove("python3")
    assert (data / "kernels" / "python3").exists()


@pytest.mark.parametrize(
    "argv",
    [[], ["-f", "x"], ["-f", "x", "--name=a"], ["-f", "x", "--name=a", "--"],
     ["-f", "x", "--bogus=1", "--name=a", "--", "k"]],
)  # fmt: skip
def test_a_kernel_json_that_was_broken_by_hand(argv: list[str]) -> None:
    with pytest.raises(WishError):
        read_boxing(argv)


def test_the_shipped_kernelspec_starts_the_class() -> None:
    spec = json.loads((PROJECT / "kernelspec" / "kernel.json").read_text())
    assert spec["interrupt_mode"] == "signal"  # the stop button must reach the main thread
    assert "--IPKernelApp.kernel_class=nsmagic.notebook.kernel.ContainerLabKernel" in spec["argv"]
