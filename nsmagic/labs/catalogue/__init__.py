"""The labs that come with nsmagic, and, imported when asked for, their exercises."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from nsmagic.labs.exercises import EXERCISES
from nsmagic.wish.errors import WishError
from nsmagic.wish.spelling import or_nearest


@dataclass(frozen=True, kw_only=True)
class Step:
    """One part of a lab and what it needs, by name in `nsmagic.labs.needs`."""

    title: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Lab:
    """One notebook: `name` is its file's, `minutes` what a learner takes.

    Its exercises and questions are in the module called as its second word, and in `more`.
    """

    name: str
    title: str
    minutes: int
    steps: tuple[Step, ...]
    more: tuple[str, ...] = ()

    @property
    def modules(self) -> tuple[str, ...]:
        """Where its exercises are."""
        names = (self.name.split("-")[1], *self.more)
        return tuple(f"nsmagic.labs.catalogue.{name}" for name in names)


LABS: tuple[Lab, ...] = (
    Lab(
        name="01-processes", title="What is a process?", minutes=45,
        steps=(
            Step(title="read /proc"),
            Step(title="system calls", needs=("strace",)),
            Step(title="fork, threads, exec"),
            Step(title="signals and zombies"),
        ),
    ),
    Lab(
        name="02-chroot", title="A new root directory, and four ways out of it", minutes=45,
        steps=(
            Step(title="a new root", needs=("chroot",)),
            Step(title="processes seen from the jail", needs=("chroot", "mount")),
            Step(title="four ways out", needs=("chroot", "user")),
            Step(title="pivot_root", needs=("mount",)),
        ),
    ),
    Lab(
        name="03-namespaces", title="Eight namespaces, three system calls", minutes=60,
        steps=(
            Step(title="host names and boxes", needs=("uts",)),
            Step(title="mounts", needs=("mount",)),
            Step(title="process numbers", needs=("pid",)),
            Step(title="network", needs=("net",)),
            Step(title="users", needs=("user",)),
            Step(title="time", needs=("time",)),
            Step(title="shared memory", needs=("ipc",)),
        ),
    ),
    Lab(
        name="04-network", title="A network of one's own", minutes=50,
        steps=(
            Step(title="a new network, port 5000", needs=("net", "ip", "ss")),
            Step(title="cables and bridges", needs=("veth",)),
            Step(title="masquerading", needs=("veth", "nft")),
            Step(title="one network for two", needs=("net",)),
        ),
    ),
    Lab(
        name="05-cgroups", title="Control groups: who gets how much", minutes=75,
        more=("delegation",),
        steps=(
            Step(title="the tree, and what is in it"),
            Step(title="mounting it a second time", needs=("mount",)),
            Step(title="limits, weights, the freezer", needs=("cgroups",)),
            Step(title="what a cgroup namespace hides", needs=("cgroupns",)),
            Step(title="delegation", needs=("cgroups",)),
        ),
    ),
    Lab(
        name="06-limits-live", title="What happens at the limit", minutes=80,
        more=("memory", "pressure"),
        steps=(
            Step(title="out of memory", needs=("cgroups",)),
            Step(title="memory that is no program's", needs=("cgroups", "mount")),
            Step(title="slowed down, not killed", needs=("memhigh",)),
            Step(title="throttling", needs=("cgroups",)),
            Step(title="pressure", needs=("pressure",)),
            Step(title="docker run by hand", needs=("cgroups", "pid", "uts", "ipc", "net")),
        ),
    ),
)  # fmt: skip


def load() -> None:
    """Import the exercises and questions of all labs."""
    for lab in LABS:
        for module in lab.modules:
            importlib.import_module(module)


def needs_of(lab: Lab) -> tuple[str, ...]:
    """Return what the steps and exercises of a lab need, each once."""
    load()
    needs = [need for step in lab.steps for need in step.needs]
    needs += [need for each in EXERCISES.values() if each.lab == lab.name for need in each.needs]
    return tuple(dict.fromkeys(needs))


def find_lab(name: str) -> Lab:
    """Return the lab of a name, a number or a part of it; WishError if there is none."""
    for lab in LABS:
        number, _, word = lab.name.partition("-")
        if name in (lab.name, number, number.lstrip("0"), word, f"{lab.name}.ipynb"):
            return lab
    names = [lab.name for lab in LABS]
    near = or_nearest(name, names, f"; there are {', '.join(names)}")
    raise WishError(f"lab: there is no lab called {name!r}{near}")
