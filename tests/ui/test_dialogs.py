import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QAbstractItemModelTester, QTest
from PySide6.QtWidgets import QDialog, QLabel, QPushButton, QWidget

from sweeper_gui.core.audit import NO_RULE, PastEvidence, PastSweep, Proposal, TicketRule, Who
from sweeper_gui.core.outcome import Ending, Outcome, Report, Result
from sweeper_gui.core.plan import Request as SweepRequest
from sweeper_gui.core.plan import make_plan
from sweeper_gui.core.policy import Treatment
from sweeper_gui.core.row import Row
from sweeper_gui.core.verdict import Doubt
from sweeper_gui.engine.messages import Check, Diagnosis, History, Trash
from sweeper_gui.ui.dialogs.answers import DialogPrompts
from sweeper_gui.ui.dialogs.base import open_dialogs
from sweeper_gui.ui.dialogs.confirm import UNSEEN, ConfirmDialog, doubt_words
from sweeper_gui.ui.dialogs.doctor import DoctorDialog, diagnosis_text
from sweeper_gui.ui.dialogs.history import _TITLES, HistoryDialog
from sweeper_gui.ui.dialogs.plan_model import Line, PlanModel, Section
from sweeper_gui.ui.dialogs.report import ReportDialog
from sweeper_gui.ui.dialogs.simple import PathDialog, QuestionDialog, QuitDialog, path_problem, plan_path_problem
from sweeper_gui.ui.dialogs.text_table import TextModel, TextRow
from sweeper_gui.ui.dialogs.trash import TrashDialog
from sweeper_gui.ui.plan_choice import all_set_aside, doubtful_removed, kept_back, removable
from sweeper_gui.ui.prompts import Confirmed, Question, QuitChoice, ReportView, SweepQuestion, TrashAct
from sweeper_gui.ui.report_words import report_text
from sweeper_gui.ui.theme import Look
from tests.ui.conftest import delete_now, until
from tests.ui.rows import DAY, NOW, POLICY, live, orphan
from tests.ui.scripted_host import trash_items

ROOT = "/mnt/efs/workspaces"


def rows() -> list[Row]:
    explained = [orphan(b"gone-%d" % n, (n + 1) * 10**9, inode=n + 1, age=(9 - n) * DAY) for n in range(4)]
    return [*explained, orphan(b"strange", 7, inode=9, explained=False, age=2 * DAY), live(b"alive")]


def question(request: SweepRequest, **more: object) -> SweepQuestion:
    plan = make_plan(rows(), request, POLICY)
    return SweepQuestion(plan, ROOT, NOW, 7 * DAY, **more)  # type: ignore[arg-type]


NEXT_TWO = SweepRequest(cap=2)
NAMED = SweepRequest(names=(b"gone-0", b"strange", b"alive", b"nowhere"))


@pytest.fixture
def parent(look: Look) -> Iterator[QWidget]:
    widget = QWidget()
    yield widget
    delete_now(widget)


def confirm(asked: SweepQuestion, look: Look, parent: QWidget) -> ConfirmDialog:
    dialog = ConfirmDialog(asked, look, parent)
    dialog.open()
    return dialog


def listed(asked: SweepQuestion, look: Look) -> list[Section | Line]:
    model = PlanModel(asked.plan, asked, look)
    return [model.line(row) for row in range(model.rowCount())]


def texts(dialog: QWidget) -> str:
    return "\n".join(label.text() for label in dialog.findChildren(QLabel) if label.isVisibleTo(dialog))


# --- the confirmation ------------------------------------------------------------------------------------------------


