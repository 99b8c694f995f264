"""What kind of place this process runs in, by facts that each such place leaves."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# What gVisor says on every machine.
_GVISOR: Final = "#1 SMP Sun Jan 10 15:06:54 PST 2016"


@dataclass(frozen=True, kw_only=True)
class Look:
    """Where to look: the files below `root` and the environment."""

    root: Path = Path("/")
    environ: Mapping[str, str]

    def text(self, path: str) -> str:
        """Return what a file says; nothing where it cannot be read."""
        try:
            return (self.root / path.lstrip("/")).read_text(errors="replace").strip()
        except OSError:
            return ""

    def has(self, path: str) -> bool:
        """Return whether there is such a file."""
        return (self.root / path.lstrip("/")).exists()


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One kind of place: `seen` returns the fact that gives it away, empty if there is none.

    A `container` is what one starts with other options in order to be allowed more.
    """

    name: str
    title: str
    seen: Callable[[Look], str]
    container: bool = True


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A kind of place that this is, and the fact that says so."""

    name: str
    title: str
    fact: str
    container: bool


def _variable(*names: str) -> Callable[[Look], str]:
    return lambda look: next((f"${name} is set" for name in names if name in look.environ), "")


def _file(path: str) -> Callable[[Look], str]:
    return lambda look: f"{path} exists" if look.has(path) else ""


def _version(word: str, *, without: str = "") -> Callable[[Look], str]:
    def seen(look: Look) -> str:
        version = look.text("/proc/version")
        found = word in version and not (without and without in version)
        return f"/proc/version says {word}" if found else ""

    return seen


def _told(name: str) -> Callable[[Look], str]:
    def seen(look: Look) -> str:
        if look.environ.get("container") == name:
            return f"$container is {name}"
        told = look.text("/run/systemd/container") == name
        return f"/run/systemd/container says {name}" if told else ""

    return seen


def _by_cgroup(word: str) -> Callable[[Look], str]:
    return lambda look: (
        f"/proc/self/cgroup names {word}" if f"/{word}" in look.text("/proc/self/cgroup") else ""
    )


def _in_profile(look: Look) -> str:
    status = look.text("/proc/1/status")
    ours = "Name:\tnsmagic-init" in status and "NoNewPrivs:\t1" in status
    return "PID 1 is our init and has given up its rights" if ours else ""


# The outer place of a nest of them goes first where only its owner can allow more.
ENVIRONMENTS: Final[tuple[Environment, ...]] = (
    Environment(name="profile", title="a box with --profile of nsmagic", seen=_in_profile),
    # WSL 2 says "microsoft-standard-WSL2": https://github.com/microsoft/WSL/issues/4555
    Environment(name="wsl1", title="WSL 1", seen=_version("Microsoft", without="WSL2")),
    Environment(
        name="wsl2", title="WSL 2", seen=_version("microsoft-standard-WSL2"), container=False
    ),
    # Its sentry answers every uname(2) and /proc/version so: https://gvisor.dev/docs/
    Environment(name="gvisor", title="gVisor", seen=_version(_GVISOR)),
    # BinderHub's launcher sets them: https://github.com/jupyterhub/binderhub (builder.py)
    Environment(
        name="binder",
        title="Binder",
        seen=_variable("BINDER_LAUNCH_HOST", "BINDER_REPO_URL", "BINDER_REQUEST"),
    ),
    # https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
    Environment(
        name="kubernetes", title="a Kubernetes pod", seen=_variable("KUBERNETES_SERVICE_HOST")
    ),
    Environment(
        name="codespaces", title="GitHub Codespaces", seen=_variable("CODESPACES"), container=False
    ),
    Environment(
        name="colab", title="Google Colab", seen=_variable("COLAB_RELEASE_TAG"), container=False
    ),
    Environment(name="docker", title="a Docker container", seen=_file("/.dockerenv")),
    # podman-run(1): "/run/.containerenv"
    Environment(name="podman", title="a Podman container", seen=_file("/run/.containerenv")),
    # https://systemd.io/CONTAINER_INTERFACE/
    Environment(name="lxc", title="an LXC container", seen=_told("lxc")),
    Environment(name="systemd-nspawn", title="systemd-nspawn", seen=_told("systemd-nspawn")),
    # https://docs.flatpak.org/en/latest/sandbox-permissions.html
    Environment(name="flatpak", title="a Flatpak sandbox", seen=_file("/.flatpak-info")),
    # https://snapcraft.io/docs/environment-variables
    Environment(name="snap", title="a snap", seen=_variable("SNAP_REVISION")),
    # A container's path in cgroup v1, where no cgroup namespace hides it, cgroup_namespaces(7)
    Environment(name="docker", title="a Docker container", seen=_by_cgroup("docker/")),
)


def find_environments(look: Look | None = None) -> list[Seen]:
    """Return the kinds of place that this is, the telling ones first; none on a plain machine."""
    at = look or Look(environ=os.environ)
    found: dict[str, Seen] = {}
    for each in ENVIRONMENTS:
        fact = each.seen(at)
        if fact and each.name not in found:
            found[each.name] = Seen(
                name=each.name, title=each.title, fact=fact, container=each.container
            )
    return list(found.values())


def container() -> str:
    """Return the name of the container that this is, as hints want it; empty if none is seen."""
    named = next((each.name for each in find_environments() if each.container), "")
    return named or os.environ.get("container", "")  # noqa: SIM112 - set so by container managers
