from __future__ import annotations

import codecs
import itertools
import json
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsmagic.notebook.pacing import OutputLimits
from nsmagic.notebook.publish import CaptureOutput
from nsmagic.wish.errors import WishError
from tests.notebook.screen import Screen

LINE = b"x" * 79 + b"\n"
NOWHERE = Path("/proc/self/nowhere")  # the log of a test that stays below the caps
STREAM = st.sampled_from(["stdout", "stderr"])


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(st.text(), st.lists(st.integers(0, 10_000)), st.lists(st.floats(0, 0.1)))
def test_text_is_the_same_however_it_is_split(
    text: str, cuts: list[int], pauses: list[float]
) -> None:
    data = text.encode(errors="replace")
    screen = Screen(NOWHERE)
    for index, chunk in enumerate(split(data, cuts)):
        screen.cell.output("stdout", chunk)
        if index < len(pauses):
            screen.tick(pauses[index])
    screen.cell.finish()
    assert screen.shown("stdout") == data.decode()


@given(st.binary(), st.lists(st.integers(0, 10_000)))
def test_bytes_that_are_no_text_are_replaced_as_if_they_came_whole(
    data: bytes, cuts: list[int]
) -> None:
    screen = Screen(NOWHERE)
    for chunk in split(data, cuts):
        screen.cell.output("stderr", chunk)
        screen.tick(0.01)
    screen.cell.finish()
    assert screen.shown("stderr") == data.decode(errors="replace")


