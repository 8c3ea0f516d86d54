import time
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace
from PySide6.QtCore import QItemSelectionModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QApplication, QTableView
from pytestqt.qtbot import QtBot

from sweeper_gui.core.outcome import Outcome, Result
from sweeper_gui.core.plan import Order
from sweeper_gui.core.row import Row
from sweeper_gui.core.verdict import Status, Verdict
from sweeper_gui.engine.messages import SweepProgress, TreeProgress
from sweeper_gui.ui.columns import COLUMN_OF, COLUMNS
from sweeper_gui.ui.row_filter import RowFilter
from sweeper_gui.ui.widgets.sweep_bar import note_words
from sweeper_gui.ui.workspace_model import Lost, Next, WorkspaceModel
from tests.ui.conftest import delete_now
from tests.ui.rows import DAY, live, orphan, realistic_rows, unmeasured

NAMES = [b"ws-%02d" % number for number in range(24)]


def names(model: WorkspaceModel) -> list[bytes]:
    return [entry.row.name for entry in model.shown_entries]


def checked(model: WorkspaceModel) -> set[bytes]:
    return set(model.chosen().names)


def lost_by(model: WorkspaceModel) -> list[Lost]:
    told: list[Lost] = []
    model.selection_lost.connect(told.extend)
    return told


def cell(model: WorkspaceModel, name: bytes, key: str) -> QModelIndex:
    row = model.position(name)
    assert row is not None
    return model.index(row, COLUMN_OF[key])


# --- order -----------------------------------------------------------------------------------------------------------


def test_sizes_sort_as_numbers_beyond_32_bits(model: WorkspaceModel) -> None:
    sizes = [5, 3_000_000_000, 2**41, 900]
    model.apply(orphan(b"w%d" % size, size) for size in sizes)
    model.sort(COLUMN_OF["size"], Qt.SortOrder.AscendingOrder)
    assert names(model) == [b"w%d" % size for size in sorted(sizes)]


@pytest.mark.parametrize("order", list(Qt.SortOrder))
def test_what_is_not_known_comes_last_in_both_directions(model: WorkspaceModel, order: Qt.SortOrder) -> None:
    model.apply([orphan(b"a", 10), unmeasured(orphan(b"b")), orphan(b"c", 20)])
    model.sort(COLUMN_OF["size"], order)
    assert names(model)[-1] == b"b"


def test_the_youngest_change_comes_first_in_ascending_order(model: WorkspaceModel) -> None:
    model.apply([orphan(b"old", age=90 * DAY), orphan(b"young", age=3 * DAY)])
    model.sort(COLUMN_OF["change"], Qt.SortOrder.AscendingOrder)
    assert names(model) == [b"young", b"old"]


@pytest.mark.parametrize("column", range(len(COLUMNS)))
def test_every_column_sorts(model: WorkspaceModel, column: int) -> None:
    rows = realistic_rows(60)
    model.apply(rows)
    for order in Qt.SortOrder:
        model.sort(column, order)
        keys = [COLUMNS[column].sort_key(entry) for entry in model.shown_entries]
        known = [key for key in keys if key is not None]
        assert keys[: len(known)] == known
        assert known == sorted(known, reverse=order is Qt.SortOrder.DescendingOrder)
        assert sorted(names(model)) == sorted(row.name for row in rows)


def test_streaming_sizes_settle_into_order_by_themselves(model: WorkspaceModel, qtbot: QtBot) -> None:
    model.apply([unmeasured(orphan(b"a")), unmeasured(orphan(b"b"))])
    model.sort(COLUMN_OF["size"], Qt.SortOrder.DescendingOrder)
    model.apply([orphan(b"a", 1)])
    model.apply([orphan(b"b", 2)])
    qtbot.waitUntil(lambda: names(model) == [b"b", b"a"])


def test_no_row_moves_while_the_table_is_being_used(model: WorkspaceModel, qtbot: QtBot) -> None:
    model.apply([unmeasured(orphan(b"a")), unmeasured(orphan(b"b"))])
    moved = []
    model.layoutChanged.connect(lambda: moved.append(time.monotonic()))
    model.hold()
    held_at = time.monotonic()
    model.apply([orphan(b"b", 2)])
    qtbot.waitUntil(lambda: names(model) == [b"b", b"a"])
    assert moved[0] - held_at >= 0.9


