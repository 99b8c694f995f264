"""The table of %nsmagic: what it can be told to do, the settings, and how a line is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from nsmagic.wish.complete import Completion, Source
from nsmagic.wish.errors import WishError
from nsmagic.wish.getopt import Table, split_line
from nsmagic.wish.limits.sizes import read_size, show_size
from nsmagic.wish.ours import asks
from nsmagic.wish.spelling import or_nearest

_MOST_SHOWN: Final = 64 * 1024**2  # bytes: a browser that is to draw more stops answering


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting; `field` is that of `nsmagic.notebook.pacing.OutputLimits`."""

    key: str
    field: str
    meaning: str
    example: str
    read: Callable[[str], int]
    show: Callable[[int], str] = str


def _shown_size(text: str) -> int:
    size = read_size(text)
    if size is None or size > _MOST_SHOWN:
        raise ValueError(f"is more than a browser can draw; at most {show_size(_MOST_SHOWN)}")
    return size


def _rate(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        rate = read_size(text)
        if rate is None or not 0 < rate <= most:
            raise ValueError(
                f"is not from 1 to {most:,}: above that the Jupyter server drops output"
            )
        return rate

    return read


SETTINGS: Final = (
    Setting(key="output", field="head", example="2M", read=_shown_size, show=show_size,
            meaning="bytes of a cell's output that are shown before it is only counted"),
    Setting(key="tail", field="tail", example="100K", read=_shown_size, show=show_size,
            meaning="bytes of its end that are shown when it is over"),
    Setting(key="rate", field="bytes_per_s", example="500K", read=_rate(1_000_000), show=show_size,
            meaning="bytes sent to the browser in a second"),
    Setting(key="messages", field="messages_per_s", example="500", read=_rate(1_000),
            meaning="messages sent to the browser in a second"),
)  # fmt: skip
_BY_KEY: Final = {setting.key: setting for setting in SETTINGS}


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A word that `%nsmagic` obeys.

    `place` is the `module:function` below `nsmagic` that does it, with the words after the verb;
    what it returns is the cell's value.  Empty for what the magic does itself.
    """

    word: str
    operands: str
    help: str
    place: str = ""


VERBS: Final = (
    Verb(word="set", operands="[KEY=VALUE...]", help="settings of this notebook; alone lists them"),
    Verb(word="doctor", operands="", help="what works here and what does not, by trying it",
         place="notebook.doctor:doctor"),
    Verb(word="clean", operands="[--dry-run]", help="remove what kernels that died left",
         place="notebook.cleaning:clean"),
)  # fmt: skip
_WIDEST: Final = 30

NSMAGIC: Final = Table(
    program="nsmagic",
    summary="What nsmagic has, an example for each magic, and its settings.\n\n"
    + "\n".join(f" %nsmagic {f'{verb.word} {verb.operands}':<{_WIDEST}}{verb.help}"
                for verb in VERBS)
    + "\n\nSettings:\n"
    + "\n".join(f" {f'{each.key}={each.example}':<{_WIDEST // 2}}{each.meaning}"
                for each in SETTINGS),
    operands="[VERB...]",
    options=(asks("help", "h", "show this help"),),
    example="%nsmagic",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class NsmagicWish:
    """A line of %nsmagic: a verb and the words after it, or the settings to change.

    `changes` pairs fields with values; None is the value that it had at the start.
    """

    verb: Verb | None = None
    words: tuple[str, ...] = ()
    changes: tuple[tuple[str, int | None], ...] = ()
    help: bool = False


def read_nsmagic(line: str) -> NsmagicWish:
    """Read a line of %nsmagic; raises WishError."""
    words = split_line(line)
    if not words:
        return NsmagicWish()
    word, *rest = words
    if word in ("-h", "--help"):
        return NsmagicWish(help=True)
    verb = next((each for each in VERBS if each.word == word), None)
    if verb is None:
        near = or_nearest(word, [each.word for each in VERBS])
        known = ", ".join(each.word for each in VERBS)
        raise WishError(
            f"nsmagic: {word!r} is not something to do{near}",
            hint=f"%nsmagic alone shows all magics; it also knows: {known}.",
        )
    if verb.word == "set":
        return NsmagicWish(verb=verb, changes=tuple(map(_change, rest)))
    return NsmagicWish(verb=verb, words=tuple(rest))


def _change(word: str) -> tuple[str, int | None]:
    key, equals, text = word.partition("=")
    setting = _BY_KEY.get(key)
    if setting is None:
        near = or_nearest(key, _BY_KEY)
        raise WishError(
            f"nsmagic set: there is no setting {key!r}{near}",
            hint="%nsmagic set   lists the settings and their values.",
        )
    if not equals:
        raise WishError(f"nsmagic set: {key} to what?  For example {key}={setting.example}")
    if text == "default":
        return setting.field, None
    try:
        return setting.field, setting.read(text)
    except ValueError as problem:
        raise WishError(
            f"nsmagic set {key}: {text!r} {problem}; for example {key}={setting.example}, or "
            f"{key}=default"
        ) from None


def complete_nsmagic(words: Sequence[str], _: Source, *, cell: bool) -> list[Completion]:  # noqa: ARG001
    """Return what may stand in place of the last word."""
    *before, current = words or ("",)
    if not before:
        verbs = [Completion(text=each.word, help=each.help) for each in VERBS]
        verbs += [Completion(text="--help", help="show this help")] if current[:1] == "-" else []
        return [each for each in verbs if each.text.startswith(current)]
    if before == ["clean"] and "--dry-run".startswith(current):
        return [Completion(text="--dry-run", help="only say what there is")]
    return list(_settings(current)) if before[0] == "set" else []


def _settings(current: str) -> Iterator[Completion]:
    key, equals, value = current.partition("=")
    for each in SETTINGS:
        if not equals and each.key.startswith(key):
            yield Completion(text=f"{each.key}=", help=each.meaning)
        elif equals and each.key == key:
            for text in (each.example, "default"):
                if text.startswith(value):
                    yield Completion(text=f"{key}={text}", help=each.meaning, kept=len(key) + 1)
