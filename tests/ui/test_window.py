"""The whole window with a scripted engine: what is shown, what is asked, and what is sent."""

import asyncio
import csv
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication, QKeySequence
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QComboBox,
    QLabel,
    QLineEdit,
    QMenu,
    QSpinBox,
)

from sweeper_gui.core.outcome import Ending, Outcome, Result
from sweeper_gui.core.plan import Candidate
from sweeper_gui.core.policy import Treatment
from sweeper_gui.core.verdict import Status
from sweeper_gui.engine.messages import (
    Bind,
    Cancel,
    Done,
    Failure,
    Pin,
    Prepare,
    Purge,
    ReadRegistry,
    Restore,
    Resume,
    Scan,
    SetImpact,
    SourceState,
    Sweep,
    Trash,
    Update,
)
from sweeper_gui.ui.columns import COLUMN_OF
from sweeper_gui.ui.controller import EngineDeath
from sweeper_gui.ui.main_window import MainWindow
from sweeper_gui.ui.plan_choice import all_set_aside
from sweeper_gui.ui.prompts import Confirmed, QuitChoice, SweepQuestion, TrashAct, TrashChoice
from tests.support.messages import Messages
from tests.ui.conftest import Stage, as_shown, until
from tests.ui.rows import DAY, live, orphan, realistic_rows
from tests.ui.scripted_host import VOLUME, ScriptedHost, trash_items

Play = Callable[..., None]


def orphans(count: int = 6, **host: object) -> ScriptedHost:
    rows = [orphan(b"gone-%02d" % n, (n + 1) * 10**9, inode=n + 1, age=(n + 2) * DAY) for n in range(count)]
    return ScriptedHost([*rows, live(b"alive")], **host)  # type: ignore[arg-type]


def swept(host: ScriptedHost) -> Sweep:
    [request] = host.asked(Sweep)
    assert isinstance(request, Sweep)
    return request


# --- listing ---------------------------------------------------------------------------------------------------------