def test_every_path_is_listed_with_its_evidence_reserves_and_refusals_apart(look: Look) -> None:
    lines = listed(question(NAMED), look)
    assert [line.text for line in lines if isinstance(line, Section)] == [
        "To be swept, in this order: 2",
        "Refused, never touched: 2",
    ]
    by_path = {line.path: line for line in lines if isinstance(line, Line)}
    assert set(by_path) == {f"{ROOT}/{name}" for name in ("gone-0", "strange", "alive", "nowhere")}
    first = by_path[f"{ROOT}/gone-0"]
    assert (first.size, first.entries, first.age, first.treatment) == ("1.0 GB", "100", "9 days ago", "remove")
    assert "session deleted" in first.reason
    assert (by_path[f"{ROOT}/strange"].treatment, by_path[f"{ROOT}/strange"].doubts) == ("set aside", "unexplained")
    assert by_path[f"{ROOT}/alive"].reason.startswith("live: ")
    assert by_path[f"{ROOT}/nowhere"].reason == "no such workspace on the volume"


def test_reserves_have_a_section_of_their_own(look: Look) -> None:
    lines = listed(question(NEXT_TWO), look)
    sections = [line.text for line in lines if isinstance(line, Section)]
    assert sections[0] == "To be swept, in this order: 2"
    assert sections[1].startswith("In reserve, only where one above is skipped: ")
    assert [line.path for line in lines if isinstance(line, Line)][:2] == [f"{ROOT}/gone-0", f"{ROOT}/gone-1"]


def test_names_in_the_list_are_plain_text(look: Look, parent: QWidget) -> None:
    row = orphan(b"x")
    bad = replace(row, workspace=replace(row.workspace, name=b"<b>\xe2\x80\xae"))
    plan = make_plan([bad], SweepRequest(names=(bad.name,)), POLICY)
    model = PlanModel(plan, SweepQuestion(plan, ROOT, NOW, 7 * DAY, hidden=frozenset({bad.name})), look)
    index = model.index(1, 0)
    assert index.data() == rf"{ROOT}/<b>\u202e"
    assert "<b>" not in str(index.data(Qt.ItemDataRole.ToolTipRole))
    assert str(model.index(1, 6).data()).endswith("(hidden by the filter)")


def test_the_focus_is_on_cancel_and_enter_means_no(look: Look, parent: QWidget) -> None:
    dialog = confirm(question(NEXT_TWO), look, parent)
    assert dialog.focusWidget() is dialog.cancel_button
    QTest.keyClick(dialog, Qt.Key.Key_Return)
    assert not dialog.isVisible()
    assert dialog.confirmed is None


def test_escape_means_no(look: Look, parent: QWidget) -> None:
    dialog = confirm(question(NEXT_TWO), look, parent)
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    assert dialog.confirmed is None
    assert not dialog.isVisible()


def test_remove_confirms_exactly_the_plan_that_was_asked_about(look: Look, parent: QWidget) -> None:
    asked = question(NEXT_TWO)
    dialog = confirm(asked, look, parent)
    assert dialog.remove_button.text() == "&Remove 2 now"
    dialog.remove_button.click()
    assert dialog.confirmed == Confirmed(asked.plan, asked.plan.digest)


def test_set_aside_stands_beside_it_and_sends_the_same_list(look: Look, parent: QWidget) -> None:
    asked = question(NEXT_TWO)
    dialog = confirm(asked, look, parent)
    assert dialog.aside_button.text() == "Set a&side 2 (undo for 7 days)"
    dialog.aside_button.click()
    assert dialog.confirmed is not None
    sent = dialog.confirmed.plan
    assert dialog.confirmed.digest == sent.digest != asked.plan.digest
    assert {candidate.treatment for candidate in sent.candidates} == {Treatment.SET_ASIDE}
    assert [c.name for c in sent.candidates] == [c.name for c in asked.plan.candidates]
    assert [c.workspace for c in sent.candidates] == [c.workspace for c in asked.plan.candidates]


