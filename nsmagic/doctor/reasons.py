"""Why a trial failed that is no step of a plan; the steps have `nsmagic.wish.hints`."""

from __future__ import annotations

import errno
from typing import Final

from nsmagic.doctor.packages import install
from nsmagic.wish.circumstances import Circumstances
from nsmagic.wish.hints import HINTS
from nsmagic.wish.refusal import ADD_USER, Hint, Refusal, hint

_UNTOLD: Final = "Linux gave no further reason; {manual} lists what {name} can mean."

_MOUNTED: Final = (
    hint((), "EPERM EACCES", "A seccomp filter is on this process, most probably it forbids "
         "mount(2), as Docker's does.", "{f.start}", when=lambda r: r.facts.seccomp),
    hint((), "EPERM", "Mounting needs CAP_SYS_ADMIN, which this notebook lacks.", ADD_USER,
         when=lambda r: "user" not in r.types and r.facts.lacks("CAP_SYS_ADMIN")),
)  # fmt: skip
_OVERLAY: Final = (
    hint((), "EPERM", "Linux mounts overlays in a user namespace since 5.11; this one is "
         "{f.linux[0]}.{f.linux[1]}.", "fuse-overlayfs does it without Linux's help.",
         when=lambda r: "user" in r.types and (0, 0) < r.facts.linux < (5, 11)),
    hint((), "ENODEV", "This Linux has no overlay file system, or its module is not loaded.",
         "sudo modprobe overlay"),
    *_MOUNTED,
)  # fmt: skip
_LINKED: Final = (
    hint((), "EOPNOTSUPP EPROTONOSUPPORT ENOENT EAFNOSUPPORT", "The module that makes it is not "
         "loaded, and only root outside of every container loads one.",
         "sudo modprobe veth bridge nf_tables nft_chain_nat nft_masq"),
    hint((), "EPERM", "A network namespace obeys only who has CAP_NET_ADMIN in its user namespace.",
         ADD_USER, when=lambda r: "user" not in r.types),
)  # fmt: skip
_PSI: Final = (
    hint((), "ENOENT", "This Linux was built without pressure stall information, or hides it.",
         "On a machine of yours: a Linux with CONFIG_PSI=y, 4.20 or later"),
    hint((), "EOPNOTSUPP", "Pressure stall information is switched off.",
         "Boot with psi=1: add it to GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub"),
)  # fmt: skip
_KVM: Final = (
    hint((), "ENOENT ENXIO ENODEV", "The processor's virtualisation is not offered here: a "
         "container was not given it, or a virtual machine does not nest.",
         "docker run --device /dev/kvm ..., or nested virtualisation in the settings of the "
         "virtual machine"),
    hint((), "EACCES EPERM", "/dev/kvm is there, and not for you.",
         "sudo usermod -aG kvm $(id -un)   and log in anew"),
)  # fmt: skip
_ROWS: Final[dict[str, tuple[Hint, ...]]] = {
    "tmpfs": _MOUNTED,
    "bind": _MOUNTED,
    "overlay": _OVERLAY,
    "pivot_root": (
        hint((), "EINVAL", "The root of this place is no mount that can be exchanged (a chroot, "
             "or the first file system of the boot).", "chroot(2) works in its stead."),
        *_MOUNTED,
    ),
    "chroot": (
        hint((), "EPERM", "chroot(2) needs CAP_SYS_CHROOT, which this notebook lacks.", ADD_USER,
             when=lambda r: "user" not in r.types and r.facts.lacks("CAP_SYS_CHROOT")),
        hint((), "EPERM", "A seccomp filter is on this process, most probably it forbids "
             "chroot(2).", "{f.start}", when=lambda r: r.facts.seccomp),
    ),
    "uts": (
        hint((), "EPERM", "A seccomp filter is on this process, most probably it forbids "
             "sethostname(2), as Docker's does.", "{f.start}", when=lambda r: r.facts.seccomp),
    ),
    "veth": _LINKED,
    "bridge": _LINKED,
    "nft": _LINKED,
    "psi": _PSI,
    "kvm": _KVM,
    "seccomp": (
        hint((), "EINVAL ENOSYS", "This Linux has no seccomp filters (CONFIG_SECCOMP_FILTER)."),
    ),
    "strace": (
        hint((), "EPERM", "Tracing is forbidden here: by a seccomp filter before Linux 4.8, or by "
             "Yama's ptrace_scope.", "docker run --cap-add SYS_PTRACE ..., or: "
             "sudo sysctl -w kernel.yama.ptrace_scope=1"),
    ),
}  # fmt: skip
_MANUALS: Final = {
    "overlay": "mount(2)", "tmpfs": "mount(2)", "bind": "mount(2)", "veth": "veth(4)",
    "bridge": "rtnetlink(7)", "nft": "netlink(7)", "kvm": "Linux's api.rst on KVM",
    "psi": "Linux's accounting/psi", "seccomp": "seccomp(2)", "strace": "ptrace(2)",
}  # fmt: skip


def explain(name: str, number: int, facts: Circumstances, *, program: str = "") -> tuple[str, str]:
    """Return why the trial `name` failed with errno `number`, and what to type (may be empty)."""
    if program and number == errno.ENOENT:
        return f"{program} is not installed, or not in PATH.", install(program)
    refusal = Refusal(step=None, number=number, facts=facts)
    everywhere = (row for row in HINTS if not row.steps)
    for row in (*everywhere, *_ROWS.get(name, ())):
        if row.fits(refusal):
            why, _, fix = row.text(refusal).partition("\n")
            return why, fix
    manual = _MANUALS.get(name, "errno(3)")
    named = errno.errorcode.get(number, str(number))
    return _UNTOLD.format(manual=manual, name=named), ""
