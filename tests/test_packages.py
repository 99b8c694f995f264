"""Wheel and sdist: what is in them, and what installing and uninstalling the wheel does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
KERNEL = "share/jupyter/kernels/nsmagic"
BUILT = ("nsmagic", "kernelspec", "notebooks", "tests", "pyproject.toml", "README.md", "LICENSE")
UNTRACKED = shutil.ignore_patterns("__pycache__", ".*", "artefacts")


def files(folder: str) -> set[str]:
    """The files of a folder of the project, relative to it."""
    root = PROJECT / folder
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return {
        str(path) for path in found if not {"__pycache__", ".ipynb_checkpoints"} & {*path.parts}
    }


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with both, built from a copy so that the project is only read."""
    copy = tmp_path_factory.mktemp("build") / "project"
    copy.mkdir()
    for name in BUILT:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=UNTRACKED)
        else:
            shutil.copy(source, copy)
    made = copy.parent / "dist"
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(made)]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    return made


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (file,) = dist.glob("*.whl")
    return file


def test_the_wheel_carries_everything_that_is_used(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
        table = archive.read(entry_points).decode()
    data = f"{wheel.name.removesuffix('-py3-none-any.whl')}.data/data"
    assert {f"nsmagic/{name}" for name in files("nsmagic")} <= names
    assert {f"{data}/{KERNEL}/{name}" for name in files("kernelspec")} <= names
    assert {f"nsmagic/notebooks/{name}" for name in files("notebooks")} <= names
    assert "nsmagic = nsmagic.cli.main:main" in table
    assert "nsmagic-provisioner = nsmagic.notebook.provisioner:BoxProvisioner" in table
    assert not [name for name in names if name.startswith("tests/")]


def test_the_sdist_builds_the_same(dist: Path, wheel: Path, tmp_path: Path) -> None:
    (file,) = dist.glob("*.tar.gz")
    subprocess.run(["tar", "-xzf", str(file), "-C", str(tmp_path)], check=True)
    (source,) = tmp_path.iterdir()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(tmp_path / wheel.name) as two:
        assert set(one.namelist()) == set(two.namelist())


def test_a_bare_environment_gets_all_and_keeps_nothing(wheel: Path, tmp_path: Path) -> None:
    bare = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    (bare / "share/jupyter/kernels/python3").mkdir(parents=True)  # ipykernel's, which comes first
    before = set(bare.rglob("*"))
    pip = [sys.executable, "-m", "pip", "--python", str(bare / "bin" / "python"), "-q"]
    options = ["--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *options, str(wheel)], check=True)
    assert (bare / "bin" / "nsmagic").exists()
    spec = json.loads((bare / KERNEL / "kernel.json").read_text())
    assert spec["display_name"] == "Container Lab (Python)"
    done = subprocess.run(
        [bare / "bin" / "nsmagic", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("nsmagic ")
    labs = tmp_path / "labs"
    lab = [str(bare / "bin" / "nsmagic"), "lab", str(labs), "--copy-only"]
    subprocess.run(lab, check=True, capture_output=True)
    assert {str(path.relative_to(labs)) for path in labs.rglob("*.ipynb")} == {
        name for name in files("notebooks") if name.endswith(".ipynb")
    }
    subprocess.run([*pip, "uninstall", "-y", "nsmagic"], check=True)
    assert set(bare.rglob("*")) == before