def test_doubtful_ones_need_an_act_of_their_own_and_only_by_name(look: Look, parent: QWidget) -> None:
    asked = question(NAMED)
    dialog = confirm(asked, look, parent)
    assert dialog.remove_button.text() == "&Remove 1 now, set aside 1"
    assert "1 workspace with doubts is only set aside" in texts(dialog)
    box = dialog._with_doubtful
    assert box.isVisibleTo(dialog)
    assert not box.isChecked()
    box.click()
    assert dialog.remove_button.text() == "&Remove 2 now"
    shown = [dialog._model.line(row) for row in range(dialog._model.rowCount())]
    assert [line.treatment for line in shown if isinstance(line, Line)][:2] == ["remove", "remove"]
    dialog.remove_button.click()
    assert dialog.confirmed is not None
    assert dialog.confirmed.digest == dialog.plan.digest
    assert {c.treatment for c in dialog.confirmed.plan.candidates} == {Treatment.REMOVE}


def test_the_warning_tells_of_the_doubts_that_there_are(look: Look, parent: QWidget) -> None:
    unsaved = orphan(b"work", 5, inode=20)
    verdict = replace(unsaved.verdict, doubts=(Doubt.UNSAVED_WORK,))
    unsaved = replace(unsaved, verdict=verdict)
    strange = orphan(b"strange", 7, inode=9, explained=False)
    for rows, told in (((unsaved,), "1 workspace with doubts is only set aside: unsaved work may exist nowhere else."),
                       ((strange,), "1 workspace with doubts is only set aside: that no session is known is no proof "
                        "that nobody needs it.")):  # fmt: skip
        assert doubt_words(make_plan(rows, SweepRequest(cap=10), POLICY)) == told
    both = doubt_words(make_plan((unsaved, strange), SweepRequest(cap=10), POLICY))
    assert both.startswith("2 workspaces with doubts are only set aside: that no session is known ")
    assert both.endswith("; unsaved work may exist nowhere else.")


def test_what_was_not_asked_for_by_name_is_never_offered_for_removal_with_doubts(look: Look, parent: QWidget) -> None:
    dialog = confirm(question(SweepRequest(cap=10)), look, parent)
    assert kept_back(dialog.plan)
    assert not dialog._with_doubtful.isVisibleTo(dialog)
    with pytest.raises(ValueError, match="by name"):
        doubtful_removed(dialog.plan)


def test_where_only_setting_aside_was_asked_for_nothing_can_be_removed(look: Look, parent: QWidget) -> None:
    dialog = confirm(question(replace(NAMED, set_aside=True), set_aside_only=True), look, parent)
    assert not dialog.remove_button.isVisibleTo(dialog)
    assert not dialog._with_doubtful.isVisibleTo(dialog)
    assert dialog.aside_button.isEnabled()


def test_an_empty_plan_can_not_be_confirmed(look: Look, parent: QWidget) -> None:
    dialog = confirm(question(SweepRequest(names=(b"alive",))), look, parent)
    assert not dialog.remove_button.isEnabled()
    assert not dialog.aside_button.isEnabled()


def test_the_ticket_goes_with_the_answer_and_one_that_will_not_do_gives_none(look: Look, parent: QWidget) -> None:
    rule = TicketRule("OPS-[0-9]+", required=True)
    dialog = confirm(question(NEXT_TWO, ticket=rule), look, parent)
    buttons = (dialog.remove_button, dialog.aside_button)
    assert dialog.ticket.edit.placeholderText() == "required"
    assert not any(button.isEnabled() for button in buttons)
    assert dialog.save_button.isEnabled()  # who approves may give it
    dialog.ticket.edit.setText("lots")
    assert "does not match the pattern" in texts(dialog)
    assert dialog.ticket.edit.accessibleDescription()
    assert not any(button.isEnabled() for button in (*buttons, dialog.save_button))
    QTest.keyClicks(dialog.ticket.edit, "")
    dialog.ticket.edit.setText("OPS-12")
    assert all(button.isEnabled() for button in (*buttons, dialog.save_button))
    dialog.aside_button.click()
    assert dialog.confirmed is not None
    assert (dialog.confirmed.ticket, dialog.confirmed.save) == ("OPS-12", False)
    dry = confirm(question(NEXT_TWO, ticket=rule, dry_run=True), look, parent)
    assert dry.remove_button.isEnabled()


