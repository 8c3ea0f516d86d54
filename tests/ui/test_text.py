import csv
import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtGui import QTextDocument
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from sweeper_gui.core.outcome import Ending, Outcome, Report, Result
from sweeper_gui.core.plan import Order
from sweeper_gui.engine.heartbeat import Lateness
from sweeper_gui.engine.messages import RegistryState, ScanProgress, SourceState, SweepProgress, VolumeState
from sweeper_gui.ui.main_window import scan_words
from sweeper_gui.ui.options import SweepOptions
from sweeper_gui.ui.plain_text import ElidedLabel, PlainLabel, shown, tool_tip
from sweeper_gui.ui.report_words import headline, listing_csv, report_csv, totals
from sweeper_gui.ui.tally import Summary
from sweeper_gui.ui.widgets.bound_field import AgeField, SizeField
from sweeper_gui.ui.widgets.figures import figures_words
from sweeper_gui.ui.widgets.header import match_words, measured_words, space_words
from sweeper_gui.ui.widgets.sweep_bar import button_words, figure_words, load_words, note_words, title_words
from sweeper_gui.ui.workspace_model import Chosen, Next
from tests.ui.rows import orphan, realistic_rows
from tests.ui.scripted_host import VOLUME


@given(st.text())
def test_whatever_is_shown_is_one_line_of_visible_characters(text: str) -> None:
    assert shown(text).isprintable()


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1))
def test_a_tool_tip_shows_the_text_and_nothing_of_it_is_markup(text: str) -> None:
    document = QTextDocument()
    document.setHtml(tool_tip(text))
    expected = "\n".join(shown(line) for line in text.split("\n"))
    plain = document.toPlainText().replace("\u2028", "\n").replace("\xa0", " ")
    assert plain.strip("\n") == expected.replace("\xa0", " ").strip("\n")


def test_labels_never_take_text_for_markup(qtbot: QtBot) -> None:
    for kind in (PlainLabel, ElidedLabel):
        label = kind("<b>x</b>\x1b")
        qtbot.addWidget(label)
        assert label.textFormat() is Qt.TextFormat.PlainText
        assert label.text() == r"<b>x</b>\x1b"


def test_a_cut_label_has_the_whole_text_in_its_tool_tip(qtbot: QtBot) -> None:
    label = ElidedLabel("a long text that does not fit <b>")
    qtbot.addWidget(label)
    label.resize(60, 20)
    label.show()
    assert "does not fit &lt;b&gt;" in label.toolTip()
    label.resize(600, 20)
    assert label.toolTip() == ""


@pytest.mark.parametrize(
    ("typed", "bound", "wrong"),
    [("", None, False), ("7d", 604_800.0, False), ("soon", None, True), (" 36h ", 129_600.0, False)],
)
def test_an_age_is_read_as_people_write_it(typed: str, bound: float | None, wrong: bool, qtbot: QtBot) -> None:
    field = AgeField("Older than", "any", "tip")
    qtbot.addWidget(field)
    field.setText(typed)
    assert field.seconds == bound
    assert bool(field.wrong) is wrong
    assert bool(field.property("wrong")) is wrong
    assert ("not a duration" in field.accessibleDescription()) is wrong


def test_a_size_is_read_as_people_write_it(qtbot: QtBot) -> None:
    field = SizeField("Larger than", "any", "tip")
    qtbot.addWidget(field)
    bounds = []
    for typed in ("1.5 GB", "much", ""):
        field.setText(typed)
        bounds.append((field.bytes, bool(field.wrong)))
    assert bounds == [(1_500_000_000, False), (None, True), (None, False)]


# --- sentences -------------------------------------------------------------------------------------------------------


def test_the_button_says_what_it_does() -> None:
    options, following = SweepOptions(), Next(10, 15_100_000_000, 37)
    assert button_words(Chosen(), following, options) == "Sweep 10 of 37 orphans · 15.1 GB…"
    chosen = Chosen((b"a", b"b", b"c"), 4_200_000_000)
    assert button_words(chosen, following, options) == "Sweep 3 selected · 4.2 GB…"
    assert button_words(chosen, following, SweepOptions(set_aside=True)) == "Set aside 3 selected · 4.2 GB…"
    assert button_words(Chosen(), Next(1, 5, 1), SweepOptions(dry_run=True)) == "Try to sweep 1 of 1 orphan · 5 Bytes…"
    assert button_words(Chosen(), Next(0, 0, 0, 12), options) == "Sweep the next 10 orphans…"


def test_the_note_says_what_one_should_know() -> None:
    def note(chosen: Chosen, following: Next, *, measuring: bool = False, filtered: bool = False) -> str:
        return note_words(chosen, following, measuring=measuring, filtered=filtered)

    assert note(Chosen(), Next(10, 5, 37)) == "You will see and confirm the exact list first"
    assert note(Chosen(), Next()) == "No orphans: nothing to sweep"
    assert "whatever the filter" in note(Chosen(), Next(10, 5, 37), filtered=True)
    assert note(Chosen((b"a",), 1, 1, 1, 2), Next()) == (
        "1 of the selected are hidden by the filter · 1 doubtful, set aside only · "
        "2 more selected, waiting to be measured again"
    )
    assert note(Chosen(), Next(10, 5, 37, 4), measuring=True) == "4 not measured yet may be orphans too"


