"""binder/ as repo2docker runs it: an ordinary user, no privileges, Docker's filter.

What repo2docker does with each file: https://repo2docker.readthedocs.io/en/latest/config_files.html
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

from nsmagic.doctor import packages
from tests.support import sandboxes
from tests.support.skips import needs, root_only

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.user import Account

PROJECT = Path(__file__).resolve().parents[1]
BINDER = PROJECT / "binder"
# Of a pod: no root, no capability, and no way to get one.
UNPRIVILEGED = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--clear-groups"]
PLACE = {"BINDER_LAUNCH_HOST": "https://mybinder.org/", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=60, allow_errors=True, kernel_name=sys.argv[2]).execute()
sys.stdout.write(nbformat.writes(notebook))
"""


def in_a_pod(
    account: Account, argv: Sequence[str], *, cwd: Path, path: Path, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a program as on Binder."""
    ids = [f"--reuid={account.uid}", f"--regid={account.gid}"]
    env = account.env | PLACE | {"PATH": f"{path}:/usr/bin:/bin:/usr/sbin:/sbin"}
    return subprocess.run(
        sandboxes.docker_default([*UNPRIVILEGED, *ids, *argv]), env=env, cwd=cwd,
        capture_output=True, text=True, check=False, timeout=timeout,
    )  # fmt: skip


def test_the_files_are_what_repo2docker_expects() -> None:
    for name in ("postBuild", "start"):
        assert os.access(BINDER / name, os.X_OK)
        assert (BINDER / name).read_text().startswith("#!/bin/bash\n")
        subprocess.run(["bash", "-n", BINDER / name], check=True)
    assert (BINDER / "start").read_text().rstrip().endswith('exec "$@"')
    wanted = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["requires-python"]
    python = (BINDER / "runtime.txt").read_text().strip().removeprefix("python-")
    assert [int(n) for n in python.split(".")] >= [int(n) for n in wanted[2:].split(".")]


def test_apt_has_every_program_that_the_doctor_looks_for() -> None:
    listed = set((BINDER / "apt.txt").read_text().split())
    assert {names["debian"] for names in packages._PACKAGES.values()} - listed == {"bash"}


@root_only
@needs(sandboxes.sandboxes_work)
@pytest.mark.linux
def test_start_says_what_works_and_becomes_the_server(as_user: Account) -> None:
    folder = as_user.home / "bin"
    folder.mkdir()
    program = folder / "nsmagic"
    program.write_text(f'#!/bin/sh\nexec {as_user.python} -m nsmagic.cli "$@"\n')
    program.chmod(0o755)
    shutil.copy(BINDER / "start", folder)
    done = in_a_pod(
        as_user, [f"{folder}/start", "sh", "-c", "echo $$; id -u; cat /proc/self/status"],
        cwd=as_user.home, path=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == str(as_user.uid)
    assert "CapBnd:\t0000000000000000" in done.stdout
    assert "This is: Binder ($BINDER_LAUNCH_HOST is set)" in " ".join(done.stderr.split())
    assert "forbids new namespaces" in done.stderr
    assert "Only Binder's operators can change that." in done.stderr
    assert "docker run --" not in done.stderr  # nobody there can


@root_only
@needs(sandboxes.sandboxes_work)
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_built_as_binder_does_and_every_notebook_run(as_user: Account) -> None:
    repository, venv = as_user.home / "jovyan", as_user.home / "venv"
    ignore = shutil.ignore_patterns(".git", ".venv*", "artefacts", "__pycache__", ".*_cache")
    shutil.copytree(PROJECT, repository, ignore=ignore)
    subprocess.run(["chown", "-R", str(as_user.uid), repository], check=True)
    environment = as_user.env | {"PATH": f"{venv}/bin:{os.environ['PATH']}", "PYTHONPATH": ""}

    def build(*argv: str) -> str:
        done = subprocess.run(
            argv, env=os.environ | environment, cwd=repository, capture_output=True, text=True,
            check=False, **as_user.popen,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    build(os.path.realpath(sys.executable), "-m", "venv", str(venv))
    build("pip3", "install", "--no-cache-dir", "-r", "binder/requirements.txt")
    assert "nsmagic" in build("binder/postBuild")

    def pod(*argv: str) -> str:
        return in_a_pod(
            as_user, ["binder/start", *argv], cwd=repository, path=venv / "bin", timeout=300
        ).stdout

    report = json.loads(pod("nsmagic", "doctor", "--json"))
    refused = {each["name"] for each in report["checks"] if each["state"] == "refused"}
    assert {"user", "net", "cgroup"} <= refused
    run = 0
    for path in sorted((repository / "notebooks").rglob("*.ipynb")):
        text = pod("python", "-c", EXECUTE, str(path), "nsmagic")
        run += check(nbformat.reads(text, 4), path.name)
    assert run >= 10


def check(notebook: nbformat.NotebookNode, name: str) -> int:
    """What is blocked says so, and the rest runs: return how many cells ran."""
    run = 0
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        errors = [out for out in cell.outputs if out.output_type == "error"]
        run += not errors
        for error in errors:
            told = "\n".join(error.traceback)
            assert "/nsmagic/" not in told, f"{name} {cell.id}: a traceback of ours\n{told}"
            if error.ename == "StepError":
                assert "seccomp" in told, f"{name} {cell.id}: {told}"
    return run