def test_a_plan_can_be_saved_for_somebody_else(look: Look, parent: QWidget) -> None:
    asked = question(NEXT_TWO)
    dialog = confirm(asked, look, parent)
    dialog.save_button.click()
    assert dialog.confirmed == Confirmed(asked.plan, asked.plan.digest, save=True)


def test_where_two_persons_are_wanted_ones_own_plan_can_only_be_saved(look: Look, parent: QWidget) -> None:
    dialog = confirm(question(NEXT_TWO, two_persons=True), look, parent)
    assert "somebody else has proposed" in texts(dialog)
    assert not dialog.remove_button.isEnabled()
    assert not dialog.aside_button.isEnabled()
    assert dialog.save_button.isEnabled()


def test_where_two_persons_are_wanted_a_file_of_ones_own_can_not_be_swept(look: Look, parent: QWidget) -> None:
    proposal = Proposal(Who("root", "vm", 3), NOW - 7_200, "d", "OPS-7")
    dialog = confirm(question(NAMED, proposal=proposal, two_persons=True, own=True), look, parent)
    assert "somebody else must sweep it" in texts(dialog)
    assert not dialog.remove_button.isEnabled()
    assert not dialog.aside_button.isEnabled()
    only_mine = confirm(question(NAMED, proposal=proposal, own=True), look, parent)
    assert only_mine.remove_button.isEnabled()


def test_a_proposed_plan_says_whose_it_is_and_is_not_made_worse(look: Look, parent: QWidget) -> None:
    proposal = Proposal(Who("amelie", "laptop", 3), NOW - 7_200, "d", "OPS-7")
    dialog = confirm(question(NAMED, proposal=proposal, two_persons=True), look, parent)
    assert "Proposed by amelie@laptop 2 hours ago, for ticket OPS-7." in texts(dialog)
    assert not dialog._with_doubtful.isVisibleTo(dialog)
    assert not dialog.save_button.isVisibleTo(dialog)
    assert dialog.ticket.edit.isReadOnly()
    dialog.remove_button.click()
    assert dialog.confirmed is not None
    assert dialog.confirmed.ticket == "OPS-7"


def test_nothing_in_the_trash_can_be_touched_without_the_ticket_that_is_wanted(look: Look, parent: QWidget) -> None:
    rule = TicketRule(required=True)
    dialog = TrashDialog(Trash(tuple(trash_items(NOW)), "/x"), NOW, look, parent, rule=rule)
    dialog.open()
    dialog.mark(2, 3)
    buttons = (dialog.restore_button, dialog.purge_button, dialog.resume_button)
    assert not any(button.isEnabled() for button in buttons)
    dialog.ticket.edit.setText("OPS-1")
    assert all(button.isEnabled() for button in buttons)
    dialog.purge_button.click()
    assert dialog.choice is not None
    assert dialog.choice.ticket == "OPS-1"


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "Name a file"), ("p.json", "absolute"), ("/a\0b", "absolute"), ("~nobody-at-all/x", "home")],
)
def test_the_path_of_a_plan_is_absolute(look: Look, parent: QWidget, text: str, words: str) -> None:
    assert words in plan_path_problem(text)
    for good in ("/mnt/efs/p.json", "~/p.json"):
        assert plan_path_problem(good) == ""


def test_the_summary_counts_and_what_can_not_be_seen_is_said(look: Look, parent: QWidget) -> None:
    dialog = confirm(question(NEXT_TWO), look, parent)
    assert "2 workspaces, 3.0 GB in 200 entries; 3 more orphans stay for the next sweep." in texts(dialog)
    assert UNSEEN in texts(dialog)
    dry = confirm(question(NEXT_TWO, dry_run=True), look, parent)
    assert "Dry run, nothing is changed" in texts(dry)
    assert dry.remove_button.text().startswith("Try: ")


def test_what_the_filter_hides_is_counted_in_the_confirmation(look: Look, parent: QWidget) -> None:
    assert "hidden by the window's filter" not in texts(confirm(question(NEXT_TWO), look, parent))
    some = confirm(question(NEXT_TWO, hidden=frozenset({b"gone-0", b"gone-3"})), look, parent)
    assert "1 of these is hidden by the window's filter." in texts(some)


