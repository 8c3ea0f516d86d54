"""The whole window and every dialog, over names, titles and messages that Qt could take for markup."""

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace
from PySide6.QtCore import QAbstractItemModel, QModelIndex, Qt
from PySide6.QtGui import QAction, QTextDocument
from PySide6.QtWidgets import QAbstractItemView, QComboBox, QLabel, QMessageBox, QWidget

from sweeper_gui.core.audit import PastEvidence, PastSweep, Proposal, Who
from sweeper_gui.core.outcome import Ending, Outcome, Report, Result
from sweeper_gui.core.plan import Request as SweepRequest
from sweeper_gui.core.plan import make_plan
from sweeper_gui.core.row import Row
from sweeper_gui.core.snapshot import Session
from sweeper_gui.core.verdict import Verdict
from sweeper_gui.engine.messages import Check, Diagnosis, History, RegistryState, SourceState, Trash
from sweeper_gui.ui.controller import EngineDeath
from sweeper_gui.ui.dialogs.confirm import ConfirmDialog
from sweeper_gui.ui.dialogs.doctor import DoctorDialog
from sweeper_gui.ui.dialogs.history import HistoryDialog
from sweeper_gui.ui.dialogs.report import ReportDialog
from sweeper_gui.ui.dialogs.simple import QuestionDialog, TextDialog
from sweeper_gui.ui.dialogs.trash import TrashDialog
from sweeper_gui.ui.prompts import Question, ReportView, SweepQuestion
from sweeper_gui.ui.theme import Look
from sweeper_gui.ui.widgets.banner import Notice
from tests.support.evil import NAMES, TEXT, TEXTS
from tests.ui.conftest import Stage, delete_now
from tests.ui.rows import DAY, NOW, POLICY, orphan
from tests.ui.scripted_host import VOLUME, ScriptedHost, trash_items

Play = Callable[..., None]
ROLES = (
    Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole,
    Qt.ItemDataRole.AccessibleDescriptionRole, Qt.ItemDataRole.StatusTipRole, Qt.ItemDataRole.WhatsThisRole,
)  # fmt: skip


def rows() -> list[Row]:
    """Orphans of all the names, with titles, owners and reasons to match."""
    made = []
    for number, name in enumerate(NAMES):
        text = TEXTS[-number]
        row = orphan(b"x%d" % number, 10**6, inode=number + 1, age=(number + 2) * DAY)
        made.append(
            replace(
                row,
                workspace=replace(row.workspace, name=name),
                session=Session(f"x{number}", title=text, owner=text),
                verdict=Verdict(row.verdict.status, f"reason {text}", row.verdict.doubts),
            )
        )
    return made


def texts_of(widget: QWidget) -> Iterator[tuple[object, str]]:
    """Everything that a widget and those in it show, say or explain."""
    for one in (widget, *widget.findChildren(QWidget)):
        for name in (
            "text", "windowTitle", "toolTip", "statusTip", "whatsThis", "accessibleName", "accessibleDescription",
            "placeholderText", "title", "format",
        ):  # fmt: skip
            getter = getattr(one, name, None)
            value = getter() if callable(getter) else None
            if isinstance(value, str):
                yield one, value
        if isinstance(one, QComboBox):
            yield from ((one, one.itemText(index)) for index in range(one.count()))
        if isinstance(one, QAbstractItemView) and one.model() is not None:
            yield from ((one, text) for text in texts_in(one.model()))
    for action in widget.findChildren(QAction):
        yield from ((action, text) for text in (action.text(), action.toolTip(), action.statusTip()))


def texts_in(model: QAbstractItemModel) -> Iterator[str]:
    for column in range(model.columnCount()):
        yield str(model.headerData(column, Qt.Orientation.Horizontal) or "")
    for row in range(model.rowCount(QModelIndex())):
        for column in range(model.columnCount()):
            for role in ROLES:
                value = model.index(row, column).data(role)
                if isinstance(value, str):
                    yield value