# --- filter ----------------------------------------------------------------------------------------------------------


def test_filters_by_status_search_age_and_size(model: WorkspaceModel) -> None:
    model.apply([orphan(b"big-old", 10**9, age=60 * DAY), orphan(b"small", 10, age=60 * DAY), live(b"alive", 10**9)])
    for wanted, expected in (
        (RowFilter(frozenset({Status.LIVE})), {b"alive"}),
        (RowFilter(search="SMA"), {b"small"}),
        (RowFilter(search="hubot"), {b"alive"}),
        (RowFilter(search="a task"), {b"big-old", b"small"}),
        (RowFilter(older_than=45 * DAY), {b"big-old", b"small"}),
        (RowFilter(larger_than=10**6), {b"big-old", b"alive"}),
        (RowFilter(frozenset({Status.ORPHAN}), larger_than=10**6), {b"big-old"}),
        (RowFilter(), {b"big-old", b"small", b"alive"}),
    ):
        model.set_filter(wanted)
        assert set(names(model)) == expected


def test_what_is_not_measured_passes_no_bound(model: WorkspaceModel) -> None:
    model.apply([unmeasured(orphan(b"a"))])
    model.set_filter(RowFilter(larger_than=0))
    assert names(model) == []


def test_a_row_that_comes_to_match_appears_and_one_that_ceases_to_goes(model: WorkspaceModel) -> None:
    model.set_filter(RowFilter(frozenset({Status.ORPHAN})))
    model.apply([unmeasured(orphan(b"a")), orphan(b"b")])
    assert names(model) == [b"b"]
    model.apply([orphan(b"a"), live(b"b")])
    assert names(model) == [b"a"]


# --- selection -------------------------------------------------------------------------------------------------------


def test_only_orphans_can_be_selected(model: WorkspaceModel) -> None:
    model.apply([orphan(b"gone"), live(b"alive"), unmeasured(orphan(b"unknown"))])
    for name in (b"gone", b"alive", b"unknown"):
        index = cell(model, name, "check")
        assert bool(model.flags(index) & Qt.ItemFlag.ItemIsUserCheckable) is (name == b"gone")
        model.setData(index, Qt.CheckState.Checked, Qt.ItemDataRole.CheckStateRole)
    model.select([b"alive", b"unknown", b"nonexistent"])
    assert checked(model) == {b"gone"}


def test_selection_survives_sort_filter_and_rescan(model: WorkspaceModel) -> None:
    rows = [orphan(b"a", 10, inode=1), orphan(b"b", 20, inode=2), orphan(b"c", 30, inode=3)]
    told = lost_by(model)
    model.apply(rows)
    model.select([b"a", b"c"])
    model.sort(COLUMN_OF["workspace"], Qt.SortOrder.DescendingOrder)
    model.set_filter(RowFilter(search="b"))
    assert (checked(model), model.chosen().hidden) == ({b"a", b"c"}, 2)
    model.set_filter(RowFilter())
    model.apply([unmeasured(row) for row in rows])  # a rescan begins: nothing is an orphan for now
    assert (checked(model), model.chosen().waiting) == (set(), 2)
    model.apply(rows)
    model.end_waiting()
    assert checked(model) == {b"a", b"c"}
    assert not told


def test_selecting_what_is_shown_leaves_what_is_hidden_alone(model: WorkspaceModel) -> None:
    model.apply([orphan(b"first"), orphan(b"second"), live(b"third")])
    model.set_filter(RowFilter(search="first"))
    model.select_shown_orphans()
    assert checked(model) == {b"first"}
    model.set_filter(RowFilter(search="second"))
    model.select_none()
    assert checked(model) == set()


def test_one_that_is_live_again_is_taken_out_and_told(model: WorkspaceModel) -> None:
    told = lost_by(model)
    model.apply([orphan(b"a", inode=2)])
    model.select([b"a"])
    model.apply([replace(live(b"a"), workspace=orphan(b"a", inode=2).workspace)])
    [lost] = told
    assert lost.name == b"a"
    assert "live" in lost.reason or "changed" in lost.reason
    assert checked(model) == set()


