"""Sizes and durations, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper_gui.core.units import age_text, count_text, parse_duration, parse_size, size_text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("90", 90.0),
        ("500ms", 0.5),
        ("10 s", 10.0),
        ("5m", 300.0),
        ("5min", 300.0),
        (" 1.5h ", 5_400.0),
        ("24h", 86_400.0),
        ("7d", 604_800.0),
        ("2w", 1_209_600.0),
    ],
)
def test_a_duration_is_read(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "h", "1 fortnight", "-1h", "+1h", "1h30m", "1e3", "nan", "inf", "1,5h", "١h", "9" * 400]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("500", 500),
        ("500 B", 500),
        ("1k", 1_000),
        ("1.5GB", 1_500_000_000),
        ("1.1 gb", 1_100_000_000),
        ("20GiB", 20 << 30),
        ("20Gi", 20 << 30),
        ("0.5 KiB", 512),
        ("3TB", 3 * 10**12),
        ("1PiB", 1 << 50),
        ("9007199254740993", 2**53 + 1),
    ],
)
def test_a_size_is_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "B", "1 potato", "-1GB", "5i", "5iB", "1e3", "inf", "1,5GB", "1EB", "1 G B"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=2**62))
def test_a_plain_number_is_bytes_exactly(size):
    assert parse_size(str(size)) == size
    assert parse_size(f"{size}KiB") == size * 1024


@pytest.mark.parametrize("size", ["9" * 400, "9" * 400 + "PB"])
def test_a_number_of_any_length_is_read(size):
    assert parse_size(size) >= 10**399


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 Bytes"), (1, "1 Byte"), (999_999, "1.0 MB"), (1_500_000_000, "1.5 GB"), (8 << 60, "9.2 EB")],
)
def test_a_size_is_written(size, text):
    assert size_text(size) == text


def test_a_count_is_written():
    assert count_text(48_123) == "48,123"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5.0, "0 s"),
        (0.9, "0 s"),
        (40.0, "40 s"),
        (119.0, "119 s"),
        (120.0, "2 minutes"),
        (7_199.0, "119 minutes"),
        (10_800.0, "3 hours"),
        (86_399.0, "23 hours"),
        (86_400.0, "1 day"),
        (172_799.0, "1 day"),
        (12 * 86_400.0, "12 days"),
        (70 * 86_400.0, "2 months"),
        (800 * 86_400.0, "2 years"),
    ],
)
def test_an_age_is_written_in_the_largest_useful_unit(seconds, text):
    assert age_text(seconds) == text


@given(st.floats(min_value=0, max_value=1e10))
def test_an_age_never_looks_older_than_it_is(seconds):
    number, _, unit = age_text(seconds).partition(" ")
    lengths = {"s": 1, "minute": 60, "hour": 3_600, "day": 86_400, "month": 2_629_800, "year": 31_557_600}
    assert int(number) * lengths[unit.rstrip("s") or "s"] <= seconds