def check(widget: QWidget) -> str:
    """Nothing is markup of a stranger's, and nothing is hidden; everything that was found."""
    found = []
    for label in (widget, *widget.findChildren(QLabel)):
        if isinstance(label, QLabel) and label.text():  # others hold an icon
            assert label.textFormat() is Qt.TextFormat.PlainText, label.text()
            assert not label.openExternalLinks()
    assert not widget.findChildren(QMessageBox)
    for one, text in texts_of(widget):
        if text.startswith("<qt>"):  # a tool tip of ours: nothing but our paragraph is markup
            assert text.count("<") == 4, (one, text)
            document = QTextDocument()
            document.setHtml(text)
            found.append(document.toPlainText())
            continue
        lines = text.replace("\u2026", "").split("\n")
        assert all(line.replace("\xa0", " ").replace("\u2028", "").isprintable() for line in lines), (one, text)
        found.append(text)
    return "\n".join(found)


@pytest.fixture
def parent(look: Look) -> Iterator[QWidget]:
    widget = QWidget()
    yield widget
    delete_now(widget)


def test_the_window(play: Play) -> None:
    """Listed, selected, with a row of each in its details; with a registry and a volume that complain."""

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        assert r"\x1b[31mred\x1b[0m" in check(stage.window)
        assert {entry.row.name for entry in stage.model.shown_entries} == set(NAMES)
        stage.window.show_death(EngineDeath(TEXT, sweeping=True, restarting=False))
        stage.window.banners.say("evil", Notice("error", TEXT, TEXT))
        assert "evil" in check(stage.window)

    volume = replace(VOLUME, warnings=(TEXT,), source=TEXT, fs_type=TEXT, root=TEXT, control_dir=TEXT)
    host = ScriptedHost(rows(), volume=volume)
    host.registry = RegistryState((SourceState(TEXT, 1, TEXT, TEXT),), 1.0, False, (TEXT,))
    play(host, scene)


def dialogs(look: Look, parent: QWidget) -> Iterator[QWidget]:
    """Each dialog, filled with nothing else."""
    plan = make_plan(rows(), SweepRequest(names=(*NAMES, b"nowhere\x1b<b>")), POLICY)
    yield ConfirmDialog(SweepQuestion(plan, TEXT, NOW, 7 * DAY, hidden=frozenset(NAMES[:3])), look, parent)
    outcomes = tuple(
        Outcome(name, result, TEXT, 1, 1, 2, (TEXT,)) for name, result in zip(NAMES, list(Result) * 10, strict=False)
    )
    yield ReportDialog(ReportView(Report("s", outcomes, Ending.STOPPED, TEXT, NAMES), "Sweep"), look, parent)
    items = tuple(
        replace(trash_items(NOW)[0], name=name, number=number, by=TEXT, reason=TEXT, problem=TEXT if number % 2 else "")
        for number, name in enumerate(NAMES)
    )
    yield TrashDialog(Trash(items, TEXT), NOW, look, parent)
    yield DoctorDialog(Diagnosis((Check(TEXT, "error", TEXT, TEXT), Check(TEXT, "ok", TEXT))), look, parent)
    who = Who(TEXT, TEXT, 1, TEXT, TEXT)
    evidence = tuple(PastEvidence(name, number, TEXT, TEXT, TEXT, (TEXT,)) for number, name in enumerate(NAMES))
    sweep = PastSweep(
        TEXT, NOW, who, "sweep", TEXT, outcomes, evidence, NOW, Ending.STOPPED, TEXT, (TEXT,), TEXT, TEXT,
        {"order": TEXT}, 0.0, TEXT, Proposal(who, NOW, TEXT, TEXT),
    )  # fmt: skip
    yield HistoryDialog(History((sweep,)), look, parent)
    yield QuestionDialog(Question(TEXT, TEXT, "Yes", TEXTS), look, parent)
    yield TextDialog(TEXT, TEXT, TEXTS, look, parent)


def test_the_dialogs(look: Look, parent: QWidget) -> None:
    for dialog in dialogs(look, parent):
        dialog.show()
        assert "evil" in check(dialog)
        dialog.close()