def test_another_directory_of_the_same_name_is_taken_out_and_told(model: WorkspaceModel) -> None:
    told = lost_by(model)
    model.apply([orphan(b"a", inode=1)])
    model.select([b"a"])
    model.apply([orphan(b"a", inode=2)])
    assert [(lost.name, "changed" in lost.reason) for lost in told] == [(b"a", True)]
    assert checked(model) == set()


def test_one_that_is_gone_is_taken_out_and_told(model: WorkspaceModel) -> None:
    told = lost_by(model)
    model.apply([orphan(b"a")])
    model.select([b"a"])
    model.apply([], gone=[b"a"])
    assert [lost.name for lost in told] == [b"a"]


def test_one_that_stays_unmeasured_is_told_when_the_scan_ends(model: WorkspaceModel) -> None:
    told = lost_by(model)
    model.apply([orphan(b"a")])
    model.select([b"a"])
    model.apply([unmeasured(orphan(b"a"))])
    assert model.data(cell(model, b"a", "check"), Qt.ItemDataRole.CheckStateRole) == Qt.CheckState.PartiallyChecked
    model.end_waiting()
    assert [lost.name for lost in told] == [b"a"]
    model.apply([orphan(b"a")])
    assert checked(model) == set()


def test_chosen_adds_up_what_is_selected(model: WorkspaceModel) -> None:
    model.apply([orphan(b"a", 3 * 10**9), orphan(b"b", 4 * 10**9, explained=False), orphan(b"c", 7)])
    model.select([b"a", b"b"])
    chosen = model.chosen()
    assert (set(chosen.names), chosen.allocated, chosen.doubtful) == ({b"a", b"b"}, 7 * 10**9, 1)


def test_the_next_orphans_are_those_a_plan_takes(model: WorkspaceModel) -> None:
    ages = [(b"a", 10, 1), (b"b", 50, 2), (b"c", 30, 4)]
    model.apply(orphan(name, size, age=days * DAY) for name, days, size in ages)
    assert model.next_orphans(2, None, Order.OLDEST).allocated == 6
    assert model.next_orphans(1, None, Order.LARGEST).allocated == 4
    assert model.next_orphans(10, 3, Order.OLDEST).count < 3
    assert model.next_orphans(1, None, Order.OLDEST).orphans == 3


# --- a sweep ---------------------------------------------------------------------------------------------------------


def progress(*trees: TreeProgress) -> SweepProgress:
    return SweepProgress(1, "removing", trees)


def test_a_swept_row_stays_until_the_sweep_has_ended(model: WorkspaceModel) -> None:
    told = lost_by(model)
    model.apply([orphan(b"a"), orphan(b"b")])
    model.select([b"a"])
    model.begin_sweep([b"a"])
    model.show_progress(progress(TreeProgress(b"a", "removing", 100, 40)))
    model.apply([], gone=[b"a"])
    assert model.data(cell(model, b"a", "status")) == "Removing"
    model.show_outcomes([Outcome(b"a", Result.REMOVED)])
    model.show_progress(None)
    assert names(model) == [b"b"]
    assert not told


def test_failed_and_skipped_rows_stay_with_their_reason(model: WorkspaceModel) -> None:
    model.apply([orphan(b"a"), orphan(b"b"), orphan(b"c")])
    model.begin_sweep([b"a", b"b", b"c"])
    model.show_outcomes(
        [
            Outcome(b"a", Result.FAILED, "permission denied"),
            Outcome(b"b", Result.SKIPPED, "changed"),
            Outcome(b"c", Result.PARTLY_REMOVED, "cancelled half-way"),
        ]
    )
    model.apply([], gone=[b"c"])
    model.show_progress(None)
    assert {name: model.data(cell(model, name, "reason")) for name in names(model)} == {
        b"a": "permission denied",
        b"b": "changed",
        b"c": "cancelled half-way",
    }
    assert model.summary.rows == 2  # what is half removed is shown, and not counted among what is there
    model.forget_outcomes()
    assert set(names(model)) == {b"a", b"b"}


