"""The one table of capabilities(7): names by number."""

from __future__ import annotations

from typing import Final

# In the order of <linux/capability.h>, whose numbers start at 0.
CAPABILITIES: Final = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid",
    "setpcap", "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw",
    "ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct",
    "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod",
    "lease", "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog",
    "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf", "checkpoint_restore",
)  # fmt: skip
NUMBERS: Final = {f"CAP_{name.upper()}": number for number, name in enumerate(CAPABILITIES)}


def has(mask: int, name: str) -> bool:
    """Whether a set, as proc_pid_status(5) shows it, holds a capability such as CAP_SYS_ADMIN."""
    return bool(mask >> NUMBERS[name] & 1)


def names_of(mask: int) -> frozenset[str]:
    """Return the names in a set, such as `sys_admin`; a number where Linux is newer than we are."""
    return frozenset(
        CAPABILITIES[bit] if bit < len(CAPABILITIES) else str(bit)
        for bit in range(64)
        if mask >> bit & 1
    )
