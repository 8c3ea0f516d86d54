import gc
import threading
import time
import weakref

import pytest
from msgspec.structs import replace
from PySide6.QtCore import QItemSelectionModel, QObject, QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from sweeper_gui.core.outcome import Outcome, Result
from sweeper_gui.core.row import Row
from sweeper_gui.core.verdict import Status
from sweeper_gui.engine.messages import SweepProgress, TreeProgress
from sweeper_gui.ui.columns import COLUMN_OF, COLUMNS
from sweeper_gui.ui.garbage import collect_due, collected_here
from sweeper_gui.ui.row_filter import RowFilter
from sweeper_gui.ui.table import CellDelegate, WorkspaceTable, marked_rows
from sweeper_gui.ui.tally import Summary
from sweeper_gui.ui.theme import Look, Mode
from sweeper_gui.ui.widgets.banner import BannerArea, Notice, Remedy
from sweeper_gui.ui.widgets.usage_bar import UsageBar
from sweeper_gui.ui.workspace_model import WorkspaceModel
from tests.ui.rows import orphan, realistic_rows, unmeasured


def shown_table(model: WorkspaceModel, look: Look, qtbot: QtBot) -> WorkspaceTable:
    table = WorkspaceTable(model, look)
    qtbot.addWidget(table)
    table.resize(1200, 400)
    table.show()
    return table


