"""Between a line of unshare(1) and an Isolation: reading, settling, and writing back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Option, split_line
from nsmagic.wish.isolation import Isolation
from nsmagic.wish.namespaces import NAMESPACES
from nsmagic.wish.options import BINFMT_MISC, PROC, UNSHARE
from nsmagic.wish.ours import Ours, parse
from nsmagic.wish.profiles import PROFILES
from nsmagic.wish.values import Names

# Options that create namespaces by themselves, each with its sentence in unshare(1):
_IMPLIED_NAMESPACES: tuple[tuple[str, frozenset[str]], ...] = (
    ("mount_proc", frozenset({"mnt"})),  # "It also implies creating a new mount namespace"
    ("mount_binfmt", frozenset({"mnt", "user"})),  # "(implies --user and --mount)", in --help
    ("map_user", frozenset({"user"})),  # "This option implies --user", so too the next seven
    ("map_group", frozenset({"user"})),
    ("map_root_user", frozenset({"user"})),
    ("map_current_user", frozenset({"user"})),
    ("map_users", frozenset({"user"})),
    ("map_groups", frozenset({"user"})),
    ("owner", frozenset({"user"})),
)


def unshare_wish(
    line: str | Sequence[str], names: Names
) -> tuple[Isolation, Ours, tuple[str, ...]]:
    """Read one whole line (text or words): the settled Isolation, our options, the program.

    Raises WishError.  A line that asks for --help or --version is not settled, as in the program.
    """
    wish, ours, program = read_unshare(line, names)
    return (wish if ours.help or ours.version else settle(wish)), ours, program


def read_unshare(
    line: str | Sequence[str], names: Names
) -> tuple[Isolation, Ours, tuple[str, ...]]:
    """Read one line of a stack, to be united with others and then settled.  Raises WishError."""
    words = split_line(line) if isinstance(line, str) else line
    parsed = parse(UNSHARE, words, names)
    return Isolation(**parsed.values), parsed.ours, parsed.program


def settle(wish: Isolation) -> Isolation:
    """Return the wish with all that unshare(1) itself implies; settling twice changes nothing.

    Raises WishError where options exclude each other or one lacks another.
    """
    if wish.load_interp is not None and wish.mount_binfmt is None:  # "(implies --mount-binfmt)"
        wish = replace(wish, mount_binfmt=BINFMT_MISC, mount_proc=wish.mount_proc or PROC)
    if wish.profile is not None:
        wish = _with_profile(wish, wish.profile)
    namespaces = wish.namespaces | {name for name, _ in wish.persist}
    for field, implied in _IMPLIED_NAMESPACES:
        if _asked(getattr(wish, field)):
            namespaces |= implied
    settled = replace(
        wish,
        namespaces=namespaces,
        # --kill-child and --forward-signals: "This option implies --fork"
        fork=wish.fork or wish.kill_child is not None or wish.forward_signals,
        # --whitelist-env: "Clear all environment variables except for those specified"
        clear_env=wish.clear_env or bool(wish.whitelist_env),
        setgroups="deny" if _must_deny_setgroups(wish) else wish.setgroups,
    )
    _refuse_contradictions(settled, asked=wish)
    return settled


def _with_profile(wish: Isolation, name: str) -> Isolation:
    if name not in PROFILES:
        raise WishError(f"there is no profile {name!r}", hint=f"There is: {', '.join(PROFILES)}.")
    if wish.propagation in {"shared", "unchanged"}:
        raise WishError(
            f"--propagation={wish.propagation} and --profile exclude each other: "
            "the mounts of a profile must not get out of the box"
        )
    if wish.keep_caps:
        raise WishError("--keep-caps and --profile exclude each other: a profile drops them")
    namespaces = wish.namespaces | PROFILES[name].namespaces
    return replace(wish, namespaces=namespaces, mount_proc=wish.mount_proc or PROC)


def _asked(value: object) -> bool:
    return value is not None and value is not False and value != ()  # 0 is an id like any other


def _must_deny_setgroups(wish: Isolation) -> bool:
    """Return whether one group is mapped, which "implies --setgroups=deny".

    unshare.c does so only where the program writes gid_map itself: not with ranges, and not with
    --owner, where a child outside the namespace writes it.
    """
    one_group = wish.map_group is not None or wish.map_root_user or wish.map_current_user
    return one_group and not wish.map_groups and wish.owner is None


def _refuse_contradictions(wish: Isolation, *, asked: Isolation) -> None:
    if wish.map_root_user and wish.map_current_user:
        raise WishError("unshare: --map-root-user and --map-current-user exclude each other")
    if wish.userspec and (wish.setuid is not None or wish.setgid is not None):
        raise WishError(
            "--userspec of chroot excludes --setuid and --setgid of unshare: each says who to be"
        )
    if asked.setgroups == "allow" and wish.setgroups == "deny":
        raise WishError(
            "unshare: --setgroups=allow and --map-group exclude each other",
            hint="-r and -c map a group too; --map-groups=inner:outer:count may come with allow",
        )
    for name in ("monotonic", "boottime"):
        if getattr(wish, name) is not None and "time" not in wish.namespaces:
            raise WishError(f"unshare: --{name} needs a time namespace: add --time")


def to_argv(wish: Isolation) -> list[str]:
    """Return the words after `unshare` that ask for this wish, every value attached with `=`.

    `unshare_wish` reads a settled wish back as it was.  The --setgroups=deny that a mapped group
    implies is left out: unshare(1) would write it twice, and Linux answers the second with EPERM,
    because gid_map is written by then.
    """
    if _must_deny_setgroups(wish):
        wish = replace(wish, setgroups=None)
    return [word for option in UNSHARE.options for word in _words(option, wish)]


def _words(option: Option, wish: Isolation) -> list[str]:
    if option.field == "namespaces":
        return _namespace_words(option, wish)
    # --help and --map-auto fill no field of their own.
    value: Any = getattr(wish, option.field, None)
    if not _asked(value):
        return []
    if option.kind is None:
        return [f"--{option.name}"]
    each = list(value) if option.repeats else [value]
    return [f"--{option.name}={option.kind.show(item)}" for item in each]


def _namespace_words(option: Option, wish: Isolation) -> list[str]:
    name = next(row.name for row in NAMESPACES if row.option == option.name)
    for kept, path in wish.persist:
        if kept == name:
            return [f"--{option.name}={path}"]
    return [f"--{option.name}"] if name in wish.namespaces else []