def test_the_choices_keep_the_candidates() -> None:
    plan = question(NAMED).plan
    for chosen in (all_set_aside(plan), doubtful_removed(plan)):
        assert [replace(c, treatment=Treatment.REMOVE) for c in chosen.candidates] == [
            replace(c, treatment=Treatment.REMOVE) for c in plan.candidates
        ]
        assert (chosen.refused, chosen.cap, chosen.explicit) == (plan.refused, plan.cap, plan.explicit)
    assert [c.name for c in removable(plan)] == [b"gone-0"]
    assert removable(all_set_aside(plan)) == ()


def test_models_of_dialogs_keep_qts_rules(look: Look) -> None:
    models: list[PlanModel | TextModel] = [
        PlanModel(question(NAMED).plan, question(NAMED), look),
        TextModel(("A", "B"), [TextRow(("1", "2"), "good", "good")], look, right={1}),
    ]
    for model in models:
        tester = QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
        if isinstance(model, PlanModel):
            model.show_plan(question(NEXT_TWO).plan)
        else:
            model.show_rows([])
        delete_now(tester, model)


# --- the others ------------------------------------------------------------------------------------------------------


def test_a_report_tells_each_outcome_and_copies_as_text(look: Look, parent: QWidget) -> None:
    outcomes = (
        Outcome(b"fine", Result.REMOVED, "", 10, 2_000_000_000),
        Outcome(b"=bad\x1b", Result.FAILED, "permission denied", 1, 5, 4, ("a: denied", "b: denied")),
        Outcome(b"half", Result.PARTLY_REMOVED, "cancelled", 5, 7),
    )
    report = Report("s", outcomes, Ending.CANCELLED, untouched=(b"rest",), remaining_orphans=27, seconds=61)
    dialog = ReportDialog(ReportView(report, "Sweep"), look, parent)
    dialog.open()
    shown = texts(dialog)
    assert "Sweep cancelled, 1 with problems" in shown
    assert "1 removed, 1 failed, 1 partly removed, 1 untouched" in shown
    assert "2.0 GB freed" in shown
    assert "27 orphans remain" in shown
    assert "Done: 1. Half done: 1, to be finished with 'Resume' in the trash. Untouched: 1." in shown
    assert [row.cells[1] for row in dialog.model.rows] == [r"=bad\x1b", "half", "fine", "rest"]
    assert "and 2 more" in dialog.model.rows[0].cells[4]
    next(button for button in dialog.findChildren(QPushButton) if button.text() == "&Copy").click()
    assert "failed\t=bad\\x1b\t" in QGuiApplication.clipboard().text()
    assert "\x1b" not in QGuiApplication.clipboard().text()


def test_a_report_that_was_stopped_says_why(look: Look, parent: QWidget) -> None:
    report = Report("s", (), Ending.STOPPED, problem="the registry can't be trusted: timed out")
    dialog = ReportDialog(ReportView(report, "Sweep", "From the log."), look, parent)
    dialog.open()
    assert "the registry can't be trusted: timed out" in texts(dialog)
    assert "From the log." in texts(dialog)


def test_what_was_not_forwarded_is_told_in_the_report(look: Look, parent: QWidget) -> None:
    report = Report("s", (), notes=("2 of 9 messages could not be forwarded",))
    dialog = ReportDialog(ReportView(report, "Sweep"), look, parent)
    assert "2 of 9 messages could not be forwarded" in texts(dialog)
    assert "2 of 9 messages could not be forwarded" in report_text(report, "Sweep")


