from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsmagic.notebook.publishers import dim
from nsmagic.notebook.tables import Cell, Column, Table
from nsmagic.widgets.colours import colour

LONG = "unshare --mount --net --pid --propagation=unchanged bash"
SMALL = Table(
    columns=(Column(title="pid", numeric=True), Column(title="command", mono=True)),
    rows=(("1", "bash"), ("12345", Cell(text="sleep 1", tone="dim"))),
)


class Reader(HTMLParser):
    """Collects the texts of elements by tag, and what classes they have."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self.classes: dict[str, str] = {}
        self.tips: list[str] = []
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tips += [found["title"] or ""] if "title" in found else []
        if tag in {"td", "th", "style", "div"}:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")
            self._class = found.get("class") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th", "style", "div"}:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open[-1]][-1] += data
            self.classes[self.texts[self._open[-1]][-1]] = self._class


def test_text_aligns_columns_and_rules_off_the_titles() -> None:
    assert SMALL.text() == (
        "  pid  command\n"
        "─────  ───────\n"
        "    1  bash\n"
        "12345  sleep 1"
    )  # fmt: skip


def test_lines_above_stand_apart() -> None:
    table = Table(columns=(Column(title="a"),), rows=(("1",),), above=("about", Cell(text="it")))
    assert table.text().splitlines() == ["about", "it", "", "a", "─", "1"]


def test_long_cells_are_wrapped_at_spaces_and_the_others_keep_their_place() -> None:
    table = Table(columns=SMALL.columns, rows=(("1", LONG), ("2", "true")))
    assert table.text(30).splitlines() == [
        "pid  command",
        "───  ─────────────────────────",
        "  1  unshare --mount --net",
        "     --pid",
        "     --propagation=unchanged",
        "     bash",
        "  2  true",
    ]


def test_flags_break_after_a_bar_and_paths_after_a_slash() -> None:
    flags = Table(columns=(Column(title="call"),), rows=(("f(CLONE_NEWNS|CLONE_NEWPID)",),))
    assert flags.text(20).splitlines()[2:] == ["f(CLONE_NEWNS|", "CLONE_NEWPID)"]
    path = Table(columns=(Column(title="path"),), rows=(("/sys/fs/cgroup/nsmagic-1-cell",),))
    assert path.text(20).splitlines()[2:] == ["/sys/fs/cgroup/", "nsmagic-1-cell"]
    word = Table(columns=(Column(title="word"),), rows=(("x" * 25,),))
    assert word.text(20).splitlines()[2:] == ["x" * 20, "x" * 5]


def test_cells_may_have_lines() -> None:
    table = Table(columns=SMALL.columns, rows=(("1", "chroot\nchdir"),))
    assert table.text().splitlines()[2:] == ["  1  chroot", "     chdir"]
    assert Reader(table.html()).texts["td"] == ["1", "chroot\nchdir"]


def test_a_table_without_rows_has_its_titles() -> None:
    table = Table(columns=SMALL.columns, rows=())
    assert table.text() == "pid  command\n───  ───────"
    assert Reader(table.html()).texts["th"] == ["pid", "command"]


def test_a_row_of_the_wrong_length_is_refused() -> None:
    table = Table(columns=SMALL.columns, rows=(("1",),))
    for render in (table.text, table.html):
        with pytest.raises(ValueError, match="argument 2 is"):
            render()


def test_html_escapes_everything() -> None:
    hostile = "<script>alert(1)</script> \" ' &amp;"
    table = Table(
        columns=(Column(title=hostile, mono=True),),
        rows=((Cell(text=hostile, tip=hostile),),),
        above=(Cell(text=hostile, mono=True),),
    )
    page = table.html()
    assert "<script" not in page
    reader = Reader(page)
    assert reader.texts["td"] == reader.texts["th"] == [hostile]
    assert hostile in reader.texts["div"]
    assert reader.tips == [hostile]


def test_html_carries_tone_face_and_place() -> None:
    columns = (Column(title="n", numeric=True, copied=False), Column(title="c", mono=True))
    rows = ((Cell(text="EPERM", tone="bad"), Cell(text="ls", tone="dim")),)
    reader = Reader(Table(columns=columns, rows=rows).html())
    assert reader.classes["EPERM"] == "bad numeric uncopied"
    assert reader.classes["ls"] == "dim mono"


def test_a_long_path_may_be_broken_also_in_prose() -> None:
    page = Table(columns=(Column(title="why"),), rows=(("A=/sys/fs is not /yours",),)).html()
    assert "A=<wbr>/sys/<wbr>fs is not /yours" in page


def test_a_shell_line_is_no_formula() -> None:
    page = Table(columns=(Column(title="type"),), rows=(("echo $x; echo $y",),)).html()
    assert 'class="nsmagic-table mathjax_ignore tex2jax_ignore"' in page
    assert "mathjax_ignore" in dim("added $x and $y")["text/html"]


def test_options_are_not_broken_and_flags_may_be() -> None:
    page = Table(columns=(Column(title="c", mono=True),), rows=(("a --b-c A|B </c",),)).html()
    assert "a <span>--b-c</span> A|<wbr>B &lt;/<wbr>c" in page
    assert Reader(page).texts["td"] == ["a --b-c A|B </c"]


def test_colours_come_from_the_theme_with_something_to_fall_back_on() -> None:
    style = Reader(SMALL.html()).texts["style"][0]
    assert "var(--jp-error-color1, #" in style
    assert "var(--jp-content-font-color1, inherit)" in style
    # Translucent, so that it is seen on any theme's own.
    assert re.findall(r"background: ([^;]*)", style) == [
        "rgba(86, 180, 233, .28)",
        "color-mix(in srgb, var(--ns) 22%, transparent)",
    ]


def test_a_chip_has_the_colours_of_the_map_for_both_themes() -> None:
    page = Table(columns=(Column(title="net"),), rows=((Cell(text="● <7>", chip=1),),)).html()
    chip = f'<span class="chip" style="--light:{colour(1)};--dark:{colour(1, dark=True)}">'
    assert f"{chip}● &lt;7&gt;</span>" in page


@pytest.mark.parametrize("render", ["text/plain", "text/html"])
def test_what_steers_a_terminal_is_shown_and_not_sent(render: str) -> None:
    table = Table(columns=(Column(title="c"),), rows=(("a\x1b[2Jb\r\u202e",),))
    assert r"a\x1b[2Jb\r\u202e" in table.bundle()[render]
    assert "\x1b" not in table.bundle()[render]


def test_ipython_shows_both() -> None:
    assert SMALL._repr_mimebundle_(include=None) == SMALL.bundle() == {
        "text/plain": SMALL.text(100), "text/html": SMALL.html(),
    }  # fmt: skip


TEXTS = st.text(st.characters(codec="ascii", exclude_characters="\n"), max_size=90)


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=4), st.integers(80, 100))
def test_text_fits_and_loses_nothing(rows: list[tuple[str, str, str]], width: int) -> None:
    columns = tuple(Column(title=title) for title in "abc")
    lines = Table(columns=columns, rows=tuple(rows)).text(width).splitlines()
    assert max(map(len, lines)) <= width
    plain = Table(columns=columns, rows=tuple(rows)).text(10_000)
    for char in "aZ09-|/":
        assert sum(line.count(char) for line in lines) == plain.count(char)