# --- text ------------------------------------------------------------------------------------------------------------


def test_names_are_plain_text_everywhere(model: WorkspaceModel) -> None:
    row = orphan(b"x")
    name = b"<b>x</b>\xe2\x80\xae\n"
    model.apply([replace(row, workspace=replace(row.workspace, name=name))])
    for column in range(len(COLUMNS)):
        text = str(model.data(model.index(0, column)))
        tip = str(model.data(model.index(0, column), Qt.ItemDataRole.ToolTipRole) or "")
        assert text.isprintable()
        assert "<b>" not in tip
        assert "\u202e" not in tip
    assert model.data(model.index(0, COLUMN_OF["workspace"])) == r"<b>x</b>\u202e\x0a"


def test_a_size_that_was_not_fully_read_is_a_lower_bound(model: WorkspaceModel) -> None:
    row = orphan(b"a", 1_500_000_000)
    assert row.usage is not None
    model.apply([replace(row, usage=replace(row.usage, complete=False, error_count=2, errors=("x: denied",)))])
    assert model.data(cell(model, b"a", "size")) == "≥ 1.5 GB"
    assert "x: denied" in str(model.data(cell(model, b"a", "size"), Qt.ItemDataRole.ToolTipRole))


def test_an_unknown_size_is_a_dash_and_says_when_it_is_still_to_come(model: WorkspaceModel) -> None:
    model.apply([unmeasured(orphan(b"a"))])
    assert model.data(cell(model, b"a", "size")) == "—"
    model.set_measuring(True)
    assert model.data(cell(model, b"a", "size")) == "measuring…"
    model.apply([replace(unmeasured(orphan(b"f", inode=3)), verdict=Verdict(Status.FOREIGN, "another name"))])
    assert model.data(cell(model, b"f", "size")) == "—"


# --- views -----------------------------------------------------------------------------------------------------------


def test_current_row_and_marks_stay_on_their_workspace(model: WorkspaceModel, qtbot: QtBot) -> None:
    view = QTableView()
    qtbot.addWidget(view)
    view.setModel(model)
    model.apply(orphan(b"w%02d" % number, number, inode=number) for number in range(40))
    view.setCurrentIndex(cell(model, b"w07", "workspace"))
    flags = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
    view.selectionModel().select(cell(model, b"w20", "workspace"), flags)
    model.sort(COLUMN_OF["workspace"], Qt.SortOrder.AscendingOrder)
    model.apply([orphan(b"w07", 10**9, inode=7)], gone=[b"w00", b"w21", b"w39"])
    model.settle()
    marked = {model.shown_entries[index.row()].row.name for index in view.selectionModel().selectedRows()}
    assert model.shown_entries[view.currentIndex().row()].row.name == b"w07"
    assert {b"w20"} <= marked <= {b"w07", b"w20"}


# --- a stream of anything --------------------------------------------------------------------------------------------


