"""Kernelspecs: `nsmagic kernel install|isolate|remove`, each a function that returns what it did.

A kernelspec is a directory with kernel.json and logos in one of Jupyter's data directories, see
https://jupyter-client.readthedocs.io/en/stable/kernels.html#kernel-specs.
"""

from __future__ import annotations

import json
import re
import shutil
import site
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel

from nsmagic.notebook.boxing import MODULE, Boxing
from nsmagic.notebook.meeting import example_file
from nsmagic.wish import steps
from nsmagic.wish.errors import NsmagicError, WishError
from nsmagic.wish.plan import Plan

LAB: Final = "nsmagic"
PROVISIONER: Final = "nsmagic-provisioner"
_PROVISIONER_KEY: Final = "kernel_provisioner"
_NO_DEBUGGER: Final = (
    "Jupyter's debugger is off in it: it talks over lo, which is down in a new network namespace"
)
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_PLACE: Final = re.compile(r"\{(resource_dir|prefix)\}")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where to install: for this `user`, below a `prefix`, or for the whole machine (neither)."""

    user: bool = False
    prefix: str | None = None


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A kernelspec that was written: its `name`, its `directory`, and what there is to say."""

    name: str
    directory: Path
    notes: tuple[str, ...] = ()


def usual_place() -> Place:
    """Return where to install unless told: in the virtual environment, else for this user."""
    return Place(prefix=sys.prefix) if sys.prefix != sys.base_prefix else Place(user=True)


def install_lab(place: Place, *, name: str = LAB, display_name: str | None = None) -> Installed:
    """Install "Container Lab (Python)" with this Python, for Jupyters of other environments."""
    source = _shipped()
    spec = json.loads((source / "kernel.json").read_text())
    spec["argv"][0] = sys.executable
    spec["display_name"] = display_name or spec["display_name"]
    _refuse_foreign(name, is_lab)
    return _write(spec, source, name, place)


def isolate(
    base: str, boxing: Boxing, place: Place, *, display_name: str | None = None,
    replacing: bool = False, provisioned: bool = True,
) -> Installed:  # fmt: skip
    """Write a kernelspec that runs the kernel `base` whole inside a box.

    Raises WishError where the box makes no sense, or where there is a kernel of that name already,
    unless it is in a box of ours and `replacing`.  Not `provisioned`, it works in Jupyters that do
    not have nsmagic in their own environment; it is then reached by TCP ports on 127.0.0.1.
    """
    if not boxing.lines() and boxing.root is None and boxing.profile is None:
        raise WishError(
            "a box without walls: nothing says how the kernel is to be isolated",
            hint='For example --profile hardened, or --unshare "--pid --mount-proc --net".',
        )
    old = spec_of(base)
    _refuse_base(base, old)
    boxing = replace(boxing, name=boxing.name.lower())  # as Jupyter writes names
    _refuse_foreign(boxing.name, lambda spec: replacing and is_boxed(spec))
    command = _command(old, other_root=boxing.root is not None)
    plan = boxing.plan(command)
    spec = {
        **old.to_dict(),
        "argv": boxing.argv(sys.executable, command),
        "display_name": display_name or f"{boxing.name}: {old.display_name}",
        "metadata": _metadata(old.metadata, plan, provisioned),
    }
    written = _write(spec, Path(old.resource_dir), boxing.name, place)
    off = old.metadata.get("debugger") and not spec["metadata"]["debugger"]
    return replace(written, notes=(*plan.notes, *([_NO_DEBUGGER] if off else [])))


def plan_of(base: str, boxing: Boxing) -> Plan:
    """Return the plan by which `base` would get into the box at each start; WishError."""
    spec = spec_of(base)
    _refuse_base(base, spec)
    command = _command(spec, other_root=boxing.root is not None)
    file = example_file(boxing.root)
    inside = [word.replace("{connection_file}", file) for word in command]
    return boxing.plan(inside, meeting=str(Path(file).parent))


def remove(name: str) -> Path:
    """Remove a kernelspec of ours; WishError if it is not one, OSError if it may not be removed."""
    spec = spec_of(name)
    if not is_lab(spec) and not is_boxed(spec):
        raise WishError(
            f"{name} is not a kernel of nsmagic: {spec.resource_dir}",
            hint=f"jupyter kernelspec remove {name} removes it all the same.",
        )
    if is_lab(spec) and Path(spec.resource_dir).samefile(_shipped()):
        raise WishError(
            f"the kernel {name} belongs to the installed nsmagic: {spec.resource_dir}",
            hint="pip uninstall nsmagic removes both.",
        )
    shutil.rmtree(spec.resource_dir)
    return Path(spec.resource_dir)