def test_lists_counts_and_names_what_it_would_sweep(play: Play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.scanned()
        window = stage.window
        assert window.filters.chips[Status.ORPHAN].count == 6
        assert window.filters.chips[Status.LIVE].count == 1
        assert window.bottom.sweep_button.text() == "Sweep 6 of 6 orphans · 21.0 GB…"
        assert window.header.root.text() == VOLUME.root
        assert window.header.kind.text() == "nfs4 · network"
        assert "1 of 7 directories have a live session" in window.header.registry.text()
        assert window.windowTitle() == f"{VOLUME.root} – Sweeper"

    play(orphans(), scene)


def test_a_scan_can_be_stopped_with_the_same_button(play: Play) -> None:
    async def scene(stage: Stage) -> None:
        await until(lambda: stage.window.header.rescan_button.text() == "Sto&p scan")
        stage.window.header.rescan_button.click()
        await until(lambda: stage.host.asked(Cancel))
        await until(lambda: stage.window.header.rescan_button.text() == "&Rescan")
        assert "failure" not in stage.window.banners.notices
        stage.window.header.rescan_button.click()
        await until(lambda: len(stage.host.asked(Scan)) == 2)

    play(orphans(measured_per_poll=0), scene)


def test_the_registry_is_read_again_on_demand(play: Play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.window.header.registry_button.click()
        await until(lambda: stage.host.asked(ReadRegistry))

    play(orphans(), scene)


def test_a_registry_that_failed_is_told_with_what_to_mend(play: Play) -> None:
    host = orphans()
    broken = SourceState("postgresql://db/collab", 0, "connection refused", "Check 'source'.")
    host.registry = replace(host.registry, sources=(broken,), trusted=False, problems=("connection refused",))

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        notice = stage.window.banners.notices["registry"]
        assert "connection refused" in notice.text
        assert notice.hint == "Check 'source'."
        notice.remedies[0].act()
        await until(lambda: stage.host.asked(ReadRegistry))

    play(host, scene)


def test_a_registry_that_only_a_person_can_accept_is_offered_for_it(play: Play) -> None:
    host = orphans()
    loss = "40 of 112 sessions are live no more; accept the registry ('sweeper bind') if that is right"
    host.registry = replace(host.registry, trusted=False, problems=(loss,))

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        again, accept = stage.window.banners.notices["registry"].remedies
        assert again.label == "Read it again"
        stage.prompts.yes = False
        accept.act()
        await until(lambda: stage.prompts.questions)
        assert not host.asked(Bind)
        stage.prompts.yes = True
        accept.act()
        await until(lambda: host.asked(Bind))

    play(host, scene)


def test_a_volume_that_can_not_be_read_is_told_and_nothing_can_be_swept(play: Play) -> None:
    host = ScriptedHost([], volume=replace(VOLUME, error="not mounted: /mnt/efs is an empty directory"))

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        assert not stage.window.bottom.sweep_button.isEnabled()
        assert stage.window.bottom.note.text() == "The volume can't be read"

    play(host, scene)


def test_a_stalled_volume_is_told_and_taken_back(play: Play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.host.stalled = 7.2
        await until(lambda: "stalled" in stage.window.banners.notices)
        assert "7 s" in stage.window.banners.notices["stalled"].text
        stage.host.stalled = 0.0
        await until(lambda: "stalled" not in stage.window.banners.notices)

    play(orphans(), scene)


# --- sweeping --------------------------------------------------------------------------------------------------------


def test_the_next_ones_are_swept_after_a_word_for_exactly_this_list(play: Play) -> None:
    host = orphans()

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm = as_shown
        stage.window.bottom.cap.setValue(2)
        await until(lambda: stage.window.bottom.sweep_button.text().startswith("Sweep 2 of 6"))
        stage.window.bottom.sweep_button.click()
        await until(lambda: stage.prompts.reports)
        [question] = stage.prompts.sweeps
        assert swept(host).plan == question.plan
        assert swept(host).digest == question.plan.digest
        [view] = stage.prompts.reports
        assert [outcome.name for outcome in view.report.outcomes] == [b"gone-05", b"gone-04"]  # the oldest two
        await until(lambda: stage.model.position(b"gone-05") is None)
        assert stage.window.bottom.currentIndex() == 0

    play(host, scene)


def test_without_a_word_nothing_is_sent(play: Play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.window.bottom.sweep_button.click()
        await until(lambda: stage.prompts.sweeps)
        await asyncio.sleep(0.05)

    host = orphans()
    play(host, scene)
    assert not host.asked(Sweep)


def test_a_row_that_changes_after_the_plan_does_not_change_what_is_sent(play: Play) -> None:
    host = orphans()

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.model.select([b"gone-00", b"gone-01"])

        def confirm(question: SweepQuestion) -> Confirmed:
            changed = orphan(b"gone-00", 99, inode=77)
            stage.model.apply([changed, live(b"gone-01")])
            stage.model.select([b"gone-02"])
            return as_shown(question)

        stage.prompts.confirm = confirm
        stage.window.actions_["sweep"].trigger()
        await until(lambda: host.asked(Sweep))
        sent = swept(host).plan
        assert {c.name: c.usage.allocated for c in sent.candidates} == {b"gone-00": 10**9, b"gone-01": 2 * 10**9}
        assert sent == stage.prompts.sweeps[0].plan

    play(host, scene)


def test_selected_ones_are_asked_for_by_name_and_without_a_cap(play: Play) -> None:
    host = orphans(count=14)

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.window.actions_["select_orphans"].trigger()
        await until(lambda: stage.window.bottom.sweep_button.text().startswith("Sweep 14 selected"))
        stage.window.actions_["sweep"].trigger()
        await until(lambda: stage.prompts.sweeps)
        [request] = host.asked(Prepare)
        assert isinstance(request, Prepare)
        assert set(request.request.names) == {b"gone-%02d" % n for n in range(14)}
        assert request.request.cap is None
        assert not request.request.remove_doubtful

    play(host, scene)


def test_hidden_selected_ones_are_counted_and_listed(play: Play) -> None:
    host = orphans()

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.model.select([b"gone-00", b"gone-01"])
        stage.window.filters.search.setText("gone-01")
        await until(lambda: stage.model.rowCount() == 1)
        stage.window.refresh()
        assert "1 of the selected are hidden by the filter" in stage.window.bottom.note.text()
        stage.window.actions_["sweep"].trigger()
        await until(lambda: stage.prompts.sweeps)
        [question] = stage.prompts.sweeps
        assert {candidate.name for candidate in question.plan.candidates} == {b"gone-00", b"gone-01"}
        assert question.hidden == {b"gone-00"}

    play(host, scene)


def test_a_filter_does_not_bound_the_next_ones_and_the_window_says_so(play: Play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.window.filters.search.setText("gone-01")
        await until(lambda: "whatever the filter" in stage.window.bottom.note.text())

    play(orphans(), scene)


def test_set_aside_only_dry_run_and_impact_are_passed_on(play: Play) -> None:
    host = orphans()

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm = as_shown
        bottom = stage.window.bottom
        bottom.set_aside.setChecked(True)
        bottom.dry_run.setChecked(True)
        bottom.impact.setCurrentIndex(bottom.impact.findData("gentle"))
        stage.window.refresh()
        assert bottom.sweep_button.text().startswith("Try to set aside 6 of 6")
        bottom.sweep_button.click()
        await until(lambda: stage.prompts.reports)
        request = swept(host)
        assert (request.dry_run, request.impact) == (True, "gentle")
        assert {candidate.treatment for candidate in request.plan.candidates} == {Treatment.SET_ASIDE}
        assert stage.prompts.sweeps[0].set_aside_only
        assert stage.prompts.reports[0].report.dry_run

    play(host, scene)


def test_an_unreadable_bound_stops_the_button(play: Play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.window.bottom.max_bytes.setText("lots")
        stage.window.refresh()
        assert not stage.window.bottom.sweep_button.isEnabled()
        stage.window.bottom.max_bytes.setText("5 GB")
        stage.window.refresh()
        assert stage.window.bottom.sweep_button.isEnabled()
        assert stage.window.options.max_bytes == 5 * 10**9

    play(orphans(), scene)


def test_progress_shows_at_the_bottom_and_in_the_rows(play: Play) -> None:
    host = orphans(share_per_poll=0.4)

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm = as_shown
        stage.window.bottom.sweep_button.click()
        await until(lambda: stage.controller.sweep is not None and stage.controller.sweep.finished == 1)
        host.share_per_poll = 0.0
        await asyncio.sleep(0.05)
        bottom = stage.window.bottom
        assert bottom.currentIndex() == 1
        assert "1 of 6 done" in bottom.title.text()
        assert stage.window.windowTitle().startswith("Sweep 2")
        assert "2,140/s" in bottom.figures.text()
        assert "freed" in bottom.figures.text()
        assert bottom.progress.value() > 0
        shown = {e.row.name: e.progress for e in stage.model.shown_entries if e.progress is not None}
        assert len(shown) == 5
        assert not stage.window.actions_["rescan"].isEnabled()
        bottom.running_impact.setCurrentIndex(2)
        bottom.running_impact.activated.emit(2)
        await until(lambda: host.asked(SetImpact))

    play(host, scene)


def test_cancelling_reports_what_is_done_half_done_and_untouched(play: Play) -> None:
    host = orphans(share_per_poll=0.4)

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm = as_shown
        stage.window.actions_["select_orphans"].trigger()
        stage.window.actions_["sweep"].trigger()
        await until(lambda: stage.controller.sweep is not None and stage.controller.sweep.finished == 2)
        QTest.keyClick(stage.window, Qt.Key.Key_Escape)
        assert stage.window.bottom.cancel_button.hasFocus() or not stage.window.isActiveWindow()
        assert not host.asked(Cancel)  # Esc alone stops nothing
        stage.window.bottom.cancel_button.click()
        await until(lambda: stage.prompts.reports)
        report = stage.prompts.reports[0].report
        assert report.ending is Ending.CANCELLED
        assert report.count(Result.REMOVED) >= 2
        assert report.untouched
        # They wait for the listing that follows, and are selected then as before.
        await until(lambda: set(stage.model.chosen().names) == set(report.untouched))

    play(host, scene)


def test_failed_and_skipped_rows_stay_and_removed_ones_leave(play: Play) -> None:
    host = orphans()

    def fate(candidate: Candidate) -> Outcome | None:
        if candidate.name == b"gone-01":
            return Outcome(candidate.name, Result.FAILED, "permission denied", error_count=1, errors=("x: denied",))
        return None

    host.fate = fate

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm = as_shown
        stage.window.actions_["sweep"].trigger()
        await until(lambda: stage.prompts.reports)
        await until(lambda: stage.model.rowCount() == 2)
        index = stage.model.index(stage.model.position(b"gone-01") or 0, COLUMN_OF["status"])
        assert index.data() == "Failed"
        assert not stage.window.banners.keys("selection-lost")

    play(host, scene)


def test_a_refusal_is_told_with_its_remedy(play: Play) -> None:
    host = orphans()
    host.failures[Sweep] = Failure("locked", "another sweep holds the lock (mlopez on bastion-2)", "Wait for it.")

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm = as_shown
        stage.window.bottom.sweep_button.click()
        await until(lambda: "failure" in stage.window.banners.notices)
        notice = stage.window.banners.notices["failure"]
        assert (notice.text, notice.hint) == ("Another sweep holds the lock (mlopez on bastion-2)", "Wait for it.")

    play(host, scene)


def test_the_answer_set_aside_sends_a_plan_that_only_sets_aside(play: Play) -> None:
    host = orphans()

    def aside(question: SweepQuestion) -> Confirmed:
        plan = all_set_aside(question.plan)
        return Confirmed(plan, plan.digest)

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm = aside
        stage.window.bottom.sweep_button.click()
        await until(lambda: stage.prompts.reports)
        assert stage.prompts.reports[0].report.count(Result.SET_ASIDE) == 6

    play(host, scene)


def test_one_row_is_removed_through_its_menu(play: Play) -> None:
    host = orphans()

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.model.select([b"gone-03"])
        stage.window.table.selectRow(stage.model.position(b"gone-01") or 0)
        assert stage.window.actions_["remove_one"].isEnabled()
        stage.window.actions_["remove_one"].trigger()
        await until(lambda: stage.prompts.sweeps)
        [question] = stage.prompts.sweeps
        assert [candidate.name for candidate in question.plan.candidates] == [b"gone-01"]
        assert question.plan.explicit
        stage.window.table.selectRow(stage.model.position(b"alive") or 0)
        assert not stage.window.actions_["remove_one"].isEnabled()

    play(host, scene)


def test_a_list_that_takes_long_can_be_stopped(play: Play) -> None:
    host = orphans()
    host.slow.add(Prepare)

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.window.bottom.sweep_button.click()
        await until(lambda: stage.window.bottom.currentIndex() == 1)
        assert "once more" in stage.window.bottom.title.text()
        stage.window.bottom.cancel_button.click()
        await until(lambda: stage.window.message.text() == "Cancelled")
        assert stage.window.bottom.currentIndex() == 0
        assert stage.window.bottom.sweep_button.isEnabled()
        assert not stage.prompts.sweeps
        assert "failure" not in stage.window.banners.notices

    play(host, scene)


# --- keys ------------------------------------------------------------------------------------------------------------


def test_space_and_the_pointer_select_and_delete_sweeps(play: Play) -> None:
    host = orphans()

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        table = stage.window.table
        QTest.keyClick(table, Qt.Key.Key_Delete)
        await until(lambda: "Select the orphans" in stage.window.message.text())
        assert not host.asked(Prepare)
        table.selectRow(1)
        QTest.keyClick(table, Qt.Key.Key_Space)
        assert len(stage.model.chosen().names) == 1
        QTest.keyClick(table, Qt.Key.Key_Space)
        assert not stage.model.chosen().names
        row = stage.model.position(b"gone-02") or 0
        place = table.visualRect(stage.model.index(row, COLUMN_OF["check"])).center()
        QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        assert stage.model.chosen().names == (b"gone-02",)
        QTest.mouseDClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        row = stage.model.position(b"alive") or 0
        place = table.visualRect(stage.model.index(row, COLUMN_OF["check"])).center()
        QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        stage.model.select_none()
        stage.model.select([b"gone-02"])
        QTest.keyClick(table, Qt.Key.Key_Delete)
        await until(lambda: stage.prompts.sweeps)
        assert [c.name for c in stage.prompts.sweeps[0].plan.candidates] == [b"gone-02"]

    play(host, scene)


def test_fields_keep_their_own_keys(play: Play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.scanned()
        search = stage.window.filters.search
        search.setText("gone")
        search.setFocus()
        QTest.keyClick(search, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        assert search.selectedText() == "gone"
        assert not stage.model.chosen().names

    play(orphans(), scene)


def test_space_selects_all_marked_orphans_and_passes_over_the_rest(play: Play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.window.table.selectAll()
        QTest.keyClick(stage.window.table, Qt.Key.Key_Space)
        assert len(stage.model.chosen().names) == 6
        assert b"alive" not in stage.model.chosen().names

    play(orphans(), scene)


def test_every_control_has_an_accessible_name_and_can_be_reached(play: Play) -> None:
    kinds = (QAbstractButton, QLineEdit, QComboBox, QSpinBox, QAbstractItemView)

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        for kind in kinds:
            for control in stage.window.findChildren(kind):
                inner = control.objectName().startswith("qt_") or isinstance(
                    control.parent(), (QComboBox, QSpinBox, QLineEdit)
                )
                if inner or not control.isVisibleTo(stage.window):
                    continue
                name = control.accessibleName() or (control.text() if isinstance(control, QAbstractButton) else "")
                assert name, control
                if not isinstance(control, QAbstractItemView) or control is stage.window.table:
                    assert control.focusPolicy() != Qt.FocusPolicy.NoFocus or not control.isEnabled(), control

    play(orphans(), scene)


def test_chips_filter_and_say_what_they_count(play: Play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.scanned()
        chip = stage.window.filters.chips[Status.LIVE]
        assert chip.accessibleName() == "Show live: 1"
        QTest.keyClick(chip, Qt.Key.Key_Space)
        assert [entry.row.name for entry in stage.model.shown_entries] == [b"alive"]
        stage.window.refresh()
        assert "1 of 7 shown" in stage.window.filters._shown.text()
        stage.window.actions_["clear"].trigger()
        assert stage.model.rowCount() == 7
        stage.window.actions_["orphans_only"].trigger()
        assert stage.model.rowCount() == 6

    play(orphans(), scene)


# --- rows ------------------------------------------------------------------------------------------------------------


def test_paths_are_copied_as_text(play: Play) -> None:
    row = orphan(b"x", 10**12)
    row = replace(row, workspace=replace(row.workspace, name=b"a\x1b[31mb"))

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.window.table.selectRow(0)
        stage.window.actions_["copy_path"].trigger()
        assert QGuiApplication.clipboard().text() == r"/mnt/efs/workspaces/a\x1b[31mb"

    play(ScriptedHost([row]), scene)


def test_a_workspace_is_pinned_from_its_row_and_the_reason_shown_in_full(play: Play) -> None:
    host = orphans()

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.window.table.selectRow(stage.model.position(b"gone-01") or 0)
        stage.window.actions_["pin"].trigger()
        await until(lambda: host.asked(Pin))
        assert host.asked(Pin) == [Pin(b"gone-01", pinned=True)]
        stage.window.actions_["reason"].trigger()
        await until(lambda: stage.prompts.texts)
        assert "session deleted" in stage.prompts.texts[0][2][0]

    play(host, scene)


def test_the_row_menu_opens_without_a_loop_of_its_own(play: Play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.window.table.selectRow(0)
        stage.window.table.customContextMenuRequested.emit(QPoint(10, 10))
        await asyncio.sleep(0.05)
        menu = stage.window.findChild(type(stage.window.actions_.row_menu()))
        assert menu is not None
        menu.close()

    play(orphans(), scene)


# --- the trash, history, check-up ------------------------------------------------------------------------------------


def test_unfinished_and_expired_things_are_offered_at_start(play: Play) -> None:
    host = orphans(trash=trash_items(time.time()))
    host.volume = replace(VOLUME, unfinished=2, expired=1)

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        notice = stage.window.banners.notices["trash"]
        assert "2 unfinished and 1 expired" in notice.text
        stage.prompts.trash_choice = lambda trash: TrashChoice(TrashAct.RESTORE, trash.items[1:2])
        notice.remedies[0].act()
        await until(lambda: stage.prompts.reports)
        assert host.asked(Restore) == [Restore((b"keen-lynx-0042",), (("s1", 1),))]
        await until(lambda: Scan(only_new=True) in host.requests)

    play(host, scene)


def choose_first_two(act: TrashAct) -> Callable[[Trash], TrashChoice | None]:
    return lambda trash: TrashChoice(act, trash.items[:2])


@pytest.mark.parametrize("yes", [True, False])
def test_nothing_is_purged_or_resumed_without_a_word(play: Play, yes: bool) -> None:
    host = orphans(trash=trash_items(time.time()))

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.yes = yes
        for act in (TrashAct.PURGE, TrashAct.RESUME):
            stage.prompts.trash_choice = choose_first_two(act)
            asked = len(stage.prompts.questions)
            stage.window.actions_["trash"].trigger()
            await until(partial(stage.asked_more_than, asked))
            await asyncio.sleep(0.1)
            await until(lambda: not stage.controller.running())
        assert stage.prompts.questions[0].lines == ("calm-heron-0011", "keen-lynx-0042")
        assert stage.prompts.questions[0].danger

    play(host, scene)
    purge = Purge((b"calm-heron-0011", b"keen-lynx-0042"), None, (("s1", 0), ("s1", 1)))
    assert host.asked(Purge) == ([purge] if yes else [])
    assert bool(host.asked(Resume)) is yes


def test_history_check_up_binding_and_help(play: Play) -> None:
    host = orphans()

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        for key in ("history", "doctor", "bind", "keys", "about"):
            stage.window.actions_[key].trigger()
        await until(lambda: stage.prompts.histories and stage.prompts.diagnoses and len(stage.prompts.texts) == 2)
        await until(lambda: "bound" in stage.window.banners.notices)
        assert host.asked(Bind)
        checks = stage.prompts.diagnoses[0].checks
        assert checks[-1].title == "window"
        assert "late by" in checks[-1].detail

    play(host, scene)


def test_how_late_the_window_is_shows_in_the_status_bar_on_request(play: Play) -> None:
    host = orphans()

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        figures, action = stage.window.figures, stage.window.actions_["figures"]
        assert not figures.isVisible()
        action.trigger()
        assert figures.isVisible()
        time.sleep(0.3)  # noqa: ASYNC251 - the freeze that is to be told
        await until(lambda: stage.controller.heartbeat.measured().max > 0.2)
        figures.look()
        late = round(stage.controller.heartbeat.measured().max * 1000)
        assert f"{late} ms at most" in figures.text()
        action.trigger()
        assert not figures.isVisible()

    play(host, scene)


# --- exports ---------------------------------------------------------------------------------------------------------


def test_the_listing_is_exported_off_the_windows_thread_and_defused(play: Play, tmp_path: Path) -> None:
    row = orphan(b"x", 5)
    formula = replace(row, workspace=replace(row.workspace, name=b"=1+1"))

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.path = tmp_path / "listing.csv"
        stage.window.actions_["export"].trigger()
        await until(lambda: "export" in stage.window.banners.notices)
        assert stage.window.banners.notices["export"].kind == "good"
        stage.window.actions_["export"].trigger()  # never overwrites
        await until(lambda: stage.window.banners.notices["export"].kind == "error")

    play(ScriptedHost([formula]), scene)
    lines = list(csv.DictReader((tmp_path / "listing.csv").read_text().splitlines()))
    assert [(line["name"], line["size_bytes"], line["status"]) for line in lines] == [("'=1+1", "5", "orphan")]
    assert (tmp_path / "listing.csv").stat().st_mode & 0o777 == 0o600


def test_the_report_is_exported(play: Play, tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm = as_shown
        stage.prompts.export = True
        stage.prompts.path = tmp_path / "report.csv"
        stage.window.bottom.sweep_button.click()
        await until(lambda: "export" in stage.window.banners.notices)

    play(orphans(), scene)
    assert [line["outcome"] for line in csv.DictReader((tmp_path / "report.csv").read_text().splitlines())] == [
        "removed"
    ] * 6


# --- the engine's death ----------------------------------------------------------------------------------------------


def test_a_dead_engine_is_told_and_a_new_one_can_be_started(play: Play) -> None:
    host = orphans()

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        host.die("the engine was killed by SIGSEGV")
        await until(lambda: "engine-gone" in stage.window.banners.notices)
        assert "SIGSEGV" in stage.window.banners.notices["engine-gone"].hint
        stage.window.refresh()
        assert not stage.window.bottom.sweep_button.isEnabled()
        stage.window.banners.notices["engine-gone"].remedies[0].act()
        await until(lambda: len(host.asked(Scan)) == 2)
        assert "engine-gone" not in stage.window.banners.notices

    play(host, scene)


# --- closing ---------------------------------------------------------------------------------------------------------


def test_closing_an_idle_window_asks_nothing(play: Play) -> None:
    host = orphans()

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        await stage.closed()
        assert not stage.prompts.quits

    play(host, scene)
    assert host.closed


def test_closing_while_sweeping_asks_stops_and_shows_nothing_half(play: Play) -> None:
    host = orphans(share_per_poll=0.1)

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm = as_shown
        stage.window.bottom.sweep_button.click()
        await until(lambda: stage.controller.sweep is not None)
        stage.prompts.quit_choice = QuitChoice.STAY
        stage.window.close()
        await until(lambda: stage.prompts.quits)
        await asyncio.sleep(0.05)
        assert not stage.window.closed.is_set()
        assert not host.asked(Cancel)
        stage.prompts.quit_choice = QuitChoice.STOP
        await stage.closed()
        assert stage.prompts.quits == ["Sweep", "Sweep"]

    play(host, scene)
    assert host.asked(Cancel)
    assert host.closed


def test_a_sweep_that_does_not_stop_can_be_left(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeper_gui.ui.work._STOPS_WITHIN", 0.05)
    host = orphans(share_per_poll=0.0)
    monkeypatch.setattr(host, "_cancel", lambda request: Done())

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm = as_shown
        stage.window.bottom.sweep_button.click()
        await until(lambda: stage.controller.sweep is not None)
        stage.window.close()
        await until(lambda: "quitting" in stage.window.banners.notices)
        assert not stage.window.closed.is_set()
        stage.window.banners.notices["quitting"].remedies[0].act()
        await until(stage.window.closed.is_set)

    play(host, scene)


def test_a_sweep_whose_engine_hangs_can_be_left(
    play: Play, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages.expect("is stuck in the volume")
    monkeypatch.setattr("sweeper_gui.ui.work._STOPS_WITHIN", 0.05)
    host = orphans(share_per_poll=0.0)

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm = as_shown
        stage.window.bottom.sweep_button.click()
        await until(lambda: stage.controller.sweep is not None)
        host.answering.clear()
        stage.window.close()
        await until(lambda: "quitting" in stage.window.banners.notices)
        stage.window.banners.notices["quitting"].remedies[0].act()
        await until(stage.window.closed.is_set, 4)
        host.answering.set()

    play(host, scene)


def test_a_second_signal_ends_it_though_the_engine_hangs(play: Play, messages: Messages) -> None:
    messages.expect("is stuck in the volume")
    host = orphans(share_per_poll=0.0)

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm = as_shown
        stage.window.bottom.sweep_button.click()
        await until(lambda: stage.controller.sweep is not None)
        host.answering.clear()
        stage.work.close_now()
        await asyncio.sleep(0.05)
        assert not stage.window.closed.is_set()
        stage.work.close_now()
        await until(stage.window.closed.is_set, 4)
        host.answering.set()

    play(host, scene)


def test_a_signal_stops_a_sweep_without_asking(play: Play) -> None:
    host = orphans(share_per_poll=0.1)

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm = as_shown
        stage.window.bottom.sweep_button.click()
        await until(lambda: stage.controller.sweep is not None)
        stage.work.close_now()
        await until(stage.window.closed.is_set)
        assert not stage.prompts.quits

    play(host, scene)
    assert host.asked(Cancel)


def test_a_hung_engine_does_not_hold_up_the_closing(play: Play) -> None:
    host = orphans()

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        host.answering.clear()
        await asyncio.sleep(0.05)
        start = time.monotonic()
        await stage.closed()
        assert time.monotonic() - start < 4.0
        host.answering.set()

    play(host, scene)


# --- many ------------------------------------------------------------------------------------------------------------


def test_the_event_loop_keeps_up_with_ten_thousand_streaming_rows(play: Play) -> None:
    host = ScriptedHost(realistic_rows(10_000), measured_per_poll=400)

    async def scene(stage: Stage) -> None:
        await until(stage.model.rowCount)
        stage.controller.heartbeat.reset()
        await stage.scanned()
        late = stage.controller.heartbeat.measured()
        print(f"lateness: max {late.max * 1000:.0f} ms, p99 {late.p99 * 1000:.0f} ms in {late.beats} beats")
        assert late.max < 1.0  # the original incident; the aim is 0.1

    play(host, scene)


# --- what a hostile user tried ---------------------------------------------------------------------------------------


def test_a_bound_that_can_not_be_read_is_no_leave_to_sweep_without_one(play: Play) -> None:
    host = orphans()

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        window = stage.window
        window.bottom.max_bytes.setText("1 XB")
        window.actions_["sweep"].trigger()  # at once, before anything was refreshed
        await asyncio.sleep(0.05)
        window.refresh()
        assert not window.actions_["sweep"].isEnabled()
        assert not window.bottom.sweep_button.isEnabled()
        assert "XB" in window.bottom.note.text()
        assert not host.asked(Prepare)
        stage.model.select([b"gone-01"])  # a selection has no bound
        window.refresh()
        assert window.actions_["sweep"].isEnabled()

    play(host, scene)


def test_an_engine_that_hangs_at_its_start_is_told_and_another_can_be_started(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeper_gui.ui.controller.SILENT_AFTER", 0.1)
    host = orphans()
    host.answering.clear()

    async def scene(stage: Stage) -> None:
        window = stage.window
        assert window.header.root.text() == VOLUME.root
        await until(lambda: window.table._empty_title == "Starting the engine…")
        await until(lambda: "engine-silent" in window.banners.notices)
        window.banners.notices["engine-silent"].remedies[0].act()
        await until(lambda: host.killed)
        host.answering.set()
        await stage.scanned()
        assert len(host.lives) == 2
        assert "engine-silent" not in window.banners.notices
        assert "engine-gone" not in window.banners.notices

    play(host, scene)


def mnemonics(window: MainWindow) -> list[str]:
    """Every letter that Alt reaches something with now, in the window and its menu bar."""
    texts = [action.text() for action in window.menuBar().actions()]
    texts += [button.text() for button in window.findChildren(QAbstractButton) if button.isVisible()]
    texts += [label.text() for label in window.findChildren(QLabel) if label.isVisible() and label.buddy() is not None]
    return [key for text in texts if (key := QKeySequence.mnemonic(text).toString())]


def test_no_two_things_share_a_mnemonic(play: Play) -> None:
    host = orphans(share_per_poll=0.0)
    unique = []

    def look(stage: Stage) -> None:
        keys = mnemonics(stage.window)
        assert len(set(keys)) == len(keys), sorted(keys)
        unique.append(set(keys))

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        look(stage)
        host.push(Update(volume=replace(VOLUME, unfinished=2)))
        await until(lambda: "trash" in stage.window.banners.notices)
        await until(stage.window.banners.isVisible)
        look(stage)
        host.measured_per_poll = 0
        stage.window.actions_["rescan"].trigger()
        await until(lambda: stage.window.header.rescan_button.text() == "Sto&p scan")
        look(stage)
        stage.window.actions_["rescan"].trigger()
        await until(lambda: not stage.controller.running())
        stage.prompts.confirm = as_shown
        stage.window.refresh()
        stage.window.actions_["sweep"].trigger()
        await until(lambda: stage.controller.sweep is not None)
        look(stage)
        for menu in stage.window.menuBar().findChildren(QMenu):
            keys = [QKeySequence.mnemonic(action.text()).toString() for action in menu.actions()]
            keys = [key for key in keys if key]
            assert len(set(keys)) == len(keys), menu.title()

    play(host, scene)
    assert {"Alt+A", "Alt+O", "Alt+S"} <= unique[0]
    assert "Alt+E" in unique[1]
    assert "Alt+P" in unique[2]
    assert "Alt+C" in unique[3]


def test_setting_aside_only_counts_workspaces(play: Play) -> None:
    host = orphans(share_per_poll=0.0)

    async def scene(stage: Stage) -> None:
        await stage.scanned()

        def aside(question: SweepQuestion) -> Confirmed:
            plan = all_set_aside(question.plan)
            return Confirmed(plan, plan.digest)

        stage.prompts.confirm = aside
        stage.window.bottom.sweep_button.click()
        await until(lambda: stage.controller.sweep is not None)
        host.share_per_poll = 1.0
        await until(lambda: stage.controller.sweep is not None and stage.controller.sweep.finished >= 1)
        host.share_per_poll = 0.0
        await asyncio.sleep(0.1)
        done = stage.controller.sweep.finished if stage.controller.sweep else 0
        assert 1 <= done < 6
        assert stage.window.bottom.progress.value() == done * 1000 // 6
        assert stage.window.bottom.figures.text() == f"{done} of 6 workspaces"
        assert "removing" not in stage.window.bottom.title.text()
        assert stage.window.windowTitle().startswith(f"Sweep {done * 100 // 6} %")

    play(host, scene)


def test_a_failure_that_the_volume_tells_is_not_said_twice(play: Play) -> None:
    words = "not mounted: /mnt/efs is an empty directory"
    host = ScriptedHost([], volume=replace(VOLUME, error=words))

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        host.failures[ReadRegistry] = Failure("failed", words)
        stage.window.header.registry_button.click()
        await until(lambda: host.asked(ReadRegistry))
        await asyncio.sleep(0.05)
        assert "failure" not in stage.window.banners.notices

    play(host, scene)


def test_the_trash_is_not_offered_while_something_changes_the_volume(play: Play) -> None:
    host = orphans(share_per_poll=0.0)
    host.volume = replace(VOLUME, unfinished=2)

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        assert "trash" in stage.window.banners.notices
        stage.prompts.confirm = as_shown
        stage.window.bottom.sweep_button.click()
        await until(lambda: stage.controller.sweep is not None)
        assert "trash" not in stage.window.banners.notices
        host.share_per_poll = 10.0
        await until(lambda: "trash" in stage.window.banners.notices)

    play(host, scene)


def test_the_word_of_an_engines_death_is_taken_back_with_the_next(play: Play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.window.show_death(EngineDeath("killed", sweeping=True, restarting=True))
        assert "engine-died" in stage.window.banners.notices
        stage.window.show_death(EngineDeath("no memory", sweeping=False, restarting=False))
        assert "engine-died" not in stage.window.banners.notices

    play(orphans(), scene)


def test_a_binding_is_not_told_as_a_registry_that_could_not_be_read(play: Play) -> None:
    host = orphans()
    problem = "this volume is bound to the registry a, not to b: if the change is meant, say so with 'sweeper bind'"
    host.registry = replace(host.registry, trusted=False, problems=(problem,))

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        assert stage.window.banners.notices["registry"].text.startswith("The registry is not accepted: this volume")

    play(host, scene)


def test_the_title_tells_that_nothing_has_been_listed_yet(play: Play) -> None:
    titles: list[str] = []

    async def scene(stage: Stage) -> None:
        stage.window.refresh()
        titles.append(stage.window.windowTitle())
        await stage.scanned()
        stage.window.refresh()
        titles.append(stage.window.windowTitle())

    play(ScriptedHost(realistic_rows(10)), scene)
    assert titles[0].startswith("Starting…")
    assert titles[1].startswith("/")