def test_the_trash_offers_what_is_possible_for_what_is_marked(look: Look, parent: QWidget) -> None:
    items = tuple(trash_items(NOW))
    dialog = TrashDialog(Trash(items, "/mnt/.sweeper/sweeps"), NOW, look, parent)
    dialog.open()
    assert not dialog.restore_button.isEnabled()
    assert not dialog.purge_button.isEnabled()
    assert dialog.resume_button.isVisibleTo(dialog)
    dialog.mark(0)  # half removed: can't be restored
    assert not dialog.restore_button.isEnabled()
    assert dialog.purge_button.isEnabled()
    dialog.mark(2, 3)
    assert dialog.restore_button.text() == "Res&tore 2"
    dialog.restore_button.click()
    assert dialog.choice is not None
    assert (dialog.choice.act, dialog.choice.items) == (TrashAct.RESTORE, items[2:])


def test_nothing_can_be_done_with_a_problem_in_the_trash(look: Look, parent: QWidget) -> None:
    broken = replace(trash_items(NOW)[3], problem="its log can't be read")
    dialog = TrashDialog(Trash((broken,), "/x"), NOW, look, parent)
    dialog.open()
    dialog.mark_all()
    assert not dialog.restore_button.isEnabled()
    assert not dialog.purge_button.isEnabled()


def test_an_empty_trash_says_so(look: Look, parent: QWidget) -> None:
    dialog = TrashDialog(Trash((), ""), NOW, look, parent)
    dialog.open()
    assert "The trash is empty." in texts(dialog)


def test_history_shows_the_outcomes_of_the_marked_sweep(look: Look, parent: QWidget) -> None:
    who = Who("root", "bastion", 7, "mlopez")
    outcome = Outcome(b"calm-heron", Result.REMOVED, "", 5, 10)
    evidence = PastEvidence(b"calm-heron", 0, reason="session deleted 3 Oct", allocated=1_000_000, newest_change=NOW)
    sweeps = (
        PastSweep(
            "s1", NOW, who, "sweep", "sqlite", (outcome,), (evidence,), NOW, Ending.DONE, notes=("syslog hangs",),
            ticket="OPS-123", proposal=Proposal(Who("amelie", "laptop", 3), NOW, "d"), options={"cap": "10"},
        ),
        PastSweep("s0", NOW - DAY, None, "", "", (), problem="the log ends in mid-line"),
    )  # fmt: skip
    dialog = HistoryDialog(History(sweeps, "s0"), look, parent)
    dialog.open()
    assert [row.cells[1] for row in dialog._outcomes.rows] == ["calm-heron"]
    assert dialog._outcomes.rows[0].cells[4] == "1.0 MB"
    assert "session deleted 3 Oct" in dialog._outcomes.rows[0].cells[-1]
    cells = [dialog._table.model().index(0, column).data() for column in range(len(_TITLES))]
    assert (cells[3], cells[4]) == ("mlopez (as root)@bastion", "OPS-123")
    told = texts(dialog)
    for words in ("proposed by amelie@laptop", "options: cap 10", "syslog hangs", "There are older ones"):
        assert words in told
    dialog._table.selectRow(1)
    assert dialog._outcomes.rows == []
    assert "the log ends in mid-line" in texts(dialog)


def test_no_history_says_so(look: Look, parent: QWidget) -> None:
    dialog = HistoryDialog(History(()), look, parent)
    dialog.open()
    assert "No sweep has been run" in texts(dialog)


def test_a_check_up_counts_and_says_what_to_mend(look: Look, parent: QWidget) -> None:
    checks = (
        Check("Volume", "ok", "mounted"),
        Check("Registry", "error", "connection refused", "Check 'source'."),
        Check("Control directory", "warning", "inside the root", "Set control_dir."),
    )
    dialog = DoctorDialog(Diagnosis(checks), look, parent)
    dialog.open()
    assert "1 error and 1 warning in 3 checks." in texts(dialog)
    assert "→ Check 'source'." in texts(dialog)
    assert "[error] Registry: connection refused" in diagnosis_text(Diagnosis(checks))


def test_the_safe_answer_has_the_focus(look: Look, parent: QWidget) -> None:
    asked = QuestionDialog(Question("Purge", "Sure?", "&Purge", ("a", "b"), danger=True), look, parent)
    asked.open()
    assert asked.focusWidget() is asked.no_button
    leaving = QuitDialog("Sweep", look, parent)
    leaving.open()
    QTest.keyClick(leaving, Qt.Key.Key_Return)
    assert leaving.choice is QuitChoice.STAY


