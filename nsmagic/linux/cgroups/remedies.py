"""What to say and what to type where no place has the controllers that limits need."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from nsmagic.linux.cgroups.candidates import PLAIN, SYSTEMD, Candidate
from nsmagic.linux.cgroups.hierarchies import Hierarchies, words
from nsmagic.linux.environment import container
from nsmagic.wish.errors import CgroupError
from nsmagic.wish.limits import Row

_DELEGATED: Final = "systemd-run --user --scope -p Delegate=yes jupyter lab"
_SYSTEMD: Final = Path("/run/systemd/system")  # sd_booted(3)
_ON_V1: Final = {"io": "blkio"}
_DOCKER: Final = (
    "docker run --privileged --cgroupns=private ...   (or, from Docker 28 on, "
    "--security-opt writable-cgroups=true)"
)


def no_place(
    rows: Sequence[Row], needed: frozenset[str], hierarchies: Hierarchies,
    tried: Sequence[Candidate], missing: Mapping[str, str],
) -> CgroupError:  # fmt: skip
    """Return the error that names what is missing, why at each place, and what to type."""
    if not Path("/proc/self").exists():
        return CgroupError(
            "no cgroup can be made: where they are mounted is not known without /proc",
            hint="As root: mount -t proc proc /proc",
        )
    if hierarchies.verdict == "none":
        return CgroupError(
            "no cgroup can be made: no cgroup file system is mounted here",
            hint="As root: mount -t cgroup2 none /sys/fs/cgroup",
        )
    if not rows:
        readonly = [f"{path} is mounted read-only" for path in _readonly(hierarchies)]
        return CgroupError(
            "no cgroup can be made here",
            hint="\n".join(dict.fromkeys([*readonly, *_why(tried, needed), *_fix(tried, needed)])),
        )
    keys = [row.key for row in rows if row.v2 is not None and row.v2.controller in needed]
    plural = "controllers" if len(needed) > 1 else "controller"
    verb = "need" if len(keys) > 1 else "needs"
    return CgroupError(
        f"{_and(keys)} {verb} a cgroup with the {plural} {_and(sorted(needed))}, and none can be "
        "made here",
        hint="\n".join(_explained(needed, hierarchies, tried, missing)),
    )


def _container() -> str:
    """Return how to start the container so that its cgroups may be written."""
    if container() == "profile":
        return (
            "This kernel is in a box with --profile, where cgroups are read-only: limit it whole, "
            'nsmagic kernel isolate ... --cgroup "mem=512M", or take a kernel without'
        )
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return (
            "Start the pod with: securityContext: {privileged: true}.  On a public service such as "
            "mybinder.org only its owner can change it"
        )
    return f"Start the container with: {_DOCKER}"


def _readonly(hierarchies: Hierarchies) -> list[Path]:
    return [each.point for each in hierarchies.v1 if each.readonly]


def _explained(
    needed: frozenset[str], hierarchies: Hierarchies, tried: Sequence[Candidate],
    missing: Mapping[str, str],
) -> list[str]:  # fmt: skip
    """Return why, for each version that has the controllers, and what to type for it."""
    on_v2 = hierarchies.v2.controllers if hierarchies.v2 is not None else frozenset[str]()
    v1 = {name: missing[alias] for name in needed if (alias := _ON_V1.get(name, name)) in missing}
    lines = [f"cgroup v1 {_ON_V1.get(name, name)}: {why}" for name, why in sorted(v1.items())]
    if none := needed - on_v2 - v1.keys():
        return [f"This Linux has no controller {_and(sorted(none))}: see /proc/cgroups"]
    if needed & on_v2:
        return [*lines, *_why(tried, needed), *_fix(tried, needed)]
    if any("read-only" in why for why in v1.values()) or container() == "profile":
        return [*lines, _container()]
    return [*lines, *_fix_v1(frozenset(_ON_V1.get(name, name) for name in v1), hierarchies)]


def missing_controller(row: Row, missing: Mapping[str, str]) -> CgroupError:
    """Return the error for a limit that groups made here cannot have, whatever the place."""
    if row.v2 is None and row.v1 is not None:
        name = row.v1.controller
        why = missing.get(name, "this Linux has no such controller mounted")
        mount = (
            f"mkdir /sys/fs/cgroup/{name} && mount -t cgroup -o {name} {name} /sys/fs/cgroup/{name}"
        )
        fix = f"\nTo have it on cgroup v1, as root: {mount}" if "not mounted" in why else ""
        return CgroupError(
            f"{row.key} needs the {name} controller of cgroup v1: {why}",
            hint=f"{row.instead[:1].upper()}{row.instead[1:]}.{fix}",
        )
    if row.v2 is not None and row.v1 is None:
        return CgroupError(
            f"{row.key} exists on cgroup v2 only, and this machine has the {row.v2.controller} "
            "controller on v1",
            hint=f"{row.instead[:1].upper()}{row.instead[1:]}.",
        )
    side = row.v2 or row.v1
    name = "" if side is None else side.controller
    return CgroupError(
        f"{row.key} needs the {name} controller, which this group has not: "
        f"{missing.get(name, 'Linux has none')}",
        hint="%cgroup controllers shows what groups here can have.",
    )


def _why(tried: Sequence[Candidate], needed: frozenset[str]) -> list[str]:
    lines = []
    for candidate in tried:
        if candidate.refusal:
            lines.append(candidate.refusal)
        elif lacks := sorted(needed - candidate.controllers):
            lines.append(f"{candidate.directory} has no {_and(lacks)} for the groups in it")
    return list(dict.fromkeys(lines))


def _fix_v1(needed: frozenset[str], hierarchies: Hierarchies) -> list[str]:
    """Return how root gives an ordinary user groups of cgroup v1."""
    if os.geteuid() == 0:
        return []
    mounts = [each for each in hierarchies.v1 if each.controllers & needed]
    user = os.environ.get("USER") or str(os.geteuid())
    names = [f"{each.point}/lab-{user}" for each in mounts]
    return [
        f"Root can give you groups: mkdir {' '.join(names)} && chown {user} {' '.join(names)}",
        f"Start the notebook then with: NSMAGIC_CGROUP={':'.join(names)} jupyter lab",
    ]


def _fix(tried: Sequence[Candidate], needed: frozenset[str]) -> list[str]:
    if any("read-only" in candidate.refusal for candidate in tried):
        return [_container()]
    if os.geteuid() != 0:
        return [_for_a_user(tried)]
    for candidate in (each for each in tried if not each.refusal):
        if needed <= words(candidate.directory / "cgroup.controllers"):
            return _switched_on(candidate, needed)
    return ["Or name a group of your own: NSMAGIC_CGROUP=/sys/fs/cgroup/..."] if tried else []


def _for_a_user(tried: Sequence[Candidate]) -> str:
    """Return what an ordinary user, or root for that user, types to have groups."""
    manager = next((each for each in tried if each.kind == SYSTEMD), None)
    if manager is not None and not manager.refusal:
        folder = "/etc/systemd/system/user@.service.d"
        lines = r"printf '[Service]\nDelegate=yes\n'"
        return (
            "systemd gives its users only some controllers; to have all, log out and in again "
            f"after: sudo mkdir -p {folder} && {lines} | sudo tee {folder}/nsmagic.conf && "
            "sudo systemctl daemon-reload"
        )
    if manager is not None and manager.directory.name.endswith(".service"):
        return (
            f"Whoever runs {manager.directory.name} can add to it: Delegate=yes and "
            "DelegateSubgroup=notebook (systemd 254)"
        )
    if manager is not None or _SYSTEMD.exists():
        return f"Start the notebook with: {_DELEGATED}"
    top = tried[-1].directory if tried else Path("/sys/fs/cgroup")
    user = os.environ.get("USER") or str(os.geteuid())
    return f"Start the notebook with: sudo sh -c {shlex.quote(_given(top, user))}"


def _given(top: Path, user: str) -> str:
    """Return what root types to start a notebook in a group that is given to an ordinary user."""
    switch = "for c in $(cat cgroup.controllers); do echo +$c > cgroup.subtree_control; done"
    return (
        f"cd {top} && mkdir -p lab/notebook && {switch}; chown -R {user} lab; "
        f'echo $$ > lab/notebook/cgroup.procs; exec su {user} -c "jupyter lab"'
    )


def _switched_on(candidate: Candidate, needed: frozenset[str]) -> list[str]:
    """Return how root gives controllers to the groups in a directory that is not ours to change."""
    directory = candidate.directory
    plus = " ".join(f"+{name}" for name in sorted(needed))
    switch = f"echo '{plus}' > {directory}/cgroup.subtree_control"
    others = "It belongs to others too, so this is yours to decide; type:"
    if candidate.kind != PLAIN:
        return [f"{others} {switch}"]
    # cgroups(7), "no internal processes": whoever is in it has to go to a leaf first.
    leaf = f"{directory}/leaf"
    # The cat in it is listed, too, and gone when its turn comes.
    one = f"echo $p > {leaf}/cgroup.procs 2>/dev/null || :"
    move = f"for p in $(cat {directory}/cgroup.procs); do {one}; done"
    return [f"{others} mkdir {leaf}; {move}; {switch}"]


def _and(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