def test_of_many_changed_lines_only_those_that_can_be_seen_are_painted(
    model: WorkspaceModel, look: Look, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = shown_table(model, look, qtbot)
    rows = [orphan(b"w%03d" % number, 1_000 - number, inode=number + 1) for number in range(400)]
    model.apply(rows)
    qtbot.waitExposed(table)
    painted: list[int] = []
    monkeypatch.setattr(
        CellDelegate, "paint_cell", lambda _self, _painter, _option, index, _entry: painted.append(index.row())
    )

    def painted_after(changed: list[Row]) -> set[int]:
        QApplication.processEvents()
        painted.clear()
        model.apply(changed)
        QApplication.processEvents()
        return set(painted)

    last = table.rowAt(table.viewport().height() - 1)
    assert 5 < last < 30
    far_away = [replace(row, session=None) for row in rows[100::2]]
    assert painted_after(far_away) == set()
    changed = [replace(row, session=None) for row in [rows[3], rows[5], *rows[201::2]]]
    assert {3, 5} <= painted_after(changed) <= {3, 4, 5, 6}  # their lines, to the pixel


def test_the_marked_rows_are_found_at_once_and_in_order(model: WorkspaceModel, look: Look, qtbot: QtBot) -> None:
    table = shown_table(model, look, qtbot)
    model.apply([orphan(b"w%02d" % number, 100 - number, inode=number + 1) for number in range(20)])
    select, rows = QItemSelectionModel.SelectionFlag.Select, QItemSelectionModel.SelectionFlag.Rows
    for row in (11, 3, 4, 3, 17):
        table.selectionModel().select(model.index(row, 0), select | rows)
    assert marked_rows(table) == [3, 4, 11, 17]
    assert [entry.name for entry in table.marked_entries()] == [b"w03", b"w04", b"w11", b"w17"]
    table.selectAll()
    assert marked_rows(table) == list(range(20))


def test_the_usual_doubts_fit_into_the_status_column(model: WorkspaceModel, look: Look, qtbot: QtBot) -> None:
    table = shown_table(model, look, qtbot)
    model.apply([orphan()])
    model.settle()
    width = table.fontMetrics().horizontalAdvance
    padding, sign, gap = 8 + 14, 16 + 6, 6
    room = table.columnWidth(COLUMN_OF["status"]) - padding - sign - width("Orphan") - gap
    for doubt in ("unexplained", "unsaved work", "unexplained, unsaved work"):
        assert width(f"· {doubt}") <= room


def test_the_current_row_keeps_its_place_on_the_screen_while_others_move(
    model: WorkspaceModel, look: Look, qtbot: QtBot
) -> None:
    table = shown_table(model, look, qtbot)
    model.apply(orphan(b"w%03d" % n, 1_000 + n, inode=n + 1) for n in range(100))
    model.settle()
    table.doItemsLayout()
    table.verticalScrollBar().setValue(500)
    index = model.index(22, COLUMN_OF["workspace"])
    name = model.shown_entries[22].row.name
    table.setCurrentIndex(index)
    before = table.visualRect(table.currentIndex()).top()
    assert 0 < before < table.viewport().height()
    model.apply(orphan(b"w%03d" % n, 10**9 + n, inode=n + 1) for n in range(0, 60, 3))
    model.settle()
    assert model.shown_entries[table.currentIndex().row()].row.name == name
    assert table.visualRect(table.currentIndex()).top() == before


def test_a_table_at_its_top_stays_there_when_nothing_is_marked(model: WorkspaceModel, look: Look, qtbot: QtBot) -> None:
    table = shown_table(model, look, qtbot)
    model.apply(orphan(b"w%03d" % n, 1_000 + n, inode=n + 1) for n in range(100))
    model.apply([orphan(b"w000", 10**12, inode=1)])
    model.settle()
    assert table.verticalScrollBar().value() == 0
    assert model.shown_entries[0].row.name == b"w000"


def test_moving_the_pointer_holds_the_rows(model: WorkspaceModel, look: Look, qtbot: QtBot) -> None:
    table = shown_table(model, look, qtbot)
    model.apply([unmeasured(orphan(b"a")), unmeasured(orphan(b"b"))])
    QTest.mouseMove(table.viewport(), QPoint(50, 20))
    QTest.mouseMove(table.viewport(), QPoint(60, 30))
    moved: list[float] = []
    model.layoutChanged.connect(lambda: moved.append(time.monotonic()))
    start = time.monotonic()
    model.apply([orphan(b"b", 5)])
    qtbot.waitUntil(lambda: bool(moved))
    assert moved[0] - start > 0.8


def test_every_state_of_a_row_is_painted_in_both_looks(model: WorkspaceModel, look: Look, qtbot: QtBot) -> None:
    table = shown_table(model, look, qtbot)
    rows = realistic_rows(30)
    model.apply([*rows, unmeasured(orphan(b"later"))])
    names = [row.name for row in rows]
    model.select(names)
    model.apply([unmeasured(row) for row in rows if row.status is Status.ORPHAN][:2])
    model.show_progress(
        SweepProgress(1, "removing", tuple(TreeProgress(name, "removing", 100, 30) for name in names[:5]))
    )
    model.show_outcomes([Outcome(name, result) for name, result in zip(names[6:], Result, strict=False)])
    pictures = []
    modes: tuple[Mode, ...] = ("dark", "light")
    for mode in modes:
        look.set_mode(mode)
        pictures.append(table.grab().toImage())
    assert pictures[0] != pictures[1]
    model.apply([], gone=[*names, b"later"])
    model.forget_outcomes()
    model.show_progress(None)
    table.show_empty("No workspaces", "There is nothing below the root of this volume.")
    table.grab()


def test_the_reason_fills_the_width_and_never_less_than_it_needs(
    model: WorkspaceModel, look: Look, qtbot: QtBot
) -> None:
    table = shown_table(model, look, qtbot)
    last = COLUMN_OF["reason"]
    for width in (1900, 700):
        table.resize(width, 400)
        total = sum(table.columnWidth(number) for number in range(len(COLUMNS)))
        assert table.columnWidth(last) >= COLUMNS[last].width
        assert total >= table.viewport().width()


# --- other parts -----------------------------------------------------------------------------------------------------


def test_the_gravest_messages_are_shown_and_the_rest_counted(look: Look, qtbot: QtBot) -> None:
    area = BannerArea(look)
    qtbot.addWidget(area)
    area.show()
    area.say("a", Notice("info", "one"))
    area.say("b", Notice("error", "<b>two</b>", "mend it", (Remedy("Do", lambda: None),), lasting=True))
    area.say("c", Notice("warning", "three"))
    area.say("d", Notice("good", "four"))
    wanted = {"<b>two</b>", "mend it", "three", "one", "and 1 more, shown when these are done with"}
    qtbot.waitUntil(
        lambda: {label.text() for label in area.findChildren(QLabel) if label.isVisible() and label.text()} == wanted
    )
    area.say("a", Notice("info", "another"))
    assert area.notices["a"].text == "another"
    area.unsay("a", "b", "c", "d", "nonexistent")
    assert not area.isVisible()


def test_the_bar_says_in_words_what_it_shows(look: Look, qtbot: QtBot) -> None:
    bar = UsageBar(look)
    qtbot.addWidget(bar)
    bar.resize(400, 12)
    assert bar.accessibleDescription() == "nothing measured yet"
    bar.show_summary(Summary(allocated={Status.LIVE: 3_000_000_000, Status.ORPHAN: 1_000_000_000, Status.FOREIGN: 1}))
    assert bar.accessibleDescription() == "orphan 1.0 GB, live 3.0 GB, foreign 1 Byte"
    areas = bar._areas()
    assert [status for status, _ in areas] == [Status.ORPHAN, Status.LIVE, Status.FOREIGN]
    assert areas[-1][1].width() >= 1  # even the smallest part can be seen
    assert sum(area.width() + 1 for _, area in areas) <= 401
    assert "▸ Orphan" in bar._tip_at(10)


def test_garbage_is_collected_in_the_windows_thread_only(qapp: QApplication) -> None:
    threads: set[int] = set()

    class Witness(QObject):
        pass

    def make_cycle() -> weakref.ref[Witness]:
        witness = Witness()
        witness.itself = witness  # type: ignore[attr-defined]
        weakref.finalize(witness, lambda: threads.add(threading.get_ident()))
        return weakref.ref(witness)

    def allocate() -> None:
        for _ in range(100_000):
            _cycle: list[object] = []
            _cycle.append(_cycle)

    with collected_here():
        assert not gc.isenabled()
        gone = make_cycle()
        other = threading.Thread(target=allocate)
        other.start()
        other.join()
        assert gone() is not None
        collect_due()
        gc.collect()
        assert gone() is None
    assert gc.isenabled()
    assert threads == {threading.get_ident()}


def test_a_message_that_counts_keeps_its_buttons_and_their_focus(look: Look, qtbot: QtBot) -> None:
    window = QWidget()
    lines = QVBoxLayout(window)
    first, last = QPushButton("before"), QPushButton("after")
    area = BannerArea(look)
    for part in (first, area, last):
        lines.addWidget(part)
    qtbot.addWidget(window)
    window.show()
    done: list[int] = []

    def counted(number: int) -> Notice:
        return Notice(
            "warning", f"silent for {number} s", "", (Remedy("Do", lambda: done.append(number)),), lasting=True
        )

    area.say("a", counted(1))
    [button] = area.findChildren(QPushButton)
    qtbot.waitUntil(button.isVisible)
    button.setFocus()
    QTest.mousePress(button, Qt.MouseButton.LeftButton)
    area.say("a", counted(2))
    area.say("b", Notice("error", "worse", "", (Remedy("Mend", lambda: None),)))  # stands above it
    assert window.focusWidget() is button
    QTest.mouseRelease(button, Qt.MouseButton.LeftButton)
    assert done == [2]
    assert "silent for 2 s" in {label.text() for label in area.findChildren(QLabel)}
    order = []
    qtbot.waitUntil(lambda: all(part.isVisible() for part in area.findChildren(QPushButton)))
    first.setFocus()
    for _ in range(5):
        order.append(window.focusWidget())
        QTest.keyClick(window.focusWidget(), Qt.Key.Key_Tab)
    labels = [part.text() or part.accessibleName() for part in order if isinstance(part, QPushButton)]
    assert labels == ["before", "Mend", "Dismiss this message", "Do", "after"]


def at_the_top(table: WorkspaceTable, model: WorkspaceModel, row: int = 0) -> bytes:
    return model.shown_entries[table.rowAt(1) + row].row.name


def hundred(model: WorkspaceModel, table: WorkspaceTable) -> None:
    model.apply(orphan(b"w%03d" % n, 10_000 - n, inode=n + 1) for n in range(300))
    model.settle()
    table.doItemsLayout()
    table.verticalScrollBar().setValue(28 * 100)


def test_rows_that_leave_do_not_move_what_is_seen(model: WorkspaceModel, look: Look, qtbot: QtBot) -> None:
    table = shown_table(model, look, qtbot)
    hundred(model, table)
    table.setCurrentIndex(model.index(102, 1))
    assert at_the_top(table, model) == b"w100"
    model.apply([], gone=[b"w%03d" % n for n in range(0, 300, 2) if n != 100])  # the current one too
    assert at_the_top(table, model) == b"w100"
    assert model.shown_entries[table.currentIndex().row()].row.name == b"w103"
    assert not table.marked_entries()
    table.doItemsLayout()
    assert at_the_top(table, model) == b"w100"


def test_a_filter_that_hides_the_current_row_stays_where_it_was(
    model: WorkspaceModel, look: Look, qtbot: QtBot
) -> None:
    table = shown_table(model, look, qtbot)
    hundred(model, table)
    table.setCurrentIndex(model.index(104, 1))
    model.set_filter(RowFilter(search="1"))
    assert at_the_top(table, model) == b"w100"
    assert model.shown_entries[table.currentIndex().row()].row.name == b"w104"
    model.set_filter(RowFilter(search="5"))
    assert model.shown_entries[table.currentIndex().row()].row.name == b"w105"
    assert table.viewport().rect().contains(table.visualRect(table.currentIndex()).center())
    model.set_filter(RowFilter(search="nothing of the kind"))
    assert not table.currentIndex().isValid()


def test_an_age_of_minutes_fits_in_its_column(model: WorkspaceModel, look: Look, qtbot: QtBot) -> None:
    table = shown_table(model, look, qtbot)
    room = table.columnWidth(COLUMN_OF["change"]) - 22
    for words in ("59 minutes ago", "10 minutes ago", "~ 59 minutes ago"):
        assert table.fontMetrics().horizontalAdvance(words) <= room


def test_names_get_the_width_that_they_need(model: WorkspaceModel, look: Look, qtbot: QtBot) -> None:
    table = shown_table(model, look, qtbot)
    name = "50039fe7-2ddf-4a02-8044-3a1b6f2c9d10"
    model.apply([orphan(name.encode(), 1_000)])
    column = COLUMN_OF["workspace"]
    assert table.columnWidth(column) > table.fontMetrics().horizontalAdvance(name)
    table.setColumnWidth(column, 120)
    model.apply([orphan(name.encode() * 2, 1_000, inode=2)])
    assert table.columnWidth(column) == 120  # a person's word counts
