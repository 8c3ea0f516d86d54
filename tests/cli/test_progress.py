"""What is told while a job runs."""

import io

import pytest
from rich.console import Console

from sweeper_gui.cli.progress import PlainProgress, TerminalProgress, describe
from sweeper_gui.engine.messages import ScanProgress, SweepProgress, Update

SCAN = ScanProgress("measuring", listed=60, to_measure=50, measured=12, entries=40_123)
SWEEP = SweepProgress(
    job=1,
    step="removing",
    planned=10,
    finished=3,
    entries_total=23_000,
    entries_removed=4_567,
    bytes_freed=1_200_000_000,
    rate=2_300.4,
    seconds_left=40,
)


def test_a_scan_and_a_sweep_are_told_in_words() -> None:
    assert describe(SCAN, None, 0, cancelling=False).text == "measuring: 12 of 50 workspaces, 40,123 entries"
    state = describe(SCAN, SWEEP, 0, cancelling=False)
    assert state.text == (
        "removing: 3 of 10 workspaces, 4,567 of 23,000 entries, 1.2 GB freed, 2,300/s, about 40 s left"
    )
    assert (state.done, state.total) == (4_567, 23_000)
    assert describe(ScanProgress("listing", listed=60), None, 0, cancelling=False).text == "listing: 60 found"


def test_one_is_told_as_one() -> None:
    scan = ScanProgress("measuring", listed=1, to_measure=1, measured=0, entries=1)
    assert describe(scan, None, 0, cancelling=False).text == "measuring: 0 of 1 workspace, 1 entry"
    sweep = SweepProgress(job=1, step="removing", planned=1, entries_total=1)
    assert describe(None, sweep, 0, cancelling=False).text == "removing: 0 of 1 workspace, 0 of 1 entry, 0 Bytes freed"


def test_a_volume_that_does_not_respond_is_said_first() -> None:
    assert describe(SCAN, None, 3.9, cancelling=False).text.startswith("measuring")
    assert describe(SCAN, None, 7.0, cancelling=False).text.startswith("volume not responding for 7 s; measuring")
    assert describe(SCAN, None, 7.0, cancelling=True).text.startswith("cancelling; volume not responding")


def test_plain_lines_are_few_and_none_for_what_is_quick() -> None:
    lines: list[str] = []
    now = [0.0]
    progress = PlainProgress(lines.append, clock=lambda: now[0], interval=5.0)
    progress.begin()
    for tick in range(130):  # 13 seconds of polls
        now[0] = tick / 10
        progress.show(Update(scan=SCAN), cancelling=False)
    progress.end()
    assert len(lines) == 2
    progress.begin()
    now[0] += 3.9
    progress.show(Update(), cancelling=False)
    assert len(lines) == 2


def test_cancelling_is_said_at_once_and_once() -> None:
    lines: list[str] = []
    progress = PlainProgress(lines.append, clock=lambda: 0.0)
    progress.begin()
    for cancelling in (False, True, True):
        progress.show(Update(scan=SCAN), cancelling)
    assert lines == ["cancelling; measuring: 12 of 50 workspaces, 40,123 entries"]


@pytest.mark.parametrize("ends", [1, 2])
def test_the_live_line_is_taken_away_at_the_end(ends: int) -> None:
    stream = io.StringIO()
    progress = TerminalProgress(Console(file=stream, force_terminal=True, width=120))
    progress.begin()
    progress.show(Update(sweep=SWEEP), cancelling=False)
    assert "4,567 of 23,000 entries" in stream.getvalue()
    for _ in range(ends):
        progress.end()
    assert stream.getvalue().endswith("\x1b[2K")
    assert "\x1b[?25h" in stream.getvalue()