class Stream(RuleBasedStateMachine):
    """Whatever arrives in whatever order: the table shows exactly what it should, and nothing is ever mixed up."""

    def __init__(self) -> None:
        super().__init__()
        self.model = WorkspaceModel()
        self.tester = QAbstractItemModelTester(self.model, QAbstractItemModelTester.FailureReportingMode.Fatal)
        self.there: dict[bytes, Row] = {}
        self.wanted = RowFilter()
        self.pinned: dict[bytes, QPersistentModelIndex] = {}

    @rule(batch=st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 9), st.sampled_from("olu")), max_size=30))
    def rows(self, batch: list[tuple[bytes, int, str]]) -> None:
        rows = [self._row(*item) for item in batch]
        self.there |= {row.name: row for row in rows}
        self.model.apply(rows)

    def _row(self, name: bytes, size: int, kind: str) -> Row:
        inode = NAMES.index(name) + 1
        if kind == "l":
            return live(name, size, inode=inode)
        row = orphan(name, size, inode=inode)
        return unmeasured(row) if kind == "u" else row

    @rule(gone=st.lists(st.sampled_from(NAMES), max_size=20))
    def leave(self, gone: list[bytes]) -> None:
        for name in gone:
            self.there.pop(name, None)
        self.model.apply([], gone)

    @rule(column=st.integers(0, len(COLUMNS) - 1), order=st.sampled_from(list(Qt.SortOrder)))
    def sort(self, column: int, order: Qt.SortOrder) -> None:
        self.model.sort(column, order)

    @rule(
        statuses=st.frozensets(st.sampled_from([Status.ORPHAN, Status.LIVE, Status.UNMEASURED])),
        search=st.sampled_from(["", "1", "ws-0"]),
        larger=st.none() | st.integers(0, 9),
    )
    def filter(self, statuses: frozenset[Status], search: str, larger: int | None) -> None:
        self.wanted = RowFilter(statuses, search, larger_than=larger)
        self.model.set_filter(self.wanted)

    @rule(some=st.lists(st.sampled_from(NAMES)), selected=st.booleans())
    def select(self, some: list[bytes], selected: bool) -> None:
        self.model.select(some, selected)

    @rule()
    def settle(self) -> None:
        self.model.settle()

    @rule()
    def end_scan(self) -> None:
        self.model.end_waiting()

    @precondition(lambda self: self.model.rowCount())
    @rule(data=st.data())
    def pin_a_row(self, data: st.DataObject) -> None:
        row = data.draw(st.integers(0, self.model.rowCount() - 1))
        self.pinned[self.model.shown_entries[row].row.name] = QPersistentModelIndex(self.model.index(row, 1))

    @invariant()
    def shows_what_it_should(self) -> None:
        now = time.time()
        entries = [self.model.entry(name) for name in self.there]
        accepts = self.wanted.acceptor(now)
        expected = {e.row.name for e in entries if e is not None and accepts(e.row, e.haystack)}
        shown = [entry.row.name for entry in self.model.shown_entries]
        assert len(shown) == len(set(shown)) == self.model.rowCount()
        assert set(shown) == expected
        assert {entry.row.name: entry.row for entry in self.model.shown_entries} == {n: self.there[n] for n in expected}
        assert [self.model.position(name) for name in shown] == list(range(len(shown)))

    @invariant()
    def selects_orphans_only(self) -> None:
        assert all(self.there[name].status is Status.ORPHAN for name in self.model.chosen().names)

    @invariant()
    def persistent_indexes_stay_with_their_row(self) -> None:
        for name, index in list(self.pinned.items()):
            if not index.isValid():
                del self.pinned[name]
                continue
            assert self.model.shown_entries[index.row()].row.name == name

    def teardown(self) -> None:
        delete_now(self.tester, self.model)


def test_any_stream_of_changes_keeps_the_table_true(qapp: QApplication) -> None:
    run_state_machine_as_test(
        Stream, settings=settings(max_examples=40, stateful_step_count=30, suppress_health_check=list(HealthCheck))
    )


