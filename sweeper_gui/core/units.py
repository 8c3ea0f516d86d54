"""Sizes and durations, read from a person and written for one."""

import math
import re
from datetime import UTC, datetime
from decimal import Decimal

import humanize

_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|min|h|d|w)?", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800, None: 1}
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>(?:[kmgtp]i?)?)b?", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_duration(text: str) -> float:
    """Seconds from '90', '1.5h', '24h', '7d', '2w'. Raises ValueError that says which forms there are."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'{text}' is not a duration: write a number with ms, s, m, h, d or w, such as '24h'")
    seconds = float(match["number"]) * _SECONDS[match["unit"]]
    if not math.isfinite(seconds):
        raise ValueError("that is too long a duration")
    return seconds


def parse_size(text: str) -> int:
    """Bytes from '500', '1.5GB' (powers of 1000), '20GiB' (powers of 1024). Raises ValueError with the forms."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'{text}' is not a size: write a number with kB, MB, GB, TB, or KiB, MiB, GiB, TiB")
    unit = match["unit"].lower()
    base = 1024 if unit.endswith("i") else 1000
    # Decimal: 1.1 GB is 1,100,000,000 bytes, and no number is too large for it
    return int(Decimal(match["number"]) * base ** _POWERS[unit.rstrip("i")])


def size_text(size: int | float) -> str:
    """'1.5 GB', in powers of 1000."""
    return humanize.naturalsize(size)


def count_text(number: int) -> str:
    """'48,123'."""
    return humanize.intcomma(number)


def counted(number: int, one: str, many: str = "") -> str:
    """'1 workspace', '48,123 workspaces'; `many` is for what takes more than an s."""
    return f"{count_text(number)} {one if number == 1 else many or one + 's'}"


def age_text(seconds: float) -> str:
    """'12 days', '3 hours', '40 s': the largest unit that leaves at least 2, for reading at a glance."""
    seconds = max(0.0, seconds)
    for name, length in (("year", 31_557_600), ("month", 2_629_800), ("day", 86_400), ("hour", 3_600), ("minute", 60)):
        number = int(seconds // length)
        if number >= 2 or (number == 1 and name == "day"):
            return f"{number} {name}{'s' if number > 1 else ''}"
    return f"{int(seconds)} s"


def utc_text(seconds: float) -> str:
    """'2026-11-24T08:02:11Z' of epoch seconds; '' for a time that no calendar has."""
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"