@given(st.lists(st.tuples(STREAM, st.text("aé\n\r\x1b한", min_size=1)), max_size=100))
def test_a_change_of_stream_keeps_the_order(writes: list[tuple[str, str]]) -> None:
    screen, expected = Screen(NOWHERE), Screen(NOWHERE)
    for stream, text in writes:
        screen.cell.output(stream, text.encode())
        expected.texts.append((0, stream, text))
    screen.cell.finish()
    assert screen.order == expected.order


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 60),
    st.integers(0, 60),
    st.lists(st.tuples(STREAM, st.binary(max_size=30) | st.text().map(str.encode)), max_size=20),
)
def test_head_and_tail_are_the_ends_of_each_stream_and_the_log_is_all(
    head: int, tail: int, writes: list[tuple[str, bytes]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        screen = Screen(Path(folder), limits=OutputLimits(head=head, tail=tail))
        for stream, data in writes:
            screen.cell.output(stream, data)
            screen.tick(0.01)
        screen.cell.finish()
        whole = b"".join(data for _, data in writes)
        if len(whole) > head:
            assert screen.log.path is not None
            assert screen.log.path.read_bytes() == whole
    left_out = [line for _, line, final in screen.counters if final and "left out" in line]
    for stream in ("stdout", "stderr"):
        text = b"".join(data for name, data in writes if name == stream).decode(errors="replace")
        if not left_out:
            assert screen.shown(stream) == text
    assert left_out or len(whole) <= head + 3 + tail  # the head ends after a whole character


def test_the_first_output_after_a_silence_is_shown_at_once_and_then_in_batches() -> None:
    screen = Screen(NOWHERE)
    assert screen.cell.deadline() is None
    for word in (b"one ", b"two ", b"three "):
        screen.cell.output("stdout", word)
    assert screen.texts == [(1000.0, "stdout", "one ")]
    assert screen.cell.deadline() == pytest.approx(1000.05)
    screen.tick(0.049)
    assert len(screen.texts) == 1
    screen.tick(0.001)
    assert [text for _, _, text in screen.texts] == ["one ", "two three "]
    assert screen.cell.deadline() is None
    screen.time += 1
    screen.cell.output("stdout", b"four")
    assert screen.texts[-1] == (screen.time, "stdout", "four")


def test_a_full_batch_does_not_wait() -> None:
    screen = Screen(NOWHERE)
    for _ in range(1 + 256_000 // 80):
        screen.cell.output("stdout", LINE)
    assert [len(text) for _, _, text in screen.texts] == [80, 256_000]


def test_no_message_is_larger_than_a_batch_and_lines_stay_whole() -> None:
    screen = Screen(NOWHERE)
    screen.cell.output("stdout", b"0123456789\n" * 90_000)
    screen.cell.finish()
    sizes = [len(text) for _, _, text in screen.texts]
    assert sum(sizes) == 990_000
    assert max(sizes) <= 256_000
    assert all(text.endswith("\n") for _, _, text in screen.texts)


def test_settle_shows_what_is_pending_before_a_plot() -> None:
    screen = Screen(NOWHERE)
    screen.cell.output("stdout", b"a")
    screen.cell.output("stdout", b"b\xe2\x82")
    screen.cell.settle()
    assert screen.shown() == "ab"
    screen.cell.output("stdout", b"\xac")
    screen.cell.settle()
    assert screen.shown() == "ab€"


def test_a_flood_shows_head_counter_and_tail_and_logs_all(tmp_path: Path) -> None:
    screen = Screen(tmp_path)
    lines = [b"line %08d\n" % number for number in range(1_000_000)]
    for start in range(0, len(lines), 1000):
        screen.cell.output("stdout", b"".join(lines[start : start + 1000]))
        screen.tick(0.01)
    screen.cell.finish()
    path = screen.log.path
    assert path is not None
    assert path.read_bytes() == b"".join(lines)
    shown = screen.shown("stdout").encode()
    assert 1_255_900 < len(shown) <= 1_256_000
    head = shown[:999_992]
    assert head == b"".join(lines)[: len(head)]
    assert b"".join(lines).endswith(shown[len(head) :])
    assert shown[len(head) :].startswith(b"line ")
    *progress, (_, final, is_final) = screen.counters
    assert is_final
    assert final == f"… 12.7 MB left out here; the whole output is in {path}"
    assert len(progress) == pytest.approx(2 * (progress[-1][0] - progress[0][0]), abs=2)
    assert progress[0][1].startswith("… ")
    assert f" more, all of it in {path}\nline 0" in progress[-1][1]


def test_without_a_counter_the_tail_is_preceded_by_the_line(tmp_path: Path) -> None:
    screen = Screen(tmp_path, limits=OutputLimits(head=160, tail=80), counter=False)
    for _ in range(10):
        screen.cell.output("stdout", LINE)
    screen.cell.finish()
    line = f"… 560 B left out here; the whole output is in {screen.log.path}\n"
    assert screen.order == [
        ("stdout", LINE.decode() * 2),
        ("stderr", line),
        ("stdout", LINE.decode()),
    ]


def test_nothing_is_said_when_head_and_tail_are_all(tmp_path: Path) -> None:
    screen = Screen(tmp_path)
    data = "가나다라\n".encode() * 90_000
    for start in range(0, len(data), 65_537):
        screen.cell.output("stdout", data[start : start + 65_537])
    screen.cell.finish()
    assert screen.shown() == data.decode()
    assert screen.counters == []


def test_cuts_fall_between_characters_when_there_are_no_lines(tmp_path: Path) -> None:
    screen = Screen(tmp_path, limits=OutputLimits(head=10_000, tail=1_000))
    data = "한".encode() * 20_000
    for start in range(0, len(data), 997):
        screen.cell.output("stdout", data[start : start + 997])
    screen.cell.finish()
    assert set(screen.shown()) == {"한"}
    assert 10_000 + 990 <= len(screen.shown().encode()) <= 11_002


def test_a_character_waits_for_its_end_while_the_other_stream_fills_the_head(
    tmp_path: Path,
) -> None:
    screen = Screen(tmp_path, limits=OutputLimits(head=10, tail=100))
    screen.cell.output("stdout", b"\xe2")
    screen.cell.output("stderr", b"x" * 20)
    screen.cell.output("stdout", b"\x82\xac")
    screen.cell.finish()
    assert screen.shown("stdout") == "€"


def test_the_streams_of_the_tail_stay_in_order_and_apart(tmp_path: Path) -> None:
    screen = Screen(tmp_path, limits=OutputLimits(head=0, tail=1000))
    for number in range(1000):
        screen.cell.output("stderr" if number % 3 == 0 else "stdout", b"%d\n" % number)
    screen.cell.finish()
    numbers = [int(line) for _, text in screen.order for line in text.split()]
    assert numbers == list(range(numbers[0], 1000))
    assert {number % 3 for stream, text in screen.order if stream == "stderr" for number in
            map(int, text.split())} == {0}  # fmt: skip


def rates_hold(screen: Screen) -> None:
    """The Jupyter server's sums over 3 s stay below 80 % and 20 % of what it allows."""
    for index, (start, _, _) in enumerate(screen.texts):
        window = [text for time, _, text in screen.texts[index:] if time < start + 3]
        wire = sum(len(json.dumps(text, ensure_ascii=False).encode()) for text in window)
        assert wire <= 2_400_000
        assert len(window) <= 600


@pytest.mark.parametrize("unit", [b"\0", b"\xff", LINE, b"\x1b[31mred\x1b[0m\n"])
@pytest.mark.parametrize("head", [1_000_000, 20_000_000])
def test_a_flood_stays_below_the_servers_data_rate(tmp_path: Path, unit: bytes, head: int) -> None:
    screen = Screen(tmp_path, limits=OutputLimits(head=head))
    chunk = unit * (65_536 // len(unit))
    for _ in range(120):
        screen.cell.output("stdout", chunk)
        screen.tick(0.001)
    screen.cell.finish()
    rates_hold(screen)
    if head > 120 * len(chunk):
        assert screen.shown() == (chunk * 120).decode(errors="replace")


def test_streams_that_alternate_wildly_stay_below_the_message_rate(tmp_path: Path) -> None:
    screen = Screen(tmp_path)
    for number in range(400_000):
        screen.cell.output("stderr" if number % 2 else "stdout", b"%06d\n" % number)
        screen.tick(0.00001)
    screen.cell.finish()
    rates_hold(screen)
    assert len(screen.shown().encode()) >= 1_000_000
    for stream, odd in (("stdout", 0), ("stderr", 1)):
        numbers = [int(line) for line in screen.shown(stream).split()]
        assert numbers == sorted(numbers)
        assert {number % 2 for number in numbers} == {odd}


def test_settle_holds_a_cell_back_that_displays_faster_than_the_server_takes() -> None:
    screen = Screen(NOWHERE)
    for number in range(10_000):
        screen.cell.output("stdout", b"%d\n" % number)
        screen.cell.settle()
    assert 20_000 / 800 - 3 <= screen.time - 1000 <= 20_000 / 800


def test_hurry_ends_the_wait_and_the_tail_still_comes(tmp_path: Path) -> None:
    screen = Screen(tmp_path, limits=OutputLimits(head=50_000_000, tail=80))
    for _ in range(500):
        screen.cell.output("stdout", LINE * 819)
    screen.cell.hurry()
    before = screen.time
    screen.cell.finish()
    assert screen.time - before < 3.1
    *_, (_, final, _) = screen.counters
    left_out = 500 * 819 * 80 - len(screen.shown("stdout"))
    assert final.startswith(f"… {left_out / 1e6:.1f} MB left out here")
    rates_hold(screen)


def test_carriage_returns_and_colours_pass_unchanged() -> None:
    screen = Screen(NOWHERE)
    bar = b"\r 10%\r\x1b[32m100%\x1b[0m\x08\x07\r\n"
    screen.cell.output("stderr", bar)
    screen.cell.finish()
    assert screen.shown("stderr").encode() == bar


def test_a_log_that_fails_is_said_once_and_the_cell_goes_on() -> None:
    screen = Screen(NOWHERE, limits=OutputLimits(head=80, tail=80))
    for _ in range(100):
        screen.cell.output("stdout", LINE)
        screen.tick()
    screen.cell.finish()
    assert screen.shown("stdout") == LINE.decode() * 2
    said = f"nsmagic: no log of this cell is kept: {NOWHERE}: No such file or directory\n"
    assert screen.shown("stderr") == said
    assert screen.counters[-1][1] == "… 7.8 kB left out here"


def test_finishing_twice_is_finishing_once() -> None:
    screen = Screen(NOWHERE)
    screen.cell.output("stdout", b"\xe2")
    screen.cell.finish()
    screen.cell.finish()
    assert screen.shown() == "\N{REPLACEMENT CHARACTER}"


def test_a_captured_stream_is_whole_and_the_other_is_shown() -> None:
    screen = Screen(NOWHERE)
    capture = CaptureOutput(screen.cell, streams=["stdout"])
    data = random.Random(1).randbytes(3_000_000)
    for start in range(0, len(data), 4097):
        capture.output("stdout", data[start : start + 4097])
    capture.output("stderr", b"warning\n")
    capture.finish()
    assert capture.text("stdout") == codecs.decode(data, errors="replace")
    assert screen.order == [("stderr", "warning\n")]


def test_negative_limits_are_refused() -> None:
    with pytest.raises(WishError, match="try output=1M"):
        OutputLimits(tail=-1)