def is_lab(spec: KernelSpec) -> bool:
    """Whether it is "Container Lab (Python)", not in a box."""
    return not is_boxed(spec) and any(
        word.endswith("=nsmagic.notebook.kernel.ContainerLabKernel") for word in spec.argv
    )


def is_boxed(spec: KernelSpec) -> bool:
    """Whether `isolate` wrote it."""
    return MODULE in spec.argv


def _shipped() -> Path:
    """Return our own kernelspec's directory, where pip installed it."""
    roots = dict.fromkeys((sysconfig.get_path("data"), sys.prefix, site.getuserbase()))
    places = [Path(root, "share", "jupyter", "kernels", LAB) for root in roots]
    for place in places:
        if (place / "kernel.json").exists():
            return place
    raise NsmagicError(
        f"nsmagic's own kernelspec is not in {', '.join(map(str, places))}",
        hint="Install nsmagic again: pip install --force-reinstall --no-deps nsmagic",
    )


def spec_of(name: str) -> KernelSpec:
    """Return a kernelspec by its name; WishError if there is none."""
    manager = KernelSpecManager()
    try:
        return manager.get_kernel_spec(name)
    except (NoSuchKernel, ValueError):
        there = ", ".join(sorted(manager.find_kernel_specs())) or "none"
        raise WishError(f"there is no kernel {name!r}", hint=f"There is: {there}.") from None


def _refuse_base(base: str, spec: KernelSpec) -> None:
    provisioner = spec.metadata.get(_PROVISIONER_KEY, {}).get("provisioner_name")
    if is_boxed(spec):
        raise WishError(
            f"the kernel {base} is in a box already", hint="Isolate the one that it runs."
        )
    if provisioner not in {None, "local-provisioner"}:
        raise WishError(
            f"the kernel {base} is no program that is started here: {provisioner} provides it"
        )


def _refuse_foreign(name: str, may_replace: Callable[[KernelSpec], bool]) -> None:
    """Raise WishError if the name is bad, or taken by a kernel that we must not hide or replace."""
    if not _NAME.fullmatch(name):
        raise WishError(f"{name!r} is no name for a kernel: letters, digits, '.', '_' and '-' are")
    try:
        spec = KernelSpecManager().get_kernel_spec(name.lower())
    except NoSuchKernel:
        return
    if not may_replace(spec):
        hint = "Add --replace, or choose another --name." if is_boxed(spec) else ""
        raise WishError(
            f"there is a kernel {name} already: {spec.resource_dir}",
            hint=hint or "Choose another --name.",
        )


def _command(spec: KernelSpec, *, other_root: bool) -> list[str]:
    """Return a kernel's argv as Jupyter would run it here, or in another root, which has its own.

    There as here `python` is a Python that can be found; `{connection_file}` stays to be filled in.
    """
    places = {"resource_dir": spec.resource_dir, "prefix": sys.prefix}
    words = [_PLACE.sub(lambda found: places[found[1]], word) for word in spec.argv]
    if words[0] in {"python", "python3", f"python3.{sys.version_info.minor}"}:
        words[0] = "python3" if other_root else sys.executable
    return words


def _metadata(old: Mapping[str, Any], plan: Plan, provisioned: bool) -> dict[str, Any]:
    new = {name: value for name, value in old.items() if name != _PROVISIONER_KEY}
    if provisioned:
        new[_PROVISIONER_KEY] = {"provisioner_name": PROVISIONER, "config": {}}
    reached = any(isinstance(step, steps.LinkUp) for step in plan.steps)
    if "net" in plan.isolation.namespaces and not reached and new.get("debugger"):
        new["debugger"] = False  # JupyterLab then greys its button out
    return new


def _write(spec: Mapping[str, Any], resources: Path, name: str, place: Place) -> Installed:
    with tempfile.TemporaryDirectory(prefix="nsmagic-") as folder:
        for file in resources.glob("logo-*"):
            shutil.copy(file, folder)
        (Path(folder) / "kernel.json").write_text(json.dumps(spec, indent=2) + "\n")
        # The modes are copied too, and others must be able to read the whole machine's.
        Path(folder).chmod(0o755)
        for file in Path(folder).iterdir():
            file.chmod(0o644)
        directory = KernelSpecManager().install_kernel_spec(
            folder, kernel_name=name, user=place.user, prefix=place.prefix
        )
    return Installed(name=name.lower(), directory=Path(directory))