class Counted(RuleBasedStateMachine):
    """Rows come, change, are selected, swept and lost to another engine; what is counted is what is there."""

    def __init__(self) -> None:
        super().__init__()
        self.model = WorkspaceModel()

    some_names = st.lists(st.sampled_from(NAMES), max_size=12)

    @rule(batch=st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 9), st.sampled_from("olui")), max_size=20))
    def rows(self, batch: list[tuple[bytes, int, str]]) -> None:
        for name, size, kind in batch:
            row = live(name, size) if kind == "l" else orphan(name, size, explained=size % 2 == 0)
            if kind == "i" and row.usage is not None:
                row = replace(row, usage=replace(row.usage, complete=False))
            self.model.apply([unmeasured(row) if kind == "u" else row])

    @rule(gone=some_names)
    def leave(self, gone: list[bytes]) -> None:
        self.model.apply([], gone)

    @rule(some=some_names, selected=st.booleans())
    def select(self, some: list[bytes], selected: bool) -> None:
        self.model.select(some, selected)

    @rule(some=some_names)
    def sweep(self, some: list[bytes]) -> None:
        trees = tuple(TreeProgress(name, "removing", 9, 3) for name in some)
        self.model.show_progress(SweepProgress(1, "removing", trees))

    @rule(some=some_names, result=st.sampled_from([Result.REMOVED, Result.FAILED]))
    def outcomes(self, some: list[bytes], result: Result) -> None:
        self.model.show_outcomes(Outcome(name, result, "so it went") for name in some)

    @rule()
    def end_sweep(self) -> None:
        self.model.show_progress(None)

    @rule()
    def forget_outcomes(self) -> None:
        self.model.forget_outcomes()

    @rule()
    def another_engine(self) -> None:
        self.model.mark_stale()

    @rule()
    def listed(self) -> None:
        self.model.drop_stale()
        self.model.end_waiting()

    @rule(status=st.sampled_from([Status.ORPHAN, Status.LIVE]))
    def filter(self, status: Status) -> None:
        self.model.set_filter(RowFilter(frozenset({status})))

    @invariant()
    def counts_what_is_there(self) -> None:
        entries = [entry for entry in map(self.model.entry, NAMES) if entry is not None]
        there = [entry for entry in entries if not entry.departed]
        measured = [(entry.row.status, entry.row.usage) for entry in there if entry.row.usage is not None]
        summary = self.model.summary
        assert summary.counts == dict(Counter(entry.row.status for entry in there))
        assert summary.rows == len(there)
        assert summary.incomplete == any(not usage.complete for _, usage in measured)
        sizes: Counter[Status] = Counter()
        for status, usage in measured:
            sizes[status] += usage.allocated
        assert +Counter(summary.allocated) == +sizes
        assert self.model.max_allocated == max([1, *(usage.allocated for _, usage in measured)])

    @invariant()
    def knows_what_is_selected_and_comes_next(self) -> None:
        entries = [entry for entry in map(self.model.entry, NAMES) if entry is not None]
        chosen = self.model.chosen()
        assert set(chosen.names) == {entry.name for entry in entries if entry.selected}
        assert chosen.waiting == sum(entry.waiting for entry in entries)
        assert chosen.hidden == sum(entry.selected and self.model.position(entry.name) is None for entry in entries)
        assert self.model.any_chosen == bool(chosen.names)
        following = self.model.next_orphans(100, None, Order.OLDEST)
        rows = [entry.row for entry in entries if not entry.departed and not entry.stale]
        assert following.orphans == sum(row.status is Status.ORPHAN for row in rows)
        assert following.possible == sum(row.status is Status.UNMEASURED and row.usage is None for row in rows)

    def teardown(self) -> None:
        delete_now(self.model)


def test_any_stream_of_changes_is_counted_right(qapp: QApplication) -> None:
    run_state_machine_as_test(
        Counted, settings=settings(max_examples=40, stateful_step_count=30, suppress_health_check=list(HealthCheck))
    )


@pytest.fixture(autouse=True)
def _application(qapp: QApplication) -> None:
    """Timers and models need one."""


def test_what_a_new_engine_does_not_list_is_no_orphan_and_leaves(model: WorkspaceModel) -> None:
    lost: list[tuple[Lost, ...]] = []
    model.selection_lost.connect(lost.append)
    model.apply([orphan(b"a", 1), orphan(b"b", 2), live(b"c")])
    model.select([b"a", b"b"])
    model.mark_stale()
    assert model.chosen().names == ()
    assert model.next_orphans(10, None, Order.OLDEST).count == 0
    model.apply([orphan(b"a", 1)])
    assert model.chosen().names == (b"a",)
    model.drop_stale()
    assert [row.name for row in model.rows] == [b"a"]
    assert lost == [(Lost(b"b", "is no longer on the volume"),)]
    model.drop_stale()
    assert len(lost) == 1


def test_what_waits_for_the_registry_is_told_apart(model: WorkspaceModel) -> None:
    model.apply([orphan(b"a", 1), orphan(b"b", 2)])
    model.select([b"a", b"b"])
    row = orphan(b"a", 1)
    down = replace(row.verdict, status=Status.UNKNOWN, reason="the registry could not be read")
    model.apply([replace(row, verdict=down)])
    chosen = model.chosen()
    assert (chosen.waiting, chosen.unknown) == (1, 1)
    words = note_words(chosen, Next(), measuring=False, filtered=False)
    assert "1 more selected, waiting for the registry" in words
