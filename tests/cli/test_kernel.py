"""`nsmagic kernel` as typed: what it says, and the exit status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nsmagic.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    return tmp_path


def test_isolate_and_remove(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["kernel", "isolate", "python3", "--name", "py-boxed", "--display-name", "Boxed",
            "--unshare", "--map-root-user --pid --net", "--user"]  # fmt: skip
    assert main(line) == 0
    directory = data / "kernels" / "py-boxed"
    where, proc, debugger, last = capsys.readouterr().out.splitlines()
    assert where == f"the kernel py-boxed is in {directory}"
    assert proc == "/proc still shows the outside: add --mount-proc"
    assert debugger.startswith("Jupyter's debugger is off in it")
    assert last == "Try it: jupyter console --kernel py-boxed"
    spec = json.loads((directory / "kernel.json").read_text())
    assert spec["display_name"] == "Boxed"
    assert main(line) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"nsmagic kernel: there is a kernel py-boxed already: {directory}",
        "Add --replace, or choose another --name.",
    ]
    assert main([*line, "--replace", "--wrapper"]) == 0
    spec = json.loads((directory / "kernel.json").read_text())
    assert "kernel_provisioner" not in spec["metadata"]
    assert main(["kernel", "remove", "py-boxed"]) == 0
    assert not directory.exists()


def test_install_below_a_prefix(tmp_path: Path) -> None:
    assert main(["kernel", "install", "--name", "lab2", "--prefix", str(tmp_path)]) == 0
    assert (tmp_path / "share" / "jupyter" / "kernels" / "lab2" / "logo-32x32.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["isolate", "python3", "--name", "a", "--unshare", "--pd"], "no option --pd"),
        (["isolate", "nothing", "--name", "a", "--unshare", "--pid"], "there is no kernel"),
        (["isolate", "python3", "--name", "a"], "a box without walls"),
        (["remove", "python3"], "not a kernel of nsmagic"),
    ],
)
def test_what_cannot_be(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernel", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_place_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernel", "install", "--name", "lab2", "--prefix", "/proc/self"]) == 1
    assert "nsmagic kernel: /proc/self/share" in capsys.readouterr().err
