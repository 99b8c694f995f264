"""What was true where Linux refused a step: facts that explain a refusal, and never predict one."""

from __future__ import annotations

from dataclasses import dataclass, field

from nsmagic.wish.capabilities import has
from nsmagic.wish.idmaps import Range
from nsmagic.wish.missing import Missing
from nsmagic.wish.plan import Plan

_DOCKER = "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined ..."
_START = {
    "profile": "This kernel is in a box with --profile, which forbids further ones: take a kernel "
    "without.",
    "docker": f"Start the container with: {_DOCKER}",
    "podman": "Start the container with: "
    "podman run --security-opt seccomp=unconfined --security-opt unmask=ALL ...",
    "binder": "Only Binder's operators can change that.  On a Linux machine of yours: clone the "
    "repository and type: make lab",
    "kubernetes": "The pod needs: securityContext: {seccompProfile: {type: Unconfined}, "
    "procMount: Unmasked}.  On a public service such as mybinder.org only its owner can change it.",
    "gvisor": "gVisor is a Linux of its own and has what it has; start the container with "
    "another runtime: docker run --runtime=runc ...",
    "lxc": "On its host: lxc config set NAME security.nesting true",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """The file or directory that a step names, looked up below the root that the step ran in.

    `missing` is the first part of `path` that is not there, `near` are names like it that are, and
    `closed` is the first part that may not be entered or run.  `elsewhere`: a new root does not
    have it, and this machine does.  `lacks` is what a program needs to
    be started and what is not there, `foreign` the machine that it was built for, if not this one.
    `mount` is where the file system of `path` is mounted.
    """

    path: str
    missing: str = ""
    near: tuple[str, ...] = ()
    directory: bool = False
    closed: str = ""
    elsewhere: bool = False
    lacks: tuple[Missing, ...] = ()
    foreign: str = ""
    mount: str = "/"
    options: frozenset[str] = frozenset()
    shared: bool = False


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """Facts about this process and machine, read by `nsmagic.linux.circumstances`.

    What could not be read has its default, which explains nothing.  `plan` is what was under way,
    `place` what its step named.  `capabilities` are the effective ones of the notebook.
    `unshare_filtered`: even unshare(0), which does nothing, is refused.  `user_namespaces_off`:
    Debian's kernel.unprivileged_userns_clone is 0.  `apparmor`: Ubuntu's restriction is on.
    `nested`: in a user namespace that is not the initial one.  `pid_moved`: the notebook's children
    go into another PID namespace than its own.  `pid_outer`: its own PID namespace belongs to a
    user namespace further out.  `limits` holds /proc/sys/user/max_*_namespaces by namespace,
    `known` the namespaces that this Linux has, `covers` the mount points inside /proc, `clocks`
    monotonic and boottime in seconds as the initial time namespace counts them.
    `no_namespace` is a file to be entered that is none, `wrong_type` one of another type.
    `dumpable`: not after a change of ids, prctl(2).  `processes` and `files` are RLIMIT_NPROC and
    RLIMIT_NOFILE.
    """

    plan: Plan | None = None
    place: Place | None = None
    uid: int = 0
    ids_mapped: bool = True
    dumpable: bool = True
    capabilities: int = (1 << 41) - 1
    seccomp: bool = False
    unshare_filtered: bool = False
    no_new_privs: bool = False
    container: str = ""
    chrooted: bool = False
    user_namespaces_off: bool = False
    apparmor: bool = False
    nested: bool = False
    pid_levels: int = 1
    pid_moved: bool = False
    pid_outer: bool = False
    linux: tuple[int, int] = (0, 0)
    known: frozenset[str] = frozenset()
    limits: dict[str, int] = field(default_factory=dict)
    proc: bool = True
    root_is_mount: bool = True
    covers: tuple[str, ...] = ()
    clocks: dict[str, int] = field(default_factory=dict)
    granted: tuple[Range, ...] = ()
    helper: str = ""
    helper_privileged: bool = True
    no_namespace: str = ""
    wrong_type: str = ""
    processes: str = ""
    files: str = ""

    def lacks(self, *capabilities: str) -> bool:
        """Return whether the notebook's process lacks one of the capabilities (CAP_...)."""
        return any(not has(self.capabilities, name) for name in capabilities)

    @property
    def start(self) -> str:
        """How to start what the notebook runs in, so that it allows namespaces."""
        return _START.get(self.container, f"In Docker: {_DOCKER}")
