"""The field for the ticket that something is done for."""

from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QWidget

from sweeper_gui.core.audit import MAX_TICKET, TicketRule
from sweeper_gui.ui.plain_text import PlainLabel, tool_tip


class TicketField(QWidget):
    """A labelled field, with why what was typed will not do beside it. `edit` is what is typed in."""

    def __init__(self, rule: TicketRule, ticket: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rule = rule
        self.edit = QLineEdit(ticket)
        self.edit.setAccessibleName("Ticket")
        self.edit.setMaxLength(MAX_TICKET)
        self.edit.setMaximumWidth(240)
        self.edit.setPlaceholderText("required" if rule.required else "optional")
        self.edit.setToolTip(tool_tip("The ticket that this is done for: kept in the log, shown in the history"))
        self._wrong = PlainLabel(name="WarningText", wrap=True)
        label = PlainLabel("Tic&ket")
        label.setBuddy(self.edit)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(label)
        line.addWidget(self.edit)
        line.addWidget(self._wrong, 1)
        self.edit.textChanged.connect(self._judge)
        self._judge()

    @property
    def ticket(self) -> str:
        """What was typed."""
        return self.edit.text().strip()

    @property
    def wrong(self) -> str:
        """Why it will not do; empty where it will."""
        return self._rule.problem(self.ticket)

    def _judge(self) -> None:
        wrong = self.wrong
        self._wrong.set_text(f"{wrong[:1].upper()}{wrong[1:]}." if wrong else "")
        self.edit.setAccessibleDescription(wrong)
