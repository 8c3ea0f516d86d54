"""The volume's trash: what is set aside, what a sweep left half done, and what to do with it."""

from PySide6.QtCore import QItemSelectionModel
from PySide6.QtWidgets import QAbstractItemView, QDialog, QWidget

from sweeper_gui.core.audit import NO_RULE, TicketRule
from sweeper_gui.core.names import visible
from sweeper_gui.core.outcome import TrashItem, TrashState
from sweeper_gui.core.units import age_text, count_text, size_text
from sweeper_gui.engine.messages import Trash
from sweeper_gui.ui.dialogs.base import BaseDialog
from sweeper_gui.ui.dialogs.text_table import TextModel, TextRow, text_table
from sweeper_gui.ui.plain_text import ElidedLabel, PlainLabel, tool_tip
from sweeper_gui.ui.prompts import TrashAct, TrashChoice
from sweeper_gui.ui.table import marked_rows
from sweeper_gui.ui.theme import Look
from sweeper_gui.ui.widgets.ticket_field import TicketField

_TITLES = ("State", "Workspace", "Size", "Set aside", "Expires", "By", "Reason")
_WIDTHS = (130, 280, 88, 118, 94, 90)


class TrashDialog(BaseDialog):
    """`choice` is the answer: None for nothing."""

    def __init__(
        self,
        trash: Trash,
        now: float,
        look: Look,
        parent: QWidget | None = None,
        *,
        rule: TicketRule = NO_RULE,
    ) -> None:
        super().__init__("Trash", look, parent, sign="set-aside", colour="muted")
        self.choice: TrashChoice | None = None
        self._items = trash.items
        self.body.addWidget(ElidedLabel(trash.path, name="Muted"))
        self._summary = PlainLabel(name="Strong", wrap=True)
        self.body.addWidget(self._summary)
        self._table = text_table(
            TextModel(_TITLES, [_row(item, now) for item in trash.items], look, self, right={2, 3, 4}),
            "What is in the trash",
            _WIDTHS,
        )
        self._table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.body.addWidget(self._table, 1)
        self.ticket = TicketField(rule)
        self.body.addWidget(self.ticket)
        self._add_buttons()
        self.ticket.edit.textChanged.connect(self._refresh)
        self._table.selectionModel().selectionChanged.connect(self._refresh)
        self._refresh()
        self.fit(1020, 520)

    @property
    def marked(self) -> tuple[TrashItem, ...]:
        """The items whose lines are marked."""
        return tuple(self._items[row] for row in marked_rows(self._table))

    @property
    def unfinished(self) -> tuple[TrashItem, ...]:
        """What a sweep meant to remove and did not."""
        return tuple(item for item in self._items if item.unfinished)

    def mark_all(self) -> None:
        """Marks every line."""
        self._table.selectAll()

    def mark(self, *rows: int) -> None:
        """Marks these lines and no others."""
        self._table.clearSelection()
        flags = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        for row in rows:
            self._table.selectionModel().select(self._table.model().index(row, 0), flags)

    def _add_buttons(self) -> None:
        all_button = self.add_button("Mark &all", icon=self.look.icon("select-all"))
        all_button.clicked.connect(self.mark_all)
        self.buttons.addStretch(1)
        self.resume_button = self.add_button("Resume", icon=self.look.icon("rescan"))
        self.resume_button.setToolTip(tool_tip("Finish what a sweep left half done; each is checked again first"))
        self.resume_button.clicked.connect(lambda: self._choose(TrashAct.RESUME, self.unfinished))
        self.restore_button = self.add_button("Restore", icon=self.look.icon("restore"))
        self.restore_button.setToolTip(tool_tip("Put back in its place; nothing is ever overwritten"))
        self.restore_button.clicked.connect(lambda: self._choose(TrashAct.RESTORE, self.marked))
        self.purge_button = self.add_button("Remove for good…")
        self.purge_button.setToolTip(tool_tip("Delete; each is checked again first, and a live one is restored"))
        self.purge_button.clicked.connect(lambda: self._choose(TrashAct.PURGE, self.marked))
        close = self.add_button("&Close")
        close.clicked.connect(self.reject)
        close.setDefault(True)
        close.setFocus()

    def _choose(self, act: TrashAct, items: tuple[TrashItem, ...]) -> None:
        self.choice = TrashChoice(act, items, self.ticket.ticket)
        self.done(QDialog.DialogCode.Accepted)

    def _refresh(self) -> None:
        marked, unfinished = self.marked, self.unfinished
        usable = [item for item in marked if not item.problem and not self.ticket.wrong]
        self.restore_button.setText(_with_count("Res&tore", len(marked)))
        self.restore_button.setEnabled(bool(usable) and all(item.state is TrashState.WHOLE for item in marked))
        self.purge_button.setText(_with_count("Remove for &good", len(marked)) + "…")
        self.purge_button.setEnabled(bool(usable) and len(usable) == len(marked))
        self.resume_button.setText(_with_count("Resu&me", len(unfinished)))
        self.resume_button.setVisible(bool(unfinished))
        self.resume_button.setEnabled(not self.ticket.wrong)
        size = size_text(sum(item.allocated for item in self._items))
        self._summary.set_text(
            f"{count_text(len(self._items))} in the trash, {size}; {count_text(len(unfinished))} unfinished"
            if self._items
            else "The trash is empty."
        )


def _with_count(words: str, number: int) -> str:
    return f"{words} {count_text(number)}" if number else words


def _row(item: TrashItem, now: float) -> TextRow:
    state, sign, colour = _state(item, now)
    left = item.expires_at - now
    return TextRow(
        (
            state,
            visible(item.name),
            size_text(item.allocated),
            f"{age_text(now - item.set_aside_at)} ago",
            f"in {age_text(left)}" if left > 0 else "expired",
            item.by,
            item.problem or item.reason,
        ),
        sign,
        colour,
    )


def _state(item: TrashItem, now: float) -> tuple[str, str, str]:
    if item.problem:
        return "Problem", "error", "danger"
    if item.state is TrashState.REMOVING:
        return "Half removed", "warning", "warning"
    if item.unfinished:
        return "Unfinished", "warning", "warning"
    if item.expires_at <= now:
        return "Expired", "status-recent", "warning"
    return "Set aside", "set-aside", "info"
