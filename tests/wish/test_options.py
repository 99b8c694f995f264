"""Lines of %%unshare: what they mean, how they are refused, and how a wish becomes a line again."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsmagic.wish.chroot import CHROOT
from nsmagic.wish.complete import completions
from nsmagic.wish.errors import WishError
from nsmagic.wish.isolation import IdMap, Isolation, SubIds
from nsmagic.wish.namespaces import NAMESPACES
from nsmagic.wish.options import UNSHARE
from nsmagic.wish.ours import OURS, Ours, spelling
from nsmagic.wish.signals import SIGNALS
from nsmagic.wish.unshare import read_unshare, settle, to_argv, unshare_wish
from nsmagic.wish.usage import help_text
from nsmagic.wish.values import LARGEST_ID


class Known:
    """Two users and a group, so that no test depends on who is known to the machine."""

    def uid(self, name: str) -> int | None:
        return {"root": 0, "ada": 1815}.get(name)

    def gid(self, name: str) -> int | None:
        return {"staff": 50}.get(name)


NAMES = Known()
USER = frozenset({"user"})


def wish(line: str) -> Isolation:
    return unshare_wish(line, NAMES)[0]


def ours(line: str) -> Ours:
    return unshare_wish(line, NAMES)[1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", Isolation()),
        ("-mnp", Isolation(namespaces=frozenset({"mnt", "net", "pid"}))),
        ("--mount-proc", Isolation(namespaces=frozenset({"mnt"}), mount_proc="/proc")),
        ("--mount-proc=/p", Isolation(namespaces=frozenset({"mnt"}), mount_proc="/p")),
        ("--net=/a --net=/b --net",
         Isolation(namespaces=frozenset({"net"}), persist=(("net", "/b"),))),
        ("--uts=/u --ipc=/i",
         Isolation(namespaces=frozenset({"uts", "ipc"}), persist=(("ipc", "/i"), ("uts", "/u")))),
        ("--kill-child", Isolation(fork=True, kill_child="SIGKILL")),
        ("--forward-signals", Isolation(fork=True, forward_signals=True)),
        ("-r", Isolation(namespaces=USER, map_root_user=True, setgroups="deny")),
        ("-r -c", Isolation(namespaces=USER, map_current_user=True, setgroups="deny")),
        ("--map-user=ada", Isolation(namespaces=USER, map_user=1815)),
        ("--map-group=staff", Isolation(namespaces=USER, map_group=50, setgroups="deny")),
        ("--map-user=0 --map-user=7", Isolation(namespaces=USER, map_user=7)),
        ("--map-user=5 -r", Isolation(namespaces=USER, map_root_user=True, setgroups="deny")),
        ("-r --map-user=5",
         Isolation(namespaces=USER, map_root_user=True, map_user=5, setgroups="deny")),
        ("--map-auto", Isolation(namespaces=USER, map_users=(SubIds(which="auto"),),
                                 map_groups=(SubIds(which="auto"),))),
        ("--map-users 0:9:2 --map-users 5,6,1 --map-users all",
         Isolation(namespaces=USER, map_users=(IdMap(inner=0, outer=9, count=2),
                                               IdMap(inner=6, outer=5), SubIds(which="all")))),
        ("-r --map-groups 0:1:1", Isolation(namespaces=USER, map_root_user=True,
                                            map_groups=(IdMap(inner=0, outer=1),))),
        ("--owner 1:2 --setgroups allow -r", Isolation(
            namespaces=USER, owner=(1, 2), setgroups="allow", map_root_user=True)),
        ("--mount-binfmt=/b", Isolation(namespaces=USER | {"mnt"}, mount_binfmt="/b")),
        ("--mount-proc=/p --mount-binfmt", Isolation(
            namespaces=USER | {"mnt"}, mount_proc="/p", mount_binfmt="/proc/sys/fs/binfmt_misc")),
        ("-l :a:E::b::/c:", Isolation(
            namespaces=USER | {"mnt"}, mount_proc="/proc", load_interp=":a:E::b::/c:",
            mount_binfmt="/proc/sys/fs/binfmt_misc")),
        ("-T --monot -5 --boott=+5",
         Isolation(namespaces=frozenset({"time"}), monotonic=-5, boottime=5)),
        ("--whitelist-env A,B --wh C", Isolation(clear_env=True, whitelist_env=("A", "B", "C"))),
        ("-S 0 -G 0", Isolation(setuid=0, setgid=0)),
    ],
)  # fmt: skip
def test_line_means_what_unshare_means(line: str, expected: Isolation) -> None:
    assert wish(line) == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SIGKILL", "SIGKILL"), ("kill", "SIGKILL"), ("9", "SIGKILL"), ("sigterm", "SIGTERM"),
        ("RTMIN+3", "SIGRTMIN+3"), ("rt0", "SIGRTMIN+0"), ("SIGRTMAX-30", "SIGRTMIN+0"),
        ("64", "SIGRTMIN+30"),
    ],
)  # fmt: skip
def test_signal_names_are_those_of_unshare_and_numbers(text: str, name: str) -> None:
    assert wish(f"--kill-child={text}").kill_child == name


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-S", "-S needs a value, for example --setuid=1000"),
        ("-S ada", "-S: 'ada' is not a whole number; for example --setuid=1000"),
        ("-S -1", f"'-1' is not an id from 0 to {LARGEST_ID}"),
        ("-S 4294967295", "is not an id"),
        ("-S 1_0", "not a whole number"),
        ("-S ٣", "not a whole number"),
        (f"-S {'9' * 5000}", "not a whole number"),
        ("--map-user nobody-here", "neither a number nor the name of a user"),
        ("--map-group=", "neither a number nor the name of a group"),
        ("--map-users 1:2", "neither inner:outer:count nor auto, subids or all; for example"),
        ("--map-users 1:2:4294967296", "32 bits"),
        ("--owner 5", "is not of the form uid:gid"),
        ("--owner ada:5", "not two ids"),
        ("--setgroups no", "'no' is not one of allow, deny"),
        ("--propagation slav", "slave, shared, private, unchanged"),
        ("--kill-child=KIL", "is not a signal (nearest: SIGKILL)"),
        ("--kill-child=0", "is not a signal"),
        ("--kill-child=RTMIN", "is not a signal"),
        ("--kill-child=RTMIN+31", "is not a signal"),
        ("-T --monotonic 9223372036854775808", "does not fit in 64 bits"),
        ("-T --monotonic 1.5", "not a whole number"),
        ("--root=", "--root: '' is empty; for example"),
        ("--net=", "is empty"),
        ("--whitelist-env=,", "names no variable"),
        ("--whitelist-env=A=1", "holds a '='"),
        ("--timeout 0", "not more than zero"),
        ("--timeout nan", "not a number of seconds"),
        (f"--timeout {'9' * 400}", "too large"),
        ("--out 1x", "a Python variable"),
        ("--return x,,y", "a Python variable"),
        ("--return class", "a Python variable"),
        ("--name 12", "not a letter"),
        ("--name a/b", "not a letter"),
        ("--name host", "outside every box"),
        ("--root a\0b", "NUL"),
        ("--monotonic 5", "--monotonic needs a time namespace: add --time"),
        ("-r --setgroups allow", "--setgroups=allow and --map-group exclude each other"),
        ("--frok", "unshare has no option --frok; the nearest is --fork"),
        ("-net", "the nearest is --net"),
    ],
)
def test_bad_line_is_refused_in_one_line(line: str, message: str) -> None:
    with pytest.raises(WishError) as caught:
        unshare_wish(line, NAMES)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_own_options_go_with_the_programs() -> None:
    assert ours("") == Ours()
    line = "-p --bg --name web --timeout 2.5 --return a --return b,c --no-raise-error --dry-run"
    assert ours(line) == Ours(
        bg=True, name="web", timeout=2.5, returns=("a", "b", "c"), raise_error=False, dry_run=True
    )
    assert unshare_wish("--tty -- sh -c 'a b' --bg", NAMES)[2] == ("sh", "-c", "a b", "--bg")


def test_abbreviation_of_the_program_wins_over_ours() -> None:
    assert wish("--n").namespaces == {"net"}  # not --name, not --no-raise-error
    assert wish("--tim").namespaces == {"time"}  # not --timeout
    assert ours("--nam web").name == "web"
    with pytest.raises(WishError, match="--replace, --return"):
        unshare_wish("--re", NAMES)


@pytest.mark.parametrize("line", ["-h", "--he --bogus", "--monotonic 5 --help", "-ph prog"])
def test_help_ends_the_line(line: str) -> None:
    assert ours(line) == Ours(help=True)
    assert unshare_wish(line, NAMES)[2] == ()


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("–pid", "typographic dash", "Type --pid"),
        ("-p —net bash", "typographic dash", "Type --net"),
        ("–p", "typographic dash", "Type -p"),
        ("--pid # why", "takes no comment: # why", "on a line of its own"),
    ],
)
def test_what_web_pages_make_of_a_line(line: str, message: str, hint: str) -> None:
    with pytest.raises(WishError, match=message) as refused:
        wish(line)
    assert hint in refused.value.hint


def test_a_field_of_ours_is_told_as_it_is_typed() -> None:
    ours = read_unshare("--return=a --no-raise-error --allow-pickle --bg", NAMES)[1]
    assert [spelling(field) for field in ours.given] == [
        "--bg", "--return", "--allow-pickle", "--no-raise-error"
    ]  # fmt: skip
    assert {row.field for row in OURS} == {row.name for row in fields(Ours)} - {"help", "version"}


def test_stacked_lines_settle_as_one() -> None:
    first, _, _ = read_unshare("--monotonic 5 -r", NAMES)
    second, _, _ = read_unshare("--time --map-groups=0:0:1", NAMES)
    assert settle(first.united_with(second)) == wish("-T --monotonic 5 -r --map-groups=0:0:1")
    both = read_unshare("-r", NAMES)[0].united_with(read_unshare("-c", NAMES)[0])
    with pytest.raises(WishError, match="exclude each other"):
        settle(both)


def test_tables_are_sound() -> None:
    letters = [row.short for row in UNSHARE.rows if row.short]
    assert len(set(letters)) == len(letters)
    names = {row.name for row in UNSHARE.rows}
    assert len(names) == len(UNSHARE.rows)
    assert {row.option for row in NAMESPACES} < names
    assert all(row.short is None for row in OURS)
    wished, mine = ({field.name for field in fields(kind)} for kind in (Isolation, Ours))
    filled = {row.field for row in (*UNSHARE.options, *CHROOT.options) if not row.ends}
    elsewhere = {"enter", "persist", "chroot", "cgroup", "limits", "profile"}
    assert filled - {""} == wished - elsewhere
    assert {row.field for row in UNSHARE.extra} == mine - {"help", "version"}
    for row in UNSHARE.rows:
        if row.kind is not None:
            assert row.kind.read(row.kind.example, NAMES) is not None


def test_help_shows_every_row_once_and_fits() -> None:
    text = help_text(UNSHARE)
    assert max(map(len, text.splitlines())) <= 100
    assert " -m, --mount[=<file>]      new mnt namespace" in text
    assert " -S, --setuid <uid>        set the user id" in text
    starts = [line.split("--")[1] for line in text.splitlines() if line.startswith((" -",))]
    assert len(starts) == len(UNSHARE.rows)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--prop"], {"--propagation"}),
        (["--mount"], {"--mount", "--mount-proc", "--mount-binfmt"}),
        (["--mount", "--mount"], {"--mount-proc", "--mount-binfmt"}),
        (["--map-users", "all", "--map-users"], {"--map-users"}),
        (["--propagation", "s"], {"slave", "shared"}),
        (["--propagation=s"], {"--propagation=slave", "--propagation=shared"}),
        (["--kill-child=SIGKIL"], {"--kill-child=SIGKILL"}),
        (["-r"], {"-r", *(f"-r{letter}" for letter in "muinpUCTlRwcSGf")}),
        (["-pf", "-fp"], set()),
        (["-fS"], {"-fS"}),
        (["-f", "-S", ""], set()),
        (["prog", "--"], set()),
        (["--", "--n"], set()),
        (["--root", "--", "--n"], {"--net", "--name", "--no-raise-error"}),
        (["-h", "--n"], set()),
        (["--frok", "--n"], set()),
        (["--root="], set()),
    ],
)
def test_completions_are_what_may_stand_there(words: list[str], expected: set[str]) -> None:
    assert {each.text for each in completions(UNSHARE, words)} == expected


def test_new_word_completes_to_every_long_option() -> None:
    expected = {f"--{row.name}" for row in UNSHARE.rows}
    assert {each.text for each in completions(UNSHARE, [""])} == expected
    assert completions(UNSHARE, []) == completions(UNSHARE, [""])
    assert all(each.help for each in completions(UNSHARE, ["-"]))


IDS, SHORT_TEXT = st.integers(0, LARGEST_ID), st.text(min_size=1).filter(lambda t: "\0" not in t)
LINE = st.builds(IdMap, inner=IDS, outer=IDS, count=IDS)
RANGES = st.lists(LINE | st.builds(SubIds, which=st.sampled_from(["auto", "subids", "all"])))
PERSIST = st.dictionaries(st.sampled_from([row.name for row in NAMESPACES]), SHORT_TEXT)
SECONDS = st.none() | st.integers(-(2**63), 2**63 - 1)
VARIABLES = st.lists(st.from_regex(r"[A-Z_]{1,9}", fullmatch=True))
WISHES = st.builds(
    Isolation,
    namespaces=st.frozensets(st.sampled_from([row.name for row in NAMESPACES])),
    persist=PERSIST.map(lambda kept: tuple(sorted(kept.items()))),
    kill_child=st.none() | st.sampled_from(SIGNALS),
    mount_proc=st.none() | SHORT_TEXT, mount_binfmt=st.none() | SHORT_TEXT,
    load_interp=st.none() | SHORT_TEXT, root=st.none() | SHORT_TEXT, wd=st.none() | SHORT_TEXT,
    propagation=st.none() | st.sampled_from(["slave", "shared", "private", "unchanged"]),
    map_user=st.none() | IDS, map_group=st.none() | IDS, setuid=st.none() | IDS,
    setgid=st.none() | IDS, owner=st.none() | st.tuples(IDS, IDS),
    map_users=RANGES.map(tuple), map_groups=RANGES.map(tuple), monotonic=SECONDS, boottime=SECONDS,
    setgroups=st.sampled_from([None, "deny"]), whitelist_env=VARIABLES.map(tuple),
    **{name: st.booleans() for name in (
        "fork", "forward_signals", "keep_caps", "clear_env", "map_root_user", "map_current_user")},
)  # fmt: skip


@given(WISHES)
def test_wish_survives_its_own_line(drawn: Isolation) -> None:
    possible = replace(drawn, map_current_user=drawn.map_current_user and not drawn.map_root_user)
    if (possible.monotonic, possible.boottime) != (None, None):
        possible = replace(possible, namespaces=possible.namespaces | {"time"})
    settled = settle(possible)
    assert settle(settled) == settled
    assert unshare_wish(to_argv(settled), NAMES) == (settled, Ours(), ())