@pytest.mark.parametrize(
    ("typed", "fine"),
    [("~/x.csv", True), ("", False), ("/etc/passwd", False), ("~/../x", False), ("~", False), ("relative", False)],
)
def test_exports_go_below_the_home_directory_only(
    typed: str, fine: bool, look: Look, parent: QWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert (path_problem(typed) == "") is fine
    dialog = PathDialog("listing", Path("~/a"), look, parent)
    dialog.open()
    dialog._field.setText(typed)
    assert dialog._save.isEnabled() is fine


# --- awaiting them ---------------------------------------------------------------------------------------------------


def answered(
    run: Callable[[Coroutine[None, None, object]], object],
    look: Look,
    ask: Callable[[DialogPrompts], Coroutine[None, None, object]],
    act: Callable[[QDialog], object],
) -> object:
    async def scene() -> object:
        window = QWidget()
        window.show()
        asking = asyncio.ensure_future(ask(DialogPrompts(window, look)))
        await until(lambda: list(open_dialogs(window)))
        act(next(open_dialogs(window)))
        answer = await asking
        await asyncio.sleep(0.02)
        assert not window.findChildren(QDialog)  # deleted, not only hidden
        window.deleteLater()
        return answer

    return run(scene())


def test_dialogs_are_awaited_without_a_loop_of_their_own(run: Callable, look: Look) -> None:
    asked = question(NEXT_TWO)
    assert answered(run, look, lambda p: p.confirm_sweep(asked), lambda d: d.aside_button.click()) == Confirmed(  # type: ignore[attr-defined]
        all_set_aside(asked.plan), all_set_aside(asked.plan).digest
    )
    assert answered(run, look, lambda p: p.confirm_sweep(asked), QDialog.reject) is None
    simple = Question("Title", "Text", "&Yes")
    assert answered(run, look, lambda p: p.ask(simple), QDialog.accept) is True
    assert answered(run, look, lambda p: p.ask(simple), QDialog.reject) is False
    assert answered(run, look, lambda p: p.ask_quit("Sweep"), lambda d: d.stop_button.click()) is QuitChoice.STOP  # type: ignore[attr-defined]
    assert answered(run, look, lambda p: p.ask_quit("Sweep"), QDialog.reject) is QuitChoice.STAY
    home = Path.home() / "x.csv"
    assert answered(run, look, lambda p: p.ask_path("listing", home), QDialog.accept) == home
    assert answered(run, look, lambda p: p.ask_path("listing", home), QDialog.reject) is None
    assert answered(run, look, lambda p: p.ask_plan_path(home, new=True), QDialog.accept) == home
    assert answered(run, look, lambda p: p.ask_plan_path(home, new=False), QDialog.reject) is None
    view = ReportView(Report("s", ()), "Sweep")
    assert answered(run, look, lambda p: p.show_report(view), QDialog.reject) is False
    assert answered(run, look, lambda p: p.show_history(History(())), QDialog.reject) is None
    assert answered(run, look, lambda p: p.show_diagnosis(Diagnosis(())), QDialog.reject) is None
    assert answered(run, look, lambda p: p.choose_trash(Trash((), ""), NOW, NO_RULE), QDialog.reject) is None
    assert answered(run, look, lambda p: p.show_text("T", "t", ("a",)), QDialog.reject) is None


def test_dismissing_closes_what_is_open_and_answers_no(run: Callable, look: Look) -> None:
    async def scene() -> None:
        window = QWidget()
        window.show()
        prompts = DialogPrompts(window, look)
        asking = asyncio.ensure_future(prompts.ask(Question("Title", "Text", "&Yes")))
        await until(lambda: list(open_dialogs(window)))
        prompts.dismiss()
        assert await asking is False
        window.deleteLater()

    run(scene())