def test_progress_is_told_by_entries_with_rate_time_left_and_what_is_freed() -> None:
    progress = SweepProgress(1, "removing", (), 10, 3, 48_123, 12_345, 4_200_000_000, 2_100.4, 17.0)
    assert title_words(progress, "Sweep") == "Sweep · 3 of 10 done · removing"
    assert figure_words(progress) == "12,345 of 48,123 entries · 2,100/s · 17 s left · 4.2 GB freed"


@pytest.mark.parametrize(
    ("limit", "latency", "words"),
    [(14, 0.0029, "up to 14 at once, 2.9 ms each"), (8, 0.0, "up to 8 at once"), (0, 0.0, "")],
)
def test_the_limit_in_use_and_the_latency_that_it_reacts_to_are_shown(limit: int, latency: float, words: str):
    progress = SweepProgress(1, "removing", entries_total=10, limit=limit, latency=latency)
    assert load_words(progress.limit, progress.latency) == words
    assert "stopping" in title_words(replace(progress, cancelling=True), "Sweep")


def test_the_registry_line_tells_the_match_both_ways() -> None:
    registry = RegistryState((SourceState("sqlite:/x.db", 140),), 1.0, True, (), 174, 112, 25, 37, 3)
    assert match_words(registry) == (
        "112 of 174 directories have a live session, 25 a deleted one, 37 none; "
        "3 sessions have no directory  ·  sqlite:/x.db"
    )
    assert "could not be read" in match_words(replace(registry, sources=(SourceState("x", 0, "refused"),)))
    assert "not read yet" in match_words(RegistryState((SourceState("x", 0),)))


def test_space_is_told_only_where_it_is_real() -> None:
    assert space_words(VOLUME) == ""
    assert space_words(VolumeState("/x", total=10**12, free=3 * 10**11)) == "300.0 GB free of 1.0 TB"


def test_what_is_measured_is_told_with_how_far_it_is() -> None:
    summary = Summary(rows=174, allocated={}, incomplete=True)
    assert measured_words(summary, None) == "≥ 0 Bytes in 174 workspaces"
    assert measured_words(summary, ScanProgress("listing", 20)) == "listing… 20 found"
    assert "60 of 174 measured" in measured_words(summary, ScanProgress("measuring", 174, 174, 60))
    assert measured_words(Summary(), ScanProgress("done")) == ""


def test_options_bound_the_next_ones_and_never_the_selected() -> None:
    options = SweepOptions(cap=3, max_bytes=5, order=Order.LARGEST, set_aside=True)
    named = options.request((b"a",))
    assert (named.names, named.cap, named.max_bytes, named.set_aside) == ((b"a",), None, None, True)
    following = options.request(())
    assert (following.cap, following.max_bytes, following.order, following.explicit) == (3, 5, Order.LARGEST, False)


# --- reports ---------------------------------------------------------------------------------------------------------


def test_a_headline_never_calls_a_failure_a_success() -> None:
    bad = Outcome(b"a", Result.FAILED)
    assert headline(Report("s", ()), "Sweep") == "Sweep done"
    assert headline(Report("s", (bad,)), "Sweep") == "Sweep done, 1 with problems"
    assert headline(Report("s", (), Ending.STOPPED), "Sweep") == "Sweep stopped"
    assert headline(Report("s", (), dry_run=True), "Sweep") == "Dry run: nothing would be swept"
    assert totals(Report("s", (), remaining_orphans=1, seconds=2.0), "Sweep") == "in 2 s · 1 orphan remains"
    assert totals(Report("s", (), seconds=2.0), "Restore") == "in 2 s"


@given(st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name and b"/" not in name))
def test_no_cell_of_an_export_is_a_formula_and_every_name_can_be_read_back(name: bytes) -> None:
    row = orphan(b"x")
    row = replace(row, workspace=replace(row.workspace, name=name))
    [line] = csv.DictReader(io.StringIO(listing_csv([row], "/mnt")))
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in line.values())
    assert line["name"].isprintable()
    report = Report("s", (Outcome(name, Result.SKIPPED, "=reason"),), untouched=(name,))
    lines = list(csv.DictReader(io.StringIO(report_csv(report))))
    assert [line["outcome"] for line in lines] == ["skipped", "untouched"]
    assert lines[0]["reason"] == "'=reason"


def test_ten_thousand_rows_are_exported_in_no_time(qapp: QApplication) -> None:
    rows = realistic_rows(10_000)
    start = time.perf_counter()
    text = listing_csv(rows, "/mnt")
    assert text.count("\n") == len(rows) + 1
    assert time.perf_counter() - start < 5


def test_a_scan_that_failed_does_not_say_that_it_goes_on():
    assert scan_words(ScanProgress("failed", listed=3)) == "The scan failed; what is not measured is not swept"


def test_the_figures_tell_lateness_and_load():
    late = Lateness(max=0.0142, p99=0.0021, beats=100, seconds=60)
    assert figures_words(Lateness(0, 0, 0), None) == "not measured yet"
    assert figures_words(late, None) == "late by 2 ms, 14 ms at most"
    sweep = SweepProgress(1, "removing", in_flight=12, limit=16, latency=0.0029)
    assert figures_words(late, sweep) == "late by 2 ms, 14 ms at most  ·  12 of 16 in flight, 2.9 ms each"
