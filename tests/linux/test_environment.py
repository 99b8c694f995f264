"""Where we run, from the facts that such places leave: recorded files and environments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nsmagic.linux.environment import ENVIRONMENTS, Look, find_environments

if TYPE_CHECKING:
    from pathlib import Path

WSL2 = "Linux version 5.15.167.4-microsoft-standard-WSL2 (root@f9c826d3017f) (gcc (GCC) 11.2.0)"
WSL1 = "Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com) (gcc version 5.4.0 (GCC) )"
GVISOR = "Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016"
DEBIAN = "Linux version 6.1.0-28-amd64 (debian-kernel@lists.debian.org)"

RECORDED = [
    ({"proc/version": WSL2}, {}, ["wsl2"]),
    ({"proc/version": WSL1}, {}, ["wsl1"]),
    ({"proc/version": GVISOR, ".dockerenv": ""}, {}, ["gvisor", "docker"]),
    ({}, {"BINDER_LAUNCH_HOST": "https://mybinder.org/", "KUBERNETES_SERVICE_HOST": "10.0.0.1"},
     ["binder", "kubernetes"]),
    ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, ["kubernetes"]),
    ({".dockerenv": ""}, {"CODESPACES": "true"}, ["codespaces", "docker"]),
    ({}, {"COLAB_RELEASE_TAG": "release-colab"}, ["colab"]),
    ({"run/.containerenv": ""}, {"container": "podman"}, ["podman"]),
    ({"run/systemd/container": "lxc\n"}, {}, ["lxc"]),
    ({}, {"container": "systemd-nspawn"}, ["systemd-nspawn"]),
    ({".flatpak-info": ""}, {}, ["flatpak"]),
    ({"proc/1/status": "Name:\tnsmagic-init\nNoNewPrivs:\t1\n"}, {}, ["profile"]),
    ({"proc/1/status": "Name:\tnsmagic-init\nNoNewPrivs:\t0\n"}, {}, []),
    ({}, {"SNAP_REVISION": "12"}, ["snap"]),
    ({"proc/self/cgroup": "4:pids:/docker/d6d6ee\n0::/docker/d6d6ee"}, {}, ["docker"]),
    ({"proc/version": DEBIAN, "proc/self/cgroup": "0::/user.slice/user-1000.slice"}, {}, []),
]  # fmt: skip


@pytest.mark.parametrize(("files", "environ", "names"), RECORDED)
def test_recorded_places(
    tmp_path: Path, files: dict[str, str], environ: dict[str, str], names: list[str]
) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = find_environments(Look(root=tmp_path, environ=environ))
    assert [each.name for each in found] == names
    assert all(each.fact for each in found)


def test_every_kind_of_place_is_recorded() -> None:
    assert {each.name for each in ENVIRONMENTS} == {n for _, _, names in RECORDED for n in names}
